//! What is counted of the bucket.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use super::error::{Direction, Failure};
use crate::metrics::Counters;

/// Counters of a bucket; clones share them.
#[derive(Clone, Debug)]
pub(super) struct StorageMetrics {
    backend: &'static str,
    requests: Counters<Answered>,
    bytes: Counters<Moved>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    backend: &'static str,
    op: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Moved {
    backend: &'static str,
    direction: &'static str,
}

impl StorageMetrics {
    /// `backend` is the word for the kind of store.
    pub(super) fn new(backend: &'static str) -> Self {
        Self {
            backend,
            requests: Counters::default(),
            bytes: Counters::default(),
        }
    }

    pub(super) fn register(&self, all: &mut Registry) {
        all.register(
            "storage_requests",
            "Attempts to transfer an object or a part of one",
            self.requests.clone(),
        );
        all.register(
            "storage_bytes",
            "Bytes of objects that were transferred",
            self.bytes.clone(),
        );
    }

    /// An attempt has ended.
    pub(super) fn answered<T>(&self, direction: Direction, answer: &Result<T, Failure>) {
        let outcome = match answer {
            Ok(_) => "ok",
            Err(Failure::Transient(_)) => "transient",
            Err(Failure::Permanent(_)) => "permanent",
        };
        self.requests
            .get_or_create(&Answered {
                backend: self.backend,
                op: direction.word(),
                outcome,
            })
            .inc();
    }

    /// Bytes have gone this way.
    pub(super) fn moved(&self, direction: Direction, bytes: usize) {
        self.bytes
            .get_or_create(&Moved {
                backend: self.backend,
                direction: direction.word(),
            })
            .inc_by(bytes as u64);
    }
}
