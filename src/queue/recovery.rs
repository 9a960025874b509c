//! Jobs whose consumer has died: those of this name from an earlier life, and those of others whose lease has expired.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use redis::{Cmd, RedisResult, Script};
use tokio_util::sync::CancellationToken;

use super::client::Queue;
use super::connection::Connection;
use super::error::Error;
use super::outcome::Reclaimed;
use super::reclaim;
use super::settings::MOST_SLOTS;
use crate::wire;

/// Time between two looks through all keys, in leases.
const SCAN_LEASES: u32 = 10;

static RECOVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/recover.lua")
    ))
});
impl Queue {
    /// Requeues what an earlier process of this name left unfinished, and counts its death: a container that was killed for
    /// its memory comes back like this. Waits until Redis answers; call it once, at start.
    pub async fn recover(&self) -> Result<Reclaimed, Error> {
        let mut recovered = Reclaimed::default();
        for list in self.own_lists().await? {
            recovered.merge(self.recover_list(&list).await?);
        }
        self.inner.metrics.reclaimed(&recovered);
        Ok(recovered)
    }

    /// Makes the consumer known before it waits for a job, as claims do: what it is given then has no lease yet, and if it
    /// dies before its next heartbeat, nobody would look into its lists.
    ///
    /// Waits for a Redis that is away, but after `stop` no longer.
    pub(super) async fn register(
        &self,
        commands: &Connection,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let operation = "register";
        let time = redis::cmd("TIME");
        let time: RedisResult<Option<(u64, u64)>> =
            commands.persist_until(operation, &time, stop).await;
        let Some((seconds, micros)) = time.map_err(Error::refused(operation))? else {
            return Ok(());
        };
        let now = seconds * 1000 + micros / 1000;
        let add = Cmd::zadd(self.inner.keys.workers(), self.consumer(), now);
        let added: RedisResult<Option<u32>> = commands.persist_until(operation, &add, stop).await;
        added.map(drop).map_err(Error::refused(operation))
    }

    /// Looks once for jobs whose lease has expired, and requeues them.
    ///
    /// Every consumer may do this at any time; one of them does the work. A Redis that is away is not waited for.
    pub async fn reclaim_expired(&self) -> Result<Reclaimed, Error> {
        let inner = &self.inner;
        let found =
            reclaim::reclaim_all(&inner.commands, &inner.keys, inner.settings.lease).await?;
        inner.metrics.reclaimed(&found);
        Ok(found)
    }

    /// The same for consumers that have lists, and of which nothing else is known: a failover may have lost all trace of them.
    ///
    /// Goes through all keys, so one consumer does it now and then.
    pub async fn reclaim_orphans(&self) -> Result<Reclaimed, Error> {
        let admin = self.impatient_admin();
        let every = self.inner.settings.lease * SCAN_LEASES;
        if !admin.take_scan_turn(self.name(), every).await? {
            return Ok(Reclaimed::default());
        }
        let known = admin.consumers(self.name()).await?;
        let lists = admin.processing_lists(self.name()).await?;
        let consumers = lists.iter().map(|list| wire::consumer_of_processing(list));
        let orphaned: BTreeSet<_> = consumers.filter(|name| !known.contains(name)).collect();
        if orphaned.is_empty() {
            return Ok(Reclaimed::default());
        }
        let inner = &self.inner;
        let orphaned: Vec<_> = orphaned.into_iter().collect();
        let lease = inner.settings.lease;
        let round = reclaim::reclaim(&inner.commands, &inner.keys, lease, &orphaned).await?;
        inner.metrics.reclaimed(&round.found);
        Ok(round.found)
    }

    async fn recover_list(&self, list: &[u8]) -> Result<Reclaimed, Error> {
        let keys = &self.inner.keys;
        let mut call = RECOVER.key(self.name());
        call.key(keys.leases()).key(keys.delayed()).key(list);
        reclaim::push_backoff(&mut call);
        let (requeued, dropped) = self.script("recover", &call).await?;
        Ok(Reclaimed::of(requeued, dropped))
    }

    async fn own_lists(&self) -> Result<Vec<Vec<u8>>, Error> {
        // An earlier process of this name may have had more slots.
        let lists = (0..MOST_SLOTS).map(|slot| self.processing_list(slot).into_bytes());
        let lists: Vec<_> = lists.collect();
        let admin = self.admin();
        let exist = admin
            .ask_each::<bool>(&lists, |key| Cmd::exists(key))
            .await?;
        let found = lists.into_iter().zip(exist);
        Ok(found
            .filter_map(|(list, exists)| exists.unwrap_or(true).then_some(list))
            .collect())
    }
}
