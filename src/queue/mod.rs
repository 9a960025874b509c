//! The work queue: every Redis command of the crate is in this folder.
//!
//! Wire-compatible with the Python consumers, the janitor, the autoscaler and the exporter: producers push a job's key
//! on the left of the list `<queue>`, a consumer moves it from the right into its own processing list and removes it
//! there when the job is final. Beyond that, a claim writes a token on the job's hash and takes a lease; every later
//! write is a script fenced on that token, so that a consumer which lost a job can neither finish nor overwrite it.

mod admin;
mod children;
mod claim;
mod claim_job;
mod client;
mod connection;
pub(crate) mod control;
mod error;
mod heartbeat;
mod held;
mod invariants;
mod lease;
mod master;
mod metadata;
mod metrics;
mod outcome;
mod queues;
mod reclaim;
mod recovery;
mod refusals;
mod rights;
mod server_info;
mod settings;
mod stats;
mod tally;
mod worker_card;

pub use self::admin::{Admin, ProcessingEntry, Reclaim};
pub use self::children::{ChildSet, ChildSpec, ChildWait};
pub(crate) use self::claim_job::NotClaimed;
pub use self::client::Queue;
pub use self::error::Error;
pub(crate) use self::held::Paused;
pub use self::held::{DeadlinePause, Fields};
pub use self::invariants::{Finding, Invariant};
pub use self::lease::Lease;
pub use self::metadata::MetadataStore;
pub use self::outcome::{Reclaimed, Requeued, RunAt, Settled};
pub(crate) use self::queues::Queues;
pub(crate) use self::rights::MissingRight;
pub(crate) use self::server_info::ServerInfo;
pub use self::settings::{Login, QueueSettings, RedisSettings, Tls};
pub(crate) use self::settings::{QueueName, WorkQueue, lease as lease_time};
pub use self::stats::QueueStats;
pub(crate) use self::worker_card::WorkerCard;
pub use crate::wire::{JobKey, RawFields};
