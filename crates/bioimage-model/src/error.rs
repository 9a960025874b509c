//! Why a tensor does not fit a description.

/// Why a tensor does not fit a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// It has other axes.
    #[error("a tensor with the axes {found}; expected are {expected}")]
    Axes {
        /// Those that it has.
        found: String,
        /// Those that it should have.
        expected: String,
    },

    /// It is longer or shorter along an axis.
    #[error("a tensor of length {found} along `{axis}`; expected is {expected}")]
    Length {
        /// The axis.
        axis: String,
        /// The length that it has.
        found: usize,
        /// The length that it should have.
        expected: usize,
    },

    /// It has another shape.
    #[error("a tensor of shape {found:?}; expected is {expected:?}")]
    Shape {
        /// The shape that it has.
        found: Vec<usize>,
        /// The shape that it should have.
        expected: Vec<usize>,
    },

    /// An image has more or fewer channels than the network takes.
    #[error("the image has {found} channels, and the model takes {expected}")]
    Channels {
        /// Channels of the image.
        found: usize,
        /// Channels of the input.
        expected: usize,
    },

    /// An image without pixels.
    #[error("the image has no pixels")]
    Empty,

    /// An operation needs numbers of another tensor, or of the image of another model.
    #[error("an operation needs numbers that were not measured")]
    NotMeasured,

    /// There is no such output.
    #[error("there is no output {0}")]
    NoOutput(usize),

    /// There is no such tile.
    #[error("there is no tile {0}")]
    NoTile(usize),

    /// Not even the smallest tile fits.
    #[error("the smallest tile takes {needed_bytes} bytes, and there are {budget_bytes}")]
    Budget {
        /// Bytes of the smallest tile.
        needed_bytes: u64,
        /// Bytes that there are.
        budget_bytes: u64,
    },
}
