//! Jobs whose consumer is no more: those of this name from an earlier life, and those of others that fell silent.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};

use super::connection::Link;
use super::keyspace::Patience;
use super::settings::MOST_SLOTS;
use super::{Error, JobKey, Keyspace, Queue, millis};

/// The wait after a second death; it doubles with each further one.
const CRASH_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_CRASH_BACKOFF: Duration = Duration::from_secs(120);
/// Time between two looks through all keys, in leases.
const SWEEP_LEASES: u32 = 5;
/// Leases, and silent consumers, that one round looks at.
const ROUND_LIMIT: usize = 100;

static RECOVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/put_back.lua"),
        include_str!("scripts/recover.lua")
    ))
});
static RESCUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/put_back.lua"),
        include_str!("scripts/rescue.lua")
    ))
});

/// What was found without a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Jobs that are back in the queue, or come back after a while.
    pub restored: Vec<Restored>,
    /// Entries that were final, gone or held by somebody else.
    pub dropped: Vec<JobKey>,
}

/// A job that was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The key of the job's hash.
    pub key: JobKey,
    /// How its consumer was missed: `restart`, `lease`, `worker` or `unsettled`.
    pub cause: String,
    /// How often a consumer has died while it worked the job.
    pub crashes: u64,
}

type Reply = (Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Recovered {
    /// Jobs that were put back, as scripts list them.
    pub(super) fn of(restored: Vec<Vec<u8>>) -> Self {
        let mut recovered = Self::default();
        recovered.extend((restored, Vec::new()));
        recovered
    }

    fn extend(&mut self, (restored, dropped): Reply) {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        self.restored
            .extend(restored.chunks_exact(3).map(|parts| Restored {
                key: JobKey(parts[0].clone()),
                cause: text(&parts[1]),
                crashes: text(&parts[2]).parse().unwrap_or(0),
            }));
        self.dropped.extend(dropped.into_iter().map(JobKey));
    }
}

impl Queue {
    /// Puts back what an earlier process of this name left unfinished, and counts its death: a container that was killed for
    /// its memory comes back like this. Waits until Redis answers; call it once, at start.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for list in self.own_lists().await? {
            recovered.extend(self.recover_list(&list).await?);
        }
        self.inner.metrics.put_back(&recovered);
        Ok(recovered)
    }

    /// Looks once for jobs whose consumer has stopped renewing its lease, and puts them back.
    ///
    /// Every consumer may do this at any time; one of them does the work. A Redis that is away is not waited for.
    pub async fn rescue(&self) -> Result<Recovered, Error> {
        self.rescue_from(&[]).await
    }

    /// The same for consumers that have lists, and of which nothing else is known: a failover may have lost all trace of them.
    ///
    /// Goes through all keys, so one consumer does it now and then.
    pub async fn rescue_strays(&self) -> Result<Recovered, Error> {
        let keyspace = Keyspace::over(Arc::clone(&self.inner.commands), Patience::None);
        if !keyspace
            .take_turn(self.name(), self.inner.settings.lease * SWEEP_LEASES)
            .await?
        {
            return Ok(Recovered::default());
        }
        let known = keyspace.consumers(self.name()).await?;
        let lists = keyspace.processing_lists(self.name()).await?;
        let pods = lists.iter().map(|list| {
            String::from_utf8_lossy(list)
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        let strays: BTreeSet<_> = pods.filter(|pod| !known.contains(pod)).collect();
        if strays.is_empty() {
            return Ok(Recovered::default());
        }
        self.rescue_from(&strays.into_iter().collect::<Vec<_>>())
            .await
    }

    async fn rescue_from(&self, strays: &[String]) -> Result<Recovered, Error> {
        let found = rescue(
            &self.inner.commands,
            self.name(),
            self.inner.settings.lease,
            strays,
        )
        .await?;
        self.inner.metrics.put_back(&found);
        Ok(found)
    }

    async fn recover_list(&self, list: &[u8]) -> Result<Reply, Error> {
        let mut call = RECOVER.key(self.name());
        call.key(self.auxiliary("lease"))
            .key(self.auxiliary("delayed"))
            .key(list);
        crash_backoff(&mut call);
        self.persist("recover leftovers", &call).await
    }

    async fn own_lists(&self) -> Result<Vec<Vec<u8>>, Error> {
        let own_suffix = format!(":{}", self.consumer());
        let mut lists = self.keyspace().processing_lists(self.name()).await?;
        lists.retain(|list| list.ends_with(own_suffix.as_bytes()));
        Ok(lists)
    }
}

/// The arguments of scripts that put jobs back.
pub(super) fn crash_backoff(call: &mut ScriptInvocation<'_>) {
    call.arg(millis(CRASH_BACKOFF))
        .arg(millis(LONGEST_CRASH_BACKOFF));
}

/// One round over the leases and silent consumers of a queue.
pub(super) async fn rescue(
    link: &Link,
    queue: &str,
    lease: Duration,
    strays: &[String],
) -> Result<Recovered, Error> {
    let auxiliary = |what: &str| format!("rc:{what}:{queue}");
    let mut call = RESCUE.key(queue);
    call.key(auxiliary("lease"))
        .key(auxiliary("delayed"))
        .key(auxiliary("workers"))
        .key(auxiliary("rlock"));
    crash_backoff(&mut call);
    call.arg(millis(lease / 6).max(1))
        .arg(ROUND_LIMIT)
        .arg(millis(lease));
    call.arg(format!("processing-{queue}:")).arg(MOST_SLOTS);
    strays.iter().for_each(|stray| {
        call.arg(stray);
    });
    let operation = "look for jobs without a consumer";
    let reply: RedisResult<Reply> = link.attempt(operation, &call).await;
    let mut recovered = Recovered::default();
    recovered.extend(reply.map_err(|cause| Error { operation, cause })?);
    Ok(recovered)
}
