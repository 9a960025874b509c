//! Batches: plans that run. Whoever works a queue also turns items of plans into its jobs, so that nobody has to stay who
//! submitted one.

mod advance;
mod again;
mod archive;
mod blocked;
mod comparison;
mod counters;
mod creation;
mod done;
mod feed_all;
mod feeder;
mod gathering;
mod late;
mod limits;
mod loaded;
mod marks;
mod memory;
mod mending;
mod operator;
mod outputs;
mod pausing;
mod plans;
mod queue_feed;
mod repair;
mod report;
mod rows;
mod stage_feed;
mod standing;
mod supply;
mod sweep;

pub(crate) use self::advance::goes_on;
pub(crate) use self::again::Items;
pub(crate) use self::archive::{forget_plan, keep_plan, kept_plan};
pub(crate) use self::blocked::{BlockedItem, blocked_items};
pub(crate) use self::comparison::{Compared, Comparison, Found, Scope};
pub(crate) use self::creation::new_batch;
pub(crate) use self::done::{DoneItem, done_items};
pub(crate) use self::feed_all::FeedAll;
pub(crate) use self::feeder::Round;
pub(crate) use self::loaded::Loaded;
pub(crate) use self::memory::MEMORY_FULL;
pub(crate) use self::operator::{
    Operator, Pausing, can_resume, check_pause, known, part_of, stage_of,
};
pub(crate) use self::outputs::{Outputs, Wanted};
pub(crate) use self::pausing::check_pause_of_stage;
pub(crate) use self::queue_feed::QueueFeed;
pub(crate) use self::repair::{Repair, Todo};
pub(crate) use self::standing::{Standing, causes_of, obstacles};
pub(crate) use self::supply::{Bucket, object_key};
