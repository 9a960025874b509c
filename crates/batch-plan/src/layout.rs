//! How the stages of a plan are connected: whose items become whose.

mod check;
mod items;
mod join;
mod links;

pub(crate) use join::push;
pub(crate) use links::{Layout, Link, Units};
pub use links::{MAX_ITEMS, Up};
