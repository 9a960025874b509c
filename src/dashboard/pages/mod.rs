//! The pages, one file each. All are made here, complete without a script, from three round trips to Redis or less.

mod batch;
mod batches;
mod cells;
mod failed;
mod help;
mod job;
mod judgement;
mod overview;
mod preview;
mod queue;
mod queues;
mod search;
mod sheet;
mod system;
pub(super) mod window;
mod workers;

pub(super) use self::batch::batch;
pub(super) use self::batches::batches;
pub(super) use self::cells::{cells, cells_csv};
pub(super) use self::failed::failed;
pub(super) use self::help::help;
pub(super) use self::job::job;
pub(super) use self::overview::overview;
pub(super) use self::preview::preview;
pub(super) use self::queue::queue;
pub(super) use self::queues::queues;
pub(super) use self::search::search;
pub(super) use self::system::system;
pub(super) use self::workers::workers;
