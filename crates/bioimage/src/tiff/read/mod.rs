//! TIFF files to arrays: classic and `BigTIFF`, either byte order.
//!
//! A reader of our own on top of codec crates, because results are compared value by value with tifffile's: stored samples
//! must come out raw. The `tiff` crate inverts white-is-zero images, refuses palettes and 3-D tiles, and has no notion of
//! absent strips, of packed depths like 10 or 24 bits, or of frames that follow one another without directories. What a
//! general library would add (color, tags, streaming) is not needed here.
//!
//! The path of a file: `directory` finds the directories, `page` says what each of them describes, `series` (with
//! `description` and `ome`) which pages make up the image and in which shape, `raster` puts their segments in place, with
//! `codec` to unpack and `sample` to turn bytes into numbers. Every offset and size is checked against the file
//! and the limits before it is used.
//!
//! Sources: TIFF revision 6.0, its technical notes on `BigTIFF` and predictors, the OME-TIFF specification.

mod codec;
mod description;
mod directory;
mod ome;
mod page;
mod raster;
mod sample;
mod series;

use ndarray::ArrayD;

use self::directory::File;
use self::page::{Page, Planes};
use crate::array::array;
use crate::error::Error;
use crate::limits::Limits;

/// The first series of the file, with the axes it is described with.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let file = File::open(bytes)?;
    let series = series::first(&file)?;
    let values = raster::read(&file, &series.pages, limits)?;
    array(values, &series.shape)
}

/// The shape of that series.
pub(crate) fn shape(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    Ok(series::first(&File::open(bytes)?)?.shape)
}

/// The first page alone, as an image library shows it: `[row, column, channel]`.
pub(crate) fn decode_first_page(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let file = File::open(bytes)?;
    let page = first_page(&file)?;
    let [rows, columns, samples] = channels_last(&page);
    let planes = page.layout.planes;
    let values = raster::read(&file, &[page], limits)?;
    if planes == Planes::Chunky {
        return array(values, &[rows, columns, samples]);
    }
    let planes_first = array(values, &[samples, rows, columns])?;
    Ok(planes_first
        .permuted_axes(vec![1, 2, 0])
        .as_standard_layout()
        .into_owned())
}

/// The shape of the first page alone.
pub(crate) fn shape_of_first_page(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    let page = first_page(&File::open(bytes)?)?;
    Ok(channels_last(&page).to_vec())
}

fn first_page(file: &File<'_>) -> Result<Page, Error> {
    let first = file.directories()?.swap_remove(0);
    let page = Page::of(file, &first)?;
    if page.layout.depth > 1 {
        return Err(Error::unsupported("volumes in a file not named .tif"));
    }
    Ok(page)
}

fn channels_last(page: &Page) -> [usize; 3] {
    [page.layout.height, page.layout.width, page.layout.samples]
}

#[cfg(test)]
mod tests;
