//! Takes microscopy jobs off a Redis queue, segments them with models on TensorFlow Serving, and stores the result.
//!
//! The data flow, which is also the order of the modules:
//!
//! ```text
//! environment ─► settings ─► daemon ─► queue ─► job ─► worker ─► consumer(s)
//!                                                                 │
//!              storage ─► bioimage ─► applications ─► serving     │ a recipe calls these
//!                                     └► cell-analysis            │ in this order
//!              bioimage ─► storage::archive ─► storage ─► job ◄───┘
//! ```
//!
//! A consumer of one's own is a struct that implements [`Consumer`], a [`ConsumerKind`] that names it, and a binary of three
//! lines around [`run`]; see `examples/custom_consumer.rs`.

#![cfg_attr(
    not(feature = "dashboard"),
    allow(dead_code, unused_imports, reason = "some of it is for pages only")
)]

/// What the operator has set.
pub mod settings;

/// Log lines.
mod logging;

/// Everything that the environment says, found right.
mod configuration;

/// Wires configuration, clients, consumer and worker together, and listens for signals.
mod daemon;

/// Text of users and peers, fit to be shown.
mod untrusted;

/// Numbers and times as people read them.
mod figures;

/// Why something that an operator wants is not done.
mod refusal;

/// The words that every program of a Kiosk reads and writes in Redis.
mod wire;

/// Plans that run.
mod batch;

/// Jobs and batches before they are there: what is asked for, and whether it can be done.
mod submission;

/// The work queue in Redis.
pub mod queue;

/// One job: its hash, its progress, its end.
pub mod job;

mod worker;

/// The seam at which consumers are added.
pub mod consumer;

/// The consumers that come with the crate.
pub mod consumers;

/// The bucket: downloads, uploads, archives.
pub mod storage;

/// Models together with the steps they were trained with.
pub mod applications;

/// Model servers over gRPC.
pub mod serving;

/// The door from async to the CPU.
pub mod compute;

/// What model servers have said, shared with other consumers.
pub mod shared_cache;

/// Models that no folder of this machine has.
pub mod model_store;

/// The memory budget that all running jobs share.
pub mod memory;

/// Traces of jobs, for a collector.
mod traces;

/// Delays between attempts.
mod backoff;

/// Whether more files can be opened.
mod descriptors;

/// Commands of users as child processes.
mod process;

/// What the program counts of itself.
mod metrics;

/// What kind of failure an error is.
pub mod error_class;

/// The signature by which failures are grouped.
mod cause;

mod error_report;

mod selection;

/// The Kubernetes API: which pods are running, and what deleting this one would cost.
mod kubernetes;

/// Metrics and probes over HTTP.
mod http;

/// What is right and wrong with settings and peers.
mod checkup;

/// Commands for those who run a Kiosk.
mod ops;

/// The web page.
#[cfg(feature = "dashboard")]
mod dashboard;

/// What the exit status of the program says.
mod exit_code;

mod cli;

/// A conformance suite that a consumer runs on itself.
#[cfg(feature = "testing")]
pub mod testing;

pub use bioimage;
pub use cli::run;
pub use consumer::{
    Clients, Consumer, ConsumerKind, Factory, ModelInputs, ModelRequirement, Outcome, Registry,
};
pub use job::{Job, Output, Status, Step};
#[doc(hidden)]
pub use process::is_helper;
