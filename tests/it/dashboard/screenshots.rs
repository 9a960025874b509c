//! Pictures of all pages, to be looked at: in both schemes, on a wide and on a narrow screen. They lie in `screenshots` of Cargo's
//! target folder. `make screenshots` draws those of the documentation anew.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::lab::Lab;
use crate::peers::chromium::Chromium;

/// Pages whose pictures the documentation has.
const SHOWN: [&str; 14] = [
    "overview",
    "first-use",
    "queues",
    "queue",
    "failed",
    "job-done",
    "job-failed",
    "batch",
    "batches",
    "workers",
    "system",
    "keys",
    "login",
    "confirmation",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_its_picture_taken() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    fs::create_dir_all(&folder).expect("a folder");
    let docs = docs();
    let lab = Lab::open().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address("/help")).await;
    for scene in lab.scenes() {
        tab.look(1280, "light").await;
        scene.enter(&tab).await;
        for width in [1280, 390] {
            for scheme in ["light", "dark"] {
                tab.look(width, scheme).await;
                let picture = tab.screenshot().await;
                let name = format!("{}-{scheme}-{width}.png", scene.name);
                fs::write(folder.join(name), &picture).expect("a file");
                let docs = docs
                    .as_deref()
                    .filter(|_| width == 1280 && SHOWN.contains(&scene.name));
                if let Some(docs) = docs {
                    let name = format!("{}-{scheme}.png", scene.name);
                    fs::write(docs.join(name), in_few_colors(&picture)).expect("a file");
                }
            }
        }
    }
}

/// Where the documentation has them, if they are to be drawn anew.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment what to write"
)]
fn docs() -> Option<PathBuf> {
    std::env::var_os("SCREENSHOTS")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/dashboard");
    fs::create_dir_all(&folder).expect("a folder");
    Some(folder)
}

/// The same picture with 256 colors, which takes a third of the bytes.
fn in_few_colors(file: &[u8]) -> Vec<u8> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::STRIP_16 | png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut bytes).expect("a PNG");
    let pixels: Vec<[u8; 3]> = bytes
        .chunks_exact(info.color_type.samples())
        .map(|it| [it[0], it[1], it[2]])
        .collect();
    let palette = palette(&pixels);
    let mut known = HashMap::new();
    let indices: Vec<u8> = pixels
        .iter()
        .map(|it| *known.entry(*it).or_insert_with(|| nearest(&palette, *it)))
        .collect();
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().expect("memory takes it");
    writer.write_image_data(&indices).expect("memory takes it");
    drop(writer);
    picture
}

/// The most frequent colors, no two of which are much alike.
fn palette(pixels: &[[u8; 3]]) -> Vec<[u8; 3]> {
    let mut counts: HashMap<[u8; 3], u32> = HashMap::new();
    pixels
        .iter()
        .for_each(|it| *counts.entry(*it).or_default() += 1);
    let mut colors: Vec<_> = counts.into_iter().collect();
    colors.sort_by_key(|(color, count)| (std::cmp::Reverse(*count), *color));
    let mut taken = HashMap::new();
    let mut palette = Vec::new();
    for (color, _) in colors {
        let kind = color.map(|it| it >> 3);
        let seen: &mut u32 = taken.entry(kind).or_default();
        *seen += 1;
        // Of what is nearly the same, the grounds of a page are told apart.
        if *seen <= 2 && palette.len() < 256 {
            palette.push(color);
        }
    }
    palette
}

fn nearest(palette: &[[u8; 3]], color: [u8; 3]) -> u8 {
    let distance = |other: &[u8; 3]| -> u32 {
        let pairs = other.iter().zip(color);
        pairs.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let nearest = palette
        .iter()
        .zip(0_u8..=255)
        .min_by_key(|(it, _)| distance(it));
    nearest.map_or(0, |(_, index)| index)
}
