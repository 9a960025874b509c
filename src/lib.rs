//! Takes microscopy jobs off a Redis queue, segments them with models on TensorFlow Serving, and stores the result.
//!
//! The data flow, which is also the order of the modules:
//!
//! ```text
//! environment ─► settings ─► daemon ─► queue ─► job ─► worker ─► consumer(s)
//!                                                                 │
//!              storage ─► images ─► applications ─► serving       │ a recipe calls these
//!                                   └► tracking, analysis (pure)  │ in this order
//!              images ─► storage::archive ─► storage ─► job ◄─────┘
//! ```
//!
//! A consumer of one's own is a struct that implements [`Consumer`], a [`Kind`] that names it, and a binary of three
//! lines around [`run`]; see `examples/custom_consumer.rs`.

/// What the operator has set.
pub mod settings;

/// Log lines.
mod logging;

/// Everything that the environment says, found right.
mod configuration;

/// Wires configuration, clients, consumer and worker together, and listens for signals.
mod daemon;

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

/// Files to arrays and back.
pub mod images;

/// Models together with the steps they were trained with.
pub mod applications;

/// TensorFlow Serving over gRPC.
pub mod serving;

/// Pure cell tracking.
pub mod tracking;

/// Pure image analysis.
pub mod analysis;

/// The door from async to the CPU.
pub mod compute;

/// The bound on the memory of all jobs together.
pub mod memory;

/// Traces of jobs, for a collector.
mod traces;

/// What the program counts of itself.
mod metrics;

/// The error that is the user's to mend.
pub mod failure;

mod reason;

/// The API of Kubernetes.
mod kubernetes;

/// What Kubernetes and Prometheus see of the process.
mod monitor;

/// What `make demo` shows: a model server with a classical model, and a guided run.
mod demo;

/// Commands for those who run a Kiosk.
mod ops;

mod cli;

pub use cli::run;
pub use consumer::{Build, Clients, Consumer, Kind, ModelNeed, Outcome, Registry, Takes};
pub use job::{Job, Output, Status};
