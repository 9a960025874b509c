//! Jobs whose consumer has died: those of this name from an earlier life, and those of others whose lease has expired.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};

use super::admin::{Admin, Patience};
use super::client::Queue;
use super::connection::Connection;
use super::error::Error;
use super::settings::MOST_SLOTS;
use crate::wire::{self, JobKey, Keys, millis};

/// The delay after a second crash; it doubles with each further one.
const CRASH_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_CRASH_BACKOFF: Duration = Duration::from_secs(120);
/// Time between two looks through all keys, in leases.
const SCAN_LEASES: u32 = 5;
/// Leases, and silent consumers, that one round looks at.
const ROUND_LIMIT: usize = 100;

static RECOVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/recover.lua")
    ))
});
static RECLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/reclaim.lua")
    ))
});

/// What was found without a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Jobs that are back in the queue, or come back after a delay.
    pub requeued: Vec<Requeued>,
    /// Entries that were final, gone or held by somebody else.
    pub dropped: Vec<JobKey>,
}

/// A job that was requeued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeued {
    /// The key of the job's hash.
    pub key: JobKey,
    /// How its consumer was missed: `restart`, `lease`, `worker` or `unsettled`.
    pub cause: String,
    /// How often a consumer has died while it worked the job.
    pub crashes: u64,
}

/// Requeued jobs as a flat list of key, cause, crashes; and dropped ones.
type Reply = (Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Reclaimed {
    /// What a script has answered.
    pub(super) fn of(requeued: Vec<Vec<u8>>, dropped: Vec<Vec<u8>>) -> Self {
        let requeued = requeued.chunks_exact(3).map(|parts| Requeued {
            key: JobKey(parts[0].clone()),
            cause: text(&parts[1]),
            crashes: text(&parts[2]).parse().unwrap_or(0),
        });
        Self {
            requeued: requeued.collect(),
            dropped: dropped.into_iter().map(JobKey).collect(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.requeued.extend(other.requeued);
        self.dropped.extend(other.dropped);
    }
}

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

    /// Looks once for jobs whose lease has expired, and requeues them.
    ///
    /// Every consumer may do this at any time; one of them does the work. A Redis that is away is not waited for.
    pub async fn reclaim_expired(&self) -> Result<Reclaimed, Error> {
        self.reclaim(&[]).await
    }

    /// The same for consumers that have lists, and of which nothing else is known: a failover may have lost all trace of them.
    ///
    /// Goes through all keys, so one consumer does it now and then.
    pub async fn reclaim_orphans(&self) -> Result<Reclaimed, Error> {
        let admin = Admin::over(Arc::clone(&self.inner.commands), Patience::None);
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
        self.reclaim(&orphaned.into_iter().collect::<Vec<_>>())
            .await
    }

    async fn reclaim(&self, orphaned: &[String]) -> Result<Reclaimed, Error> {
        let lease = self.inner.settings.lease;
        let found = reclaim(&self.inner.commands, &self.inner.keys, lease, orphaned).await?;
        self.inner.metrics.reclaimed(&found);
        Ok(found)
    }

    async fn recover_list(&self, list: &[u8]) -> Result<Reclaimed, Error> {
        let keys = &self.inner.keys;
        let mut call = RECOVER.key(self.name());
        call.key(keys.leases()).key(keys.delayed()).key(list);
        push_backoff(&mut call);
        let (requeued, dropped): Reply = self.script("recover", &call).await?;
        Ok(Reclaimed::of(requeued, dropped))
    }

    async fn own_lists(&self) -> Result<Vec<Vec<u8>>, Error> {
        let own_suffix = format!(":{}", self.consumer());
        let mut lists = self.admin().processing_lists(self.name()).await?;
        lists.retain(|list| list.ends_with(own_suffix.as_bytes()));
        Ok(lists)
    }
}

/// One round over the leases, the silent and the orphaned consumers of a queue.
pub(super) async fn reclaim(
    connection: &Connection,
    keys: &Keys,
    lease: Duration,
    orphaned: &[String],
) -> Result<Reclaimed, Error> {
    let mut call = RECLAIM.key(keys.queue());
    call.key(keys.leases())
        .key(keys.delayed())
        .key(keys.workers())
        .key(keys.reclaim_lock());
    push_backoff(&mut call);
    call.arg(millis(lease / 6).max(1))
        .arg(ROUND_LIMIT)
        .arg(millis(lease))
        .arg(keys.processing_prefix())
        .arg(MOST_SLOTS);
    for consumer in orphaned {
        call.arg(consumer);
    }
    let operation = "reclaim";
    let reply: RedisResult<Reply> = connection.attempt(operation, &call).await;
    let (requeued, dropped) = reply.map_err(Error::refused(operation))?;
    Ok(Reclaimed::of(requeued, dropped))
}

/// The first arguments of every script that `requeue.lua` stands above.
pub(super) fn push_backoff(call: &mut ScriptInvocation<'_>) {
    call.arg(millis(CRASH_BACKOFF))
        .arg(millis(LONGEST_CRASH_BACKOFF));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
