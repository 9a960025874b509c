//! How large an image and how odd a scale a job may have.

use ndarray::Array4;

use crate::applications::Model;
use crate::error_class::{InvalidInput, TooLarge};
use crate::settings::{Bytes, Loader};
use bioimage::{AxesError, ModelInput};

crate::settings! {
    /// Limits for images.
    struct LimitVariables {
        /// Largest scale that a job may ask for.
        max_scale: f64 = 10.0,
        /// Smallest scale that a job may ask for.
        min_scale: Option<f64> = None => "1 / `MAX_SCALE`",
        /// Largest width of an image, in pixels.
        max_image_width: usize = 2048,
        /// Largest height of an image, in pixels.
        max_image_height: usize = 2048,
    }
}

crate::settings! {
    /// Memory of decoded images.
    struct DecodingVariables {
        /// Largest image or movie after decoding or rescaling, in bytes.
        max_decoded_bytes: Bytes = Bytes(2 << 30),
    }
}

/// Limits of the consumers that segment images.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    scale: (f64, f64),
    max_width: usize,
    max_height: usize,
    decoding: bioimage::Limits,
}

impl Limits {
    /// Loads `MAX_SCALE`, `MAX_IMAGE_WIDTH` and the like.
    pub(super) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: LimitVariables = loader.load();
        Self {
            scale: variables.scale(loader),
            max_width: variables.max_image_width,
            max_height: variables.max_image_height,
            decoding: decoding(loader),
        }
    }

    pub(super) fn of_decoding(&self) -> bioimage::Limits {
        self.decoding
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
        if bytes <= self.decoding.max_decoded_bytes as f64 {
            return Ok(());
        }
        Err(TooLarge(format!(
            "scale {scale} makes an image of {columns} x {rows} pixels larger than the limit of {} bytes",
            self.decoding.max_decoded_bytes
        )))
    }

    /// Refuses an image that is larger than allowed, whatever the model takes.
    pub(super) fn check_size(&self, image: &Array4<f32>) -> Result<(), AxesError> {
        let shape = [-1, -1, -1, image.dim().3 as i64];
        self.model_input(&shape, None).check_shape(image.shape())
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

impl LimitVariables {
    /// Smallest and largest scale.
    fn scale(&self, loader: &mut Loader<'_>) -> (f64, f64) {
        let max = self.max_scale;
        let min = self.min_scale.unwrap_or(1.0 / max);
        if self.min_scale.is_none() {
            loader.derive("MIN_SCALE", min);
        }
        if !(min > 0.0 && max.is_finite() && min <= max) {
            loader.problem(
                "MIN_SCALE, MAX_SCALE",
                format!("`{min}` and `{max}` cannot be used: expected 0 < MIN_SCALE <= MAX_SCALE"),
            );
        }
        (min, max)
    }
}

/// Loads `MAX_DECODED_BYTES`.
pub(super) fn decoding(loader: &mut Loader<'_>) -> bioimage::Limits {
    let DecodingVariables { max_decoded_bytes } = loader.load();
    bioimage::Limits {
        max_decoded_bytes: max_decoded_bytes.0,
    }
}
