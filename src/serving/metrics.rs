//! What is counted of calls to models.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::model::ModelId;
use crate::metrics::{Counters, Histograms, call_seconds};

/// Counters of a client; clones share them.
#[derive(Clone, Debug)]
pub(super) struct ServingMetrics {
    requests: Counters<Answered>,
    durations: Histograms<Answered>,
    tiles: Counters<Of>,
    batches: Histograms<Of>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    model: String,
    version: i64,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    model: String,
    version: i64,
}

impl Default for ServingMetrics {
    fn default() -> Self {
        let batch = || Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0]);
        Self {
            requests: Counters::default(),
            durations: Histograms::new_with_constructor(call_seconds),
            tiles: Counters::default(),
            batches: Histograms::new_with_constructor(batch),
        }
    }
}

impl ServingMetrics {
    pub(super) fn register(&self, all: &mut Registry) {
        all.register(
            "predict_requests",
            "Attempts to have a model run, by their gRPC code",
            self.requests.clone(),
        );
        all.register(
            "predict_request_duration_seconds",
            "Time of such an attempt",
            self.durations.clone(),
        );
        all.register(
            "tiles",
            "Tiles, cells or other rows of batches that models were given",
            self.tiles.clone(),
        );
        all.register(
            "predict_batch_size",
            "Such rows in one request",
            self.batches.clone(),
        );
    }

    /// A batch of so many rows is about to be sent.
    pub(super) fn sending(&self, model: &ModelId, rows: usize) {
        let of = Of {
            model: model.name.clone(),
            version: model.version,
        };
        self.tiles.get_or_create(&of).inc_by(rows as u64);
        self.batches.get_or_create(&of).observe(rows as f64);
    }

    /// An attempt has ended.
    pub(super) fn answered(&self, model: &ModelId, code: &'static str, took: Duration) {
        let answered = Answered {
            model: model.name.clone(),
            version: model.version,
            code,
        };
        self.requests.get_or_create(&answered).inc();
        self.durations
            .get_or_create(&answered)
            .observe(took.as_secs_f64());
    }
}
