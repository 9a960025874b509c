//! What operators do with queues and jobs, for commands and pages alike.
//!
//! Everything that concerns many jobs goes in steps which take Redis a few milliseconds each and ask for the state that they
//! change: a command that was broken off may be given again, and goes on.

mod audit;
mod batch_list;
mod batches;
mod cancel;
mod causes;
mod failures;
mod feeding;
mod field_groups;
mod fleet;
mod history;
mod jobs;
mod json;
mod known;
mod marks;
mod overview;
mod pause;
mod place;
mod requeue;
mod save;
mod selected;
mod server;
mod step;
mod submit;
mod transfer;
mod trash;
mod walk;
mod window;
mod workers;

pub(crate) use self::audit::Record;
pub(crate) use self::batches::{BatchState, NewBatch, NewStage, StageState};
pub(crate) use self::cancel::Cancel;
pub(crate) use self::causes::{Group, Groups};
pub(crate) use self::failures::{EVER, Failure, why};
pub(crate) use self::feeding::{Chunk, Fed, NewItem, Origin};
pub(crate) use self::field_groups::in_groups;
pub(crate) use self::history::Minute;
pub(crate) use self::jobs::Expiry;
pub(crate) use self::json::{
    SAVE_VERSION, exception_to_json, job_to_json, save_head, status_to_json,
};
pub(crate) use self::marks::{NewCounters, Remark};
pub(crate) use self::overview::Overview;
pub(crate) use self::pause::Pause;
pub(crate) use self::place::Place;
pub(crate) use self::requeue::{End, Scope, What, how};
pub(crate) use self::save::{SavedJob, SavedPlace};
pub(crate) use self::selected::{Changes, Selected};
pub(crate) use self::server::ServerState;
pub(crate) use self::step::STEP;
pub(crate) use self::submit::{NewEntry, Standing, Submitted, host_name, queue_for, type_of};
pub(crate) use self::transfer::Order;
pub(crate) use self::trash::Trash;
pub(crate) use self::walk::Source;
pub(crate) use self::workers::{HeldJob, WorkerState};
