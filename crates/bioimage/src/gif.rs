//! GIF files: the first frame.

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use ndarray::ArrayD;

use crate::array::channels_last;
use crate::error::Error;
use crate::limits::Limits;

/// `[row, column, 1]` of palette indices; pixels that the first frame does not cover have the index of the background.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let mut options = options();
    if let Some(limit) = std::num::NonZeroU64::new(limits.max_decoded_bytes) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    let mut decoder = options.read_info(bytes).map_err(error)?;
    let (height, width) = (usize::from(decoder.height()), usize::from(decoder.width()));
    let count = limits.values(&[height, width])?;
    let background = decoder
        .bg_color()
        .and_then(|index| u8::try_from(index).ok())
        .unwrap_or(0);
    let frame = decoder
        .read_next_frame()
        .map_err(error)?
        .ok_or_else(|| Error::corrupt("the GIF has no picture"))?;
    let mut indices = vec![background; count];
    let (left, columns) = (usize::from(frame.left), usize::from(frame.width));
    for (row, stored) in frame.buffer.chunks_exact(columns.max(1)).enumerate() {
        let start = (usize::from(frame.top) + row) * width + left;
        let place = indices.get_mut(start..start + columns);
        place
            .ok_or_else(|| Error::corrupt("the GIF's picture leaves its frame"))?
            .copy_from_slice(stored);
    }
    channels_last(&indices, [height, width, 1])
}

/// The shape that [`decode`] would give.
pub(crate) fn shape(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    let decoder = options().read_info(bytes).map_err(error)?;
    Ok(vec![
        usize::from(decoder.height()),
        usize::from(decoder.width()),
        1,
    ])
}

fn options() -> DecodeOptions {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.check_frame_consistency(true);
    options
}

fn error(error: gif::DecodingError) -> Error {
    Error::corrupt(format!("GIF: {error}"))
}
