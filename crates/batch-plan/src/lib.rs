//! Plans.
pub mod units;
mod group;
mod problem;
mod range;
mod reader;
mod shuffle;
mod yaml;
pub use group::Grid;
pub use problem::{Place, PlanError, Problem};
pub use range::{Axis, Range};
pub use shuffle::Permutation;
pub use yaml::parse_values;
