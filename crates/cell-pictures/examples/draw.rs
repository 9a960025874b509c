//! Draws an image with its labels: `draw IMAGE LABELS FOLDER` writes the preview, and a tile of each layer at each level.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bioimage::{Limits, decode, squeeze};
use cell_pictures::{
    ChannelView, Layer, Palette, Thumbnail, Window, channel_statistics, label_levels, levels,
    render_channels, render_labels,
};
use ndarray::{Array2, ArrayD, Axis, Ix2};

/// Side of a tile, in pixels.
const TILE: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, labels, folder] = &arguments[..] else {
        return Err("usage: draw IMAGE LABELS FOLDER".into());
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let channels = channels(read(image)?)?;
    let labels = read(labels)?.into_dimensionality::<Ix2>()?;
    let labels = labels.mapv(|label| label as u32);

    let begun = Instant::now();
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    let thumbnail = Thumbnail::new(&views).ok_or("the image has no pixels")?;
    let preview = thumbnail.with_outlines(labels.view());
    println!("preview: {} bytes in {:?}", preview.len(), begun.elapsed());
    fs::write(folder.join("preview.png"), preview)?;

    let found = channel_statistics(channels[0].view(), 1_000_000);
    println!("first channel: {found:?}");
    let view = ChannelView::gray(found.low, found.high);
    for (level, plane) in levels(channels[0].clone(), TILE / 8).iter().enumerate() {
        if let Some(window) = Window::tile(plane.dim(), TILE, 0, 0) {
            let tile = render_channels(&[(plane.view(), view)], &window).to_png();
            fs::write(folder.join(format!("image_{level}.png")), tile)?;
        }
    }
    for (level, labels) in label_levels(labels.view(), TILE / 8).iter().enumerate() {
        for (name, layer) in [("outline", Layer::Outline), ("fill", Layer::Fill)] {
            if let Some(window) = Window::tile(labels.dim(), TILE, 0, 0) {
                let tile = render_labels(labels, layer, Palette::Bright, &window).to_png();
                fs::write(folder.join(format!("{name}_{level}.png")), tile)?;
            }
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<ArrayD<f32>, Box<dyn Error>> {
    let image = decode(&fs::read(path)?, path, &Limits::default())?;
    Ok(squeeze(image))
}

/// The channels of an image, whose shortest axis holds them if there are three.
fn channels(image: ArrayD<f32>) -> Result<Vec<Array2<f32>>, Box<dyn Error>> {
    if image.ndim() == 2 {
        return Ok(vec![image.into_dimensionality()?]);
    }
    let sizes = image.shape().iter().enumerate();
    let (axis, _) = sizes.min_by_key(|(_, size)| **size).ok_or("no axes")?;
    let planes = image.axis_iter(Axis(axis));
    planes
        .map(|plane| Ok(plane.to_owned().into_dimensionality()?))
        .collect()
}
