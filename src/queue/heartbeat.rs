//! How leases are kept.

use std::sync::LazyLock;

use redis::{RedisResult, Script};

use super::client::Queue;
use super::error::Error;
use crate::wire::{self, JobKey};

static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/lists.lua"),
        include_str!("scripts/heartbeat.lua")
    ))
});

/// The jobs that are no longer held, and those that are to end, each followed by whom and why.
type Answer = (Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Queue {
    /// Renews every lease once, and tells the holders of those that turn out to be lost.
    pub async fn heartbeat(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let mut call = HEARTBEAT.key(inner.keys.leases());
        call.key(inner.keys.workers())
            .key(inner.keys.delayed())
            .key(self.name())
            .key(wire::QUEUES)
            .key(inner.keys.days())
            .key(inner.keys.clock())
            .key(inner.keys.recent());
        call.arg(self.consumer())
            .arg(wire::millis(inner.settings.lease))
            .arg(wire::timestamp());
        let ended = inner.tally.take();
        ended.tell(&mut call);
        let renewed = inner.leases.renewed();
        for held in renewed.values() {
            call.arg(&held.key.0)
                .arg(&held.token)
                .arg(self.processing_list(held.slot));
        }
        let operation = "heartbeat";
        let answer: RedisResult<Answer> = inner.heartbeat.attempt(operation, &call).await;
        if answer.is_err() {
            inner.tally.put_back(ended);
        }
        let (lost, cancelled) = answer.map_err(Error::refused(operation))?;
        for key in lost {
            if let Some(held) = renewed.get(&JobKey(key)) {
                self.lose(held);
            }
        }
        for pair in cancelled.chunks_exact(2) {
            if let Some(held) = renewed.get(&JobKey(pair[0].clone())) {
                held.cancel(String::from_utf8_lossy(&pair[1]).into_owned());
            }
        }
        Ok(())
    }
}
