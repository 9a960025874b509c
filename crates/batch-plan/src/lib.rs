#![doc = include_str!("../README.md")]

pub mod units;
pub mod work;

mod change;
mod check;
mod diff;
mod digest;
mod form;
mod group;
mod job;
mod layout;
mod list;
mod manifest;
mod names;
mod problem;
mod range;
mod reader;
mod resolve;
mod resolved;
mod row;
mod sample;
mod schema;
mod scope;
mod shuffle;
mod source;
mod template;
mod value;
mod yaml;

pub use check::{CheckOptions, Report, check};
pub use diff::{Difference, diff};
pub use form::Plan;
pub use group::Grid;
pub use job::{Expected, Job, Listing, RenderError, Renderer, job_key};
pub use layout::{MAX_ITEMS, Up};
pub use list::{List, Lists};
pub use manifest::{ItemState, Manifest, ManifestItem};
pub use problem::{Place, PlanError, Problem};
pub use range::{Axis, Range};
pub use resolve::Overrides;
pub use resolved::{After, Group, Items, Listed, MAX_JSON, MAX_STAGES, Pick, Resolved, Stage};
pub use row::{ROWS_PER_FILE, Row};
pub use sample::{Choice, MAX_SAMPLE, SampleError};
pub use schema::schema;
pub use shuffle::Permutation;
pub use source::{Entries, Entry, ListError, Nothing, Supply};
pub use yaml::parse_values;
