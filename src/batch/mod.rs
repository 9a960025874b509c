//! Batches: plans that run. Whoever works a queue also turns items of plans into its jobs, so that nobody has to stay who
//! submitted one.

mod feeder;
mod gathering;
mod loaded;
mod outputs;
mod repair;
mod rows;
mod sweep;

pub(crate) use self::feeder::{Feeder, ListStore, feed_queue};
pub(crate) use self::loaded::Loaded;
pub(crate) use self::repair::{Comparison, Found, Repair, Todo, compare};
pub(crate) use self::rows::write_rows;
