//! The tests of the whole program, in one program: a table of contents.
//!
//! Each test starts the peers it needs on free ports, and consumers as processes of their own with an environment of their own,
//! so that none of them meets another one's. `cargo test --release --all-features --test it fan_out::` runs one module.
//! Recorded results (`golden`) and the chaos run (`chaos`) are programs of their own: the one is asked for by itself, the
//! other wants the machine for itself.

/// Redis, buckets, model servers, consumers and what else a Kiosk has.
#[path = "../peers/mod.rs"]
mod peers;

// The sources themselves.

/// Who may import whom.
mod layers;

/// What the Lua scripts quote, against the words of the wire.
mod lua_words;

/// The documents, against the sources and each other.
mod documents;

// One client against servers that fail on demand.

/// Buckets.
mod storage;

/// Containers of Azure.
mod azure;

/// Plans that run.
mod batches;

/// Model servers.
mod serving;

/// Passwords, users, databases and certificates of Redis.
mod redis_access;

/// Random interleavings of steps on a Redis.
mod interleavings;

/// The scripts of the queue in random order, with the invariants checked after each step.
mod queue_model;

/// The marks of a batch in random order, likewise.
mod batch_model;

// One job through the whole program.

/// Cells in culture: the wire, kills, restarts, SIGTERM, broken entries of the queue.
mod image_job;

/// Cells in tissue.
mod mesmer_job;

/// Commands of users.
mod exec;
/// Models of other makers.
mod other_models;

/// Models in the process by ONNX Runtime.
mod onnx_runtime;
/// Triton and MLServer.
mod real_model_servers;

/// Jobs that become many: archives, movies, spots.
mod fan_out;

/// Pictures of results, and numbers of their quality.
mod previews;

/// Cells across the borders of tiles are whole.
mod seams;

/// The suite that consumers run on themselves: ours keep the contract, and those that do not are found out.
mod conformance;

// Many jobs, and what goes wrong.

/// Retries, deaths, deadlines, absent peers, and the janitor and `fsck` that look after the rest.
mod reliability;

/// Python consumers beside ours, as parents and as children.
mod mixed_fleet;

/// What depends most on the server, on Redis 8 and Valkey 8.
mod other_servers;

// Files of other people.

/// Images and archives, whole and damaged.
mod real_files;

/// Small files that ask for much memory, four at a time.
mod hostile_files;

/// Archives through the consumer of them.
mod real_archives;

/// Movies through the consumer of them.
mod real_movies;

// What operators see.

/// The environment, and what is made of it.
mod settings;

/// `redis-consumer check`.
mod check;

/// The commands with which operators look after jobs and queues.
mod operators;

/// The web page.
mod dashboard;

/// Metrics, probes and the cost of deletion.
mod metrics_and_probes;

/// Traces, as a collector gets them.
mod traces;
