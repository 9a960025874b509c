//! Batches: plans that run. Whoever works a queue also turns items of plans into its jobs, so that nobody has to stay who
//! submitted one.

mod comparison;
mod counters;
mod feeder;
mod gathering;
mod loaded;
mod marks;
mod memory;
mod outputs;
mod plans;
mod queue_feed;
mod repair;
mod rows;
mod stage_feed;
mod sweep;

pub(crate) use self::comparison::{Comparison, Found};
pub(crate) use self::feeder::{Feeder, Round};
pub(crate) use self::loaded::Loaded;
pub(crate) use self::memory::FULL;
pub(crate) use self::outputs::Outputs;
pub(crate) use self::plans::Plans;
pub(crate) use self::queue_feed::QueueFeed;
pub(crate) use self::repair::{Repair, Todo};
pub(crate) use self::rows::write_rows;
pub(crate) use self::sweep::Sweep;
