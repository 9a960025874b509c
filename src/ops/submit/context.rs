//! What all parts of the command share.

use super::super::desk::{Desk, Screen};
use crate::storage::Storage;
use crate::submission::{Identity, Input, Wishes};

/// What all parts of the command share.
pub(super) struct Context {
    pub(super) desk: Desk,
    pub(super) storage: Storage,
    pub(super) wishes: Wishes,
    pub(super) queue: String,
    pub(super) identity: Identity,
    /// The machine that submits.
    pub(super) host: String,
    pub(super) screen: Screen,
    pub(super) is_dry: bool,
    pub(super) json: bool,
    pub(super) max_queue: Option<u64>,
    /// Whether the jobs are followed once they are queued.
    pub(super) follows: bool,
    pub(super) at_once: usize,
    pub(super) limit: usize,
}

impl Context {
    /// An object of the bucket as the input of a job.
    pub(super) fn input(&self, key: &str, name: &str, sha256: Option<String>) -> Input {
        Input {
            url: self.storage.public_url(key),
            key: key.to_owned(),
            name: name.to_owned(),
            sha256,
        }
    }
}
