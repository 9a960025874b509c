#![doc = include_str!("../README.md")]

mod apply;
mod axis;
mod chain;
mod comparison;
mod cut;
mod description;
mod dtype;
mod error;
mod file_ref;
mod fit;
mod geometry;
mod kwargs;
mod labels;
mod layout;
mod operation;
mod package;
mod pipeline;
mod planned_side;
mod problem;
mod process;
mod ratio;
mod reader;
mod sides;
mod statistics;
mod step;
mod table;
mod tensor;
mod tensor_description;
mod tile_plan;
mod tolerance;
mod weights;
mod yaml;

#[cfg(test)]
mod sample;

pub use axis::{Axis, AxisKind, Size};
pub use comparison::{Comparison, Difference};
pub use description::{Citation, Description};
pub use dtype::Dtype;
pub use error::TensorError;
pub use file_ref::FileRef;
pub use labels::{Cellpose, Labeling, StarDist};
pub use operation::{Bound, Clip, Factors, Operation, ScaleMeanVariance, ScaleRange};
pub use package::{Package, PackageError};
pub use problem::{DescriptionError, Problem};
pub use process::{Prepared, Reference};
pub use tensor::Tensor;
pub use tensor_description::{Input, Output, Padding};
pub use tile_plan::{Part, Tile, TilePlan};
pub use tolerance::{Tolerance, Tolerances};
pub use weights::{Weights, WeightsFormat};
