//! One side of a network's input: how long tiles may be, and what of them counts.

use crate::axis::{Axis, AxisKind, Size};
use crate::fit::Fit;
use crate::problem::shown;
use crate::reader::MAX_SIZE;
use crate::tensor_description::Input;

/// One side of a network's input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Side {
    pub(crate) lengths: Lengths,
    /// Tiles begin at multiples of so many pixels, so that they meet pixels of all outputs.
    pub(crate) align: usize,
    /// Pixels at both ends of a tile that no output counts; a multiple of `align`.
    pub(crate) margin: usize,
    /// How each output goes with it.
    pub(crate) fits: Vec<Fit>,
}

impl Side {
    /// Shorter tiles have nothing that counts.
    pub(crate) fn shortest(&self) -> usize {
        2 * self.margin + self.align
    }

    /// Whether a tile of this length goes evenly into all outputs, and something of it counts.
    pub(crate) fn accepts(&self, length: usize) -> bool {
        let is_even = |fit: &Fit| fit.output_length(length).is_some();
        (self.shortest()..=MAX_SIZE).contains(&length) && self.fits.iter().all(is_even)
    }

    /// Pixels of a tile that count; a multiple of `align`.
    pub(crate) fn inner(&self, length: usize) -> usize {
        let inner = length.saturating_sub(2 * self.margin);
        inner - inner % self.align
    }
}

/// How long tiles may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lengths {
    Fixed(usize),
    Steps {
        min: usize,
        step: usize,
    },
    /// The other side's length times `ratio`, rounded down, plus `offset`.
    Like {
        ratio: f64,
        offset: f64,
    },
}

impl Lengths {
    /// Of an axis of the input. The error says why an axis that it refers to cannot be followed.
    pub(crate) fn read(axis: &Axis, input: &Input) -> Result<Self, String> {
        let (tensor_id, axis_id, offset) = match &axis.size {
            Size::Fixed(length) => return Ok(Self::Fixed(*length)),
            Size::Steps { min, step } => {
                return Ok(Self::Steps {
                    min: *min,
                    step: *step,
                });
            }
            Size::Like {
                tensor_id,
                axis_id,
                offset,
            } => (tensor_id, axis_id, offset),
            Size::Any => return Err("expected a size".to_owned()),
        };
        let is_other = |other: &&Axis| {
            other.id == *axis_id && other.id != axis.id && other.kind == AxisKind::Space
        };
        let other = input
            .axes
            .iter()
            .find(is_other)
            .filter(|_| *tensor_id == input.id);
        let independent = other.filter(|other| !matches!(other.size, Size::Like { .. }));
        let Some(other) = independent.filter(|other| other.unit == axis.unit) else {
            let (tensor, axis) = (shown(tensor_id), shown(axis_id));
            return Err(format!(
                "follows `{axis}` of `{tensor}`: expected the other side of this input, with a size of its own and the same unit"
            ));
        };
        Ok(Self::Like {
            ratio: other.scale / axis.scale,
            offset: *offset as f64,
        })
    }

    /// The length that goes with this one of the leading side.
    pub(crate) fn follower_of(&self, leader: usize) -> Option<usize> {
        match self {
            Self::Like { ratio, offset } => {
                let length = (leader as f64 * ratio + offset).floor();
                (1.0..=MAX_SIZE as f64)
                    .contains(&length)
                    .then_some(length as usize)
            }
            _ => None,
        }
    }

    /// Where the leading side has to be for this length.
    pub(crate) fn leader_of(&self, follower: usize) -> usize {
        match self {
            Self::Like { ratio, offset } => {
                ((follower as f64 - offset) / ratio).ceil().max(1.0) as usize
            }
            _ => 1,
        }
    }
}
