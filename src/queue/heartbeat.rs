//! How leases are kept.

use std::sync::LazyLock;

use redis::{RedisResult, Script};

use super::client::Queue;
use super::error::Error;
use crate::wire::{self, JobKey};

static HEARTBEAT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/heartbeat.lua")));

impl Queue {
    /// Renews every lease once, and tells the holders of those that turn out to be lost.
    pub async fn heartbeat(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let mut call = HEARTBEAT.key(inner.keys.leases());
        call.key(inner.keys.workers())
            .key(inner.keys.delayed())
            .key(self.name())
            .key(inner.keys.clock());
        call.arg(self.consumer())
            .arg(wire::millis(inner.settings.lease))
            .arg(wire::timestamp());
        let renewed = inner.leases.renewed();
        for held in renewed.values() {
            call.arg(&held.key.0)
                .arg(&held.token)
                .arg(self.processing_list(held.slot));
        }
        let operation = "heartbeat";
        let lost: RedisResult<Vec<Vec<u8>>> = inner.heartbeat.attempt(operation, &call).await;
        for key in lost.map_err(Error::refused(operation))? {
            if let Some(held) = renewed.get(&JobKey(key)) {
                self.lose(held);
            }
        }
        Ok(())
    }
}
