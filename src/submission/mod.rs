//! Jobs and batches before they are there: what is asked for, held against what there is, and queued. Commands and pages call
//! the same functions.

mod creation;
mod folder;
mod local_files;
mod new_jobs;
mod patience;
mod prepared;
mod probes;
mod supply;
mod verify;
mod wanted;

pub(crate) use self::creation::create;
pub(crate) use self::folder::matching;
pub(crate) use self::local_files::{Found, LocalFile, find};
pub(crate) use self::new_jobs::{Identity, Input, Wishes};
pub(crate) use self::patience::{PATIENCE, asked};
pub(crate) use self::prepared::{Prepared, differences, open, open_bucket};
pub(crate) use self::probes::{PROBE, PROBE_KEY, ask_for_models, write_probe};
pub(crate) use self::verify::{ModelPeer, Peers, Verified, axes_of, header_of, length};
pub(crate) use self::wanted::Wanted;
