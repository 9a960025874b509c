//! What a job asks for: the fields that submitters write, as values.

use super::claimed::Job;
use crate::error_class::InvalidInput;
use crate::wire::{self, field};

/// How far ahead `not_before` may lie. A job that waits keeps a pod up: what lies beyond is a mistake.
const MOST_AHEAD_MS: u64 = 366 * 24 * 3600 * 1000;

/// The file is of a type that this queue does not take. The text is the Python consumer's, which clients know.
#[derive(Debug, thiserror::Error)]
#[error("Invalid filetype for \"{0}\" job.")]
pub struct InvalidFileType(String);

impl Job {
    /// The time before which the job is not to be worked, in milliseconds since 1970, if there is one.
    pub(crate) fn not_before(&self) -> anyhow::Result<Option<u64>> {
        let Some(text) = self.field(field::NOT_BEFORE)? else {
            return Ok(None);
        };
        let time = parse_time(text.trim()).ok_or_else(|| {
            InvalidInput(format!(
                "not_before `{text}` is neither a time stamp nor seconds since 1970"
            ))
        })?;
        if time > wire::millis_since_1970().saturating_add(MOST_AHEAD_MS) {
            return Err(
                InvalidInput(format!("not_before `{text}` lies more than a year ahead")).into(),
            );
        }
        Ok(Some(time))
    }

    /// Key or URL of the input in the bucket.
    pub fn input_file_name(&self) -> anyhow::Result<&str> {
        let name = self.field(field::INPUT_FILE_NAME)?;
        name.ok_or_else(|| {
            InvalidInput("the job names no input file (`input_file_name` is empty)".to_owned())
                .into()
        })
    }

    /// The user's name for the input, from which results take theirs.
    pub fn original_name(&self) -> anyhow::Result<&str> {
        match self.field(field::ORIGINAL_NAME)? {
            Some(name) => Ok(name),
            None => self.input_file_name(),
        }
    }

    /// Which image channel goes to which model, such as `0,` or `0,1`; empty if not given.
    pub fn channels(&self) -> anyhow::Result<&str> {
        Ok(self.field(field::CHANNELS)?.unwrap_or_default())
    }

    /// The numbers of `channels`, counted from 0, for jobs in which their order is all; `None` if not given.
    pub fn channel_numbers(&self) -> anyhow::Result<Option<Vec<usize>>> {
        let positions = self.channel_positions()?.into_iter();
        let numbers: Vec<_> = positions.flatten().collect();
        Ok((!numbers.is_empty()).then_some(numbers))
    }

    /// The numbers of `channels` by position; a position may be empty.
    pub fn channel_positions(&self) -> anyhow::Result<Vec<Option<usize>>> {
        let channels = self.channels()?;
        let mut positions = Vec::new();
        for word in channels.split(',').map(str::trim) {
            positions.push(match word {
                "" => None,
                word => Some(word.parse().map_err(|_| {
                    InvalidInput(format!(
                        "channels `{channels}`: `{word}` is not a channel number"
                    ))
                })?),
            });
        }
        Ok(positions)
    }

    /// What kind of cells there are around spots: `none`, `tissue` or `cell culture`; empty if not given.
    pub fn segmentation_type(&self) -> anyhow::Result<&str> {
        Ok(self.field(field::SEGMENTATION_TYPE)?.unwrap_or_default())
    }

    /// What of the cells is segmented, if given: `whole-cell`, `nuclear` or `both`.
    pub fn compartment(&self) -> anyhow::Result<Option<&str>> {
        self.field(field::COMPARTMENT)
    }

    /// The order of the image's axes, such as `XYB`; empty if not given.
    pub fn dimension_order(&self) -> anyhow::Result<&str> {
        Ok(self.field(field::DIMENSION_ORDER)?.unwrap_or_default())
    }

    /// The factor by which the image is to be resized for the model, if given.
    pub fn scale(&self) -> anyhow::Result<Option<f64>> {
        let Some(text) = self.field(field::SCALE)? else {
            return Ok(None);
        };
        let scale = text.trim().parse::<f64>();
        scale
            .map(Some)
            .map_err(|_| InvalidInput(format!("scale `{text}` is not a number")).into())
    }

    /// The diameter of the image's cells in pixels, if given.
    pub fn diameter(&self) -> anyhow::Result<Option<f64>> {
        let Some(text) = self.field(field::DIAMETER)? else {
            return Ok(None);
        };
        let diameter = text.trim().parse::<f64>();
        diameter
            .map(Some)
            .map_err(|_| InvalidInput(format!("diameter `{text}` is not a number")).into())
    }

    /// The type of image (`0` nuclear, `1` phase, `2` cytoplasm) for jobs of older frontends.
    pub fn label(&self) -> anyhow::Result<Option<&str>> {
        self.field(field::LABEL)
    }

    /// Name and version of the model that the job itself names, if it names both.
    pub fn named_model(&self) -> anyhow::Result<Option<(&str, &str)>> {
        Ok(self
            .field(field::MODEL_NAME)?
            .zip(self.field(field::MODEL_VERSION)?))
    }

    /// Names of functions that prepare the image, separated by commas.
    pub fn preprocess_function(&self) -> anyhow::Result<&str> {
        Ok(self.field(field::PREPROCESS_FUNCTION)?.unwrap_or_default())
    }

    /// Names of functions that turn the model's answers into labels, separated by commas.
    pub fn postprocess_function(&self) -> anyhow::Result<&str> {
        Ok(self.field(field::POSTPROCESS_FUNCTION)?.unwrap_or_default())
    }

    /// The refusal of a file that this queue does not take.
    pub fn invalid_file_type(&self) -> anyhow::Error {
        InvalidFileType(self.queue_name().to_owned()).into()
    }
}

/// Milliseconds since 1970 from seconds since then, or from a time stamp.
fn parse_time(text: &str) -> Option<u64> {
    let seconds = text.parse::<f64>().ok();
    if let Some(seconds) = seconds.filter(|seconds| (0.0..1e11).contains(seconds)) {
        return Some((seconds * 1e3) as u64);
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond().max(0).unsigned_abs())
}
