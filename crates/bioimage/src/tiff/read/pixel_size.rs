//! How large a pixel is, by OME-XML or by `ImageJ`. Resolutions that nobody gives a unit of microscopes are those of printers,
//! and not believed.

use super::budget::Budget;
use super::description::{micrometers, value_of};
use super::directory::{Directory, File};
use super::ome;
use crate::pieces::Source;

const DESCRIPTION: u16 = 270;
const X_RESOLUTION: u16 = 282;
const Y_RESOLUTION: u16 = 283;

/// Height and width of a pixel in micrometers, if the file tells them.
pub(crate) fn pixel_size(bytes: &[u8]) -> Option<[f64; 2]> {
    let file = File::open(Source::Whole(bytes)).ok()?;
    let mut budget = Budget::new(file.len());
    let directories = file.chain(&mut budget).ok()?;
    let directory = file.directory(*directories.offsets.first()?).ok()?;
    let texts = directory.find_all(DESCRIPTION).take(2);
    let mut texts = texts.filter_map(|entry| file.text(entry).ok());
    let size =
        texts.find_map(|text| ome::pixel_size(&text).or_else(|| imagej(&file, &directory, &text)));
    size.filter(|size| size.iter().all(|it| it.is_finite() && *it > 0.0))
}

/// By its resolution, pixels for each of the unit in the description.
fn imagej(file: &File<'_>, directory: &Directory, text: &str) -> Option<[f64; 2]> {
    if !text.starts_with("ImageJ=") {
        return None;
    }
    let unit = micrometers(value_of(text, "unit")?)?;
    let along = |tag| {
        let [pixels, units] = file.fraction(directory.find(tag)?)?;
        Some(unit * units as f64 / pixels as f64)
    };
    Some([along(Y_RESOLUTION)?, along(X_RESOLUTION)?])
}
