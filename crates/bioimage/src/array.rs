//! Decoded samples as arrays.

use ndarray::ArrayD;

use crate::error::Error;

/// `[row, column, channel]` from 8-bit samples in that order.
pub(crate) fn channels_last(samples: &[u8], shape: [usize; 3]) -> Result<ArrayD<f32>, Error> {
    let values = samples.iter().map(|&sample| f32::from(sample)).collect();
    array(values, &shape)
}

/// `values` in this shape; a mismatch is the file's fault, never a panic.
pub(crate) fn array(values: Vec<f32>, shape: &[usize]) -> Result<ArrayD<f32>, Error> {
    ArrayD::from_shape_vec(shape, values)
        .map_err(|_| Error::corrupt("the pixel data do not fill the image"))
}
