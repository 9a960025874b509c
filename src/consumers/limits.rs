//! How large an image and how odd a scale a job may have.

use ndarray::Array4;

use crate::applications::Model;
use crate::error_class::{InvalidInput, TooLarge};
use crate::settings::Reader;
use bioimage::{AxesError, ModelInput};

/// Limits of the consumers that segment images.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    scale: (f64, f64),
    max_width: usize,
    max_height: usize,
    max_decoded_bytes: u64,
}

impl Limits {
    /// Reads `MAX_SCALE`, `MAX_IMAGE_WIDTH` and the like.
    pub(super) fn load(reader: &mut Reader<'_>) -> Self {
        Self {
            scale: scale_limits(reader),
            max_width: reader.parsed("MAX_IMAGE_WIDTH", 2048, "largest image width, pixels"),
            max_height: reader.parsed("MAX_IMAGE_HEIGHT", 2048, "largest image height, pixels"),
            max_decoded_bytes: reader.bytes(
                "MAX_DECODED_BYTES",
                2 << 30,
                "largest decoded or rescaled image, bytes",
            ),
        }
    }

    pub(super) fn of_decoding(&self) -> bioimage::Limits {
        bioimage::Limits {
            max_decoded_bytes: self.max_decoded_bytes,
        }
    }

    /// The scale if it lies within `MIN_SCALE` and `MAX_SCALE`, both included.
    pub(super) fn check_scale(&self, scale: f64) -> Result<f64, InvalidInput> {
        let (min, max) = self.scale;
        let inside = (min..=max).contains(&scale);
        inside
            .then_some(scale)
            .ok_or_else(|| InvalidInput(format!("scale {scale} is not between {min} and {max}")))
    }

    /// Refuses a scale that would make the image larger than a decoded one may be.
    pub(super) fn check_scaled_size(
        &self,
        image: &Array4<f32>,
        scale: f64,
    ) -> Result<(), TooLarge> {
        let (_, rows, columns, _) = image.dim();
        let bytes = (image.len() * size_of::<f32>()) as f64 * scale * scale;
        if bytes <= self.max_decoded_bytes as f64 {
            return Ok(());
        }
        Err(TooLarge(format!(
            "scale {scale} makes an image of {columns} x {rows} pixels larger than the limit of {} bytes",
            self.max_decoded_bytes
        )))
    }

    /// Refuses an image that the model does not take or that is larger than allowed.
    pub(super) fn check_fit(&self, image: &Array4<f32>, model: &Model) -> Result<(), AxesError> {
        self.model_input(&model.input_shape(), None)
            .check_shape(image.shape())
    }

    /// What a model takes of an image, of which `channels` are picked.
    pub(super) fn model_input<'a>(
        &self,
        shape: &'a [i64; 4],
        channels: Option<&'a [usize]>,
    ) -> ModelInput<'a> {
        ModelInput {
            shape,
            channels,
            max_width: self.max_width,
            max_height: self.max_height,
        }
    }
}

fn scale_limits(reader: &mut Reader<'_>) -> (f64, f64) {
    let max: f64 = reader.parsed("MAX_SCALE", 10.0, "largest scale a job may ask for");
    let min: f64 = reader.parsed(
        "MIN_SCALE",
        1.0 / max,
        "smallest scale a job may ask for (default 1 / MAX_SCALE)",
    );
    if !(min > 0.0 && max.is_finite() && min <= max) {
        reader.problem(
            "MIN_SCALE, MAX_SCALE",
            format!("`{min}` and `{max}` cannot be used: expected 0 < MIN_SCALE <= MAX_SCALE"),
        );
    }
    (min, max)
}
