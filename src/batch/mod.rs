//! Batches: plans that run. Whoever works a queue also turns items of plans into its jobs, so that nobody has to stay who
//! submitted one.

mod feeder;
mod loaded;
mod rows;
mod sweep;

pub(crate) use self::feeder::{Feeder, feed_queue};
pub(crate) use self::loaded::Loaded;
pub(crate) use self::rows::write_rows;
