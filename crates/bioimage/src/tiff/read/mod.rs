//! TIFF files to arrays: classic and `BigTIFF`, either byte order.
//!
//! A reader of our own on top of codec crates, because results are compared value by value with tifffile's: stored samples
//! must come out raw. The `tiff` crate inverts white-is-zero images, refuses palettes and 3-D tiles, and has no notion of
//! absent strips, of packed depths like 10 or 24 bits, or of frames that follow one another without directories. What a
//! general library would add (color, tags, streaming) is not needed here.
//!
//! The path of a file: `directory` finds the directories within a `budget`, `page` says what each of them describes,
//! `series` (with `description`, `ome` and `vendor`) which pages make up the image and in which shape, `raster` puts their
//! `segments` in place, with `codec` to unpack, `sample` to turn bytes into numbers and `cost` to bound what that takes.
//! Every offset and size is checked against the file and the limits before it is used.
//!
//! Sources: TIFF revision 6.0, its technical notes on `BigTIFF` and predictors, the OME-TIFF specification.

mod budget;
mod codec;
mod cost;
mod description;
mod directory;
mod ome;
mod page;
mod pixel_size;
mod raster;
mod sample;
mod segments;
mod series;
mod vendor;

use ndarray::ArrayD;

use self::directory::File;
use self::page::Planes;
pub(crate) use self::pixel_size::pixel_size;
use self::series::Series;
use crate::array::array;
use crate::error::Error;
use crate::header::{Container, Header};
use crate::limits::Limits;
use crate::pieces::Source;

/// The first series of the file, with the axes it is described with.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let file = File::open(Source::Whole(bytes))?;
    let series = series::first(&file)?;
    let values = raster::read(&file, &series, limits)?;
    array(values, &series.shape)
}

/// What [`decode`] would give.
pub(crate) fn header(source: Source<'_>) -> Result<Header, Error> {
    let file = File::open(source)?;
    let series = series::first(&file)?;
    Ok(as_stored(&file, series))
}

/// The first series of a file that is not called TIFF: a single page as an image library shows it,
/// `[row, column, channel]`, several as [`decode`] does.
pub(crate) fn decode_by_content(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let file = File::open(Source::Whole(bytes))?;
    let series = series::first(&file)?;
    let values = raster::read(&file, &series, limits)?;
    if !is_picture(&series) {
        return array(values, &series.shape);
    }
    let [rows, columns, samples] = channels_last(&series);
    if series.layout.planes == Planes::Chunky {
        return array(values, &[rows, columns, samples]);
    }
    let planes_first = array(values, &[samples, rows, columns])?;
    Ok(planes_first
        .permuted_axes(vec![1, 2, 0])
        .as_standard_layout()
        .into_owned())
}

/// What [`decode_by_content`] would give.
pub(crate) fn header_by_content(source: Source<'_>) -> Result<Header, Error> {
    let file = File::open(source)?;
    let series = series::first(&file)?;
    if !is_picture(&series) {
        return Ok(as_stored(&file, series));
    }
    let peak_bytes = cost::peak_bytes(&file, &series);
    Ok(Header {
        shape: channels_last(&series).to_vec(),
        container: Container::Other,
        sample: series.layout.sample.name(),
        // Planes are copied into each other.
        peak_bytes: match series.layout.planes {
            Planes::Chunky => peak_bytes,
            Planes::Separate => peak_bytes.saturating_mul(2),
        },
    })
}

fn as_stored(file: &File<'_>, series: Series) -> Header {
    Header {
        peak_bytes: cost::peak_bytes(file, &series),
        container: match series.axes {
            Some(axes) if axes.chars().count() == series.shape.len() => Container::Named(axes),
            _ => Container::Tiff,
        },
        sample: series.layout.sample.name(),
        shape: series.shape,
    }
}

fn is_picture(series: &Series) -> bool {
    series.pages.count() == 1 && series.layout.depth == 1
}

fn channels_last(series: &Series) -> [usize; 3] {
    let layout = &series.layout;
    [layout.height, layout.width, layout.samples]
}

#[cfg(test)]
mod tests;
