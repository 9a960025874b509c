//! Prints what is in image files: their shape from the header, then the range of their values.
//!
//! ```sh
//! cargo run --package bioimage --example inspect image.tif photo.png
//! ```

use std::error::Error;
use std::path::Path;

use bioimage::{Limits, decode, header_of};

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<_> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        let sample = "../../tests/fixtures/nuclei/dsb2018_777f7c42_labels.tif";
        paths.push(format!("{}/{sample}", env!("CARGO_MANIFEST_DIR")));
    }
    for path in paths {
        inspect(Path::new(&path))?;
    }
    Ok(())
}

fn inspect(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = std::fs::read(path)?;
    // The suffix decides whether a TIFF is read as a series of pages.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let shape = header_of(&file, &name)?.shape;
    let image = decode(&file, &name, &Limits::default())?;
    let low = image.iter().copied().fold(f32::INFINITY, f32::min);
    let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    println!("{name}: {shape:?}, {low} to {high}");
    Ok(())
}
