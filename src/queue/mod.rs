//! The work queue: every Redis command of the crate is in this folder.
//!
//! Wire-compatible with the Python consumers, the janitor, the autoscaler and the exporter: producers push a job's key
//! on the left of the list `<queue>`, a consumer moves it from the right into its own processing list and removes it
//! there when the job is final. Beyond that, a claim writes a token on the job's hash and takes a lease; every later
//! write is a script fenced on that token, so that a consumer which lost a job can neither finish nor overwrite it.
//! Job keys are bytes and never parsed.

mod connection;
mod metadata;
mod settings;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::{RedisError, RedisResult, Script, ScriptInvocation};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::connection::{Link, Server};
pub use self::metadata::MetadataStore;
pub use self::settings::{Login, QueueSettings, Tls};

/// How long a job stays ours without a heartbeat.
const LEASE: Duration = Duration::from_secs(30);
/// How often leases and `updated_at` are renewed; the janitor spares what is younger than 15 s.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// The longest a blocking wait stays inside Redis.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Due jobs promoted, and entries looked at, by one claim.
const FETCH_LIMIT: usize = 32;
const REPLY_LIMIT: Duration = Duration::from_secs(5);

static FETCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fetch.lua")));
static BEAT_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/beat.lua")));
static SET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/set.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/finish.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/release.lua")));
static RECOVER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/recover.lua")));

/// The key of a job's hash: bytes that nobody parses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobKey(pub Vec<u8>);

impl Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A job that is ours until it is finished, released or lost.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key of the job's hash.
    pub key: JobKey,
    /// How often a consumer has died while it worked this job.
    pub crashes: u64,
    /// Cancelled as soon as the job is known to be somebody else's.
    pub lost: CancellationToken,
    token: String,
    slot: usize,
}

/// What became of an attempt to settle a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The write took place.
    Committed,
    /// The hash has vanished (expired or deleted); the entry was dropped.
    Gone,
    /// The entry had been taken out of our list; nothing was written.
    Moved,
    /// Another consumer has claimed the job; nothing was written.
    Lost,
}

/// What a process found in its own lists when it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Jobs put back at the front of the queue.
    pub restored: usize,
    /// Entries that were final, gone or held by somebody else.
    pub dropped: usize,
}

/// An error that waiting does not cure, such as a queue name that holds another type.
#[derive(Debug, thiserror::Error)]
#[error("redis refused to {operation}: {cause}")]
pub struct Error {
    operation: &'static str,
    cause: RedisError,
}

/// A handle on the queue; clones share connections and the list of held jobs.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    settings: QueueSettings,
    commands: Link,
    waiting: Link,
    beating: Link,
    boot: String,
    held: Mutex<HashMap<JobKey, Held>>,
    unsure: Vec<AtomicBool>,
    turn: tokio::sync::Mutex<()>,
    blocking_wait: AtomicBool,
}

struct Held {
    token: String,
    slot: usize,
    lost: CancellationToken,
}

impl Queue {
    /// A handle that connects when it is first used.
    pub fn new(settings: QueueSettings) -> Self {
        let server = Server::new(&settings);
        let link = |reply_limit| Link::new(server.clone(), reply_limit, settings.reconnect_pause);
        let inner = Inner {
            commands: link(REPLY_LIMIT),
            waiting: link(LONGEST_WAIT + REPLY_LIMIT),
            beating: link(BEAT),
            boot: format!("{:016x}", fastrand::u64(..)),
            held: Mutex::default(),
            unsure: (0..settings.slots).map(|_| AtomicBool::new(false)).collect(),
            turn: tokio::sync::Mutex::new(()),
            blocking_wait: AtomicBool::new(true),
            settings,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The name of the queue that is consumed.
    pub fn name(&self) -> &str {
        &self.inner.settings.queue
    }

    /// The name under which this process works.
    pub fn consumer(&self) -> &str {
        &self.inner.settings.consumer
    }

    /// How many jobs this process works at the same time.
    pub fn slots(&self) -> usize {
        self.inner.settings.slots
    }

    /// A store for model metadata on the same server.
    pub fn metadata_store(&self) -> MetadataStore {
        MetadataStore::new(self.clone())
    }

    /// Puts back what an earlier process of this name left unfinished. Waits until Redis answers; call it once, at start.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for list in self.own_lists().await? {
            let (restored, dropped) = self.recover_list(&list, "crash").await?;
            recovered.restored += restored;
            recovered.dropped += dropped;
        }
        Ok(recovered)
    }

    /// Takes the next job into a slot, waiting inside Redis for a moment if there is none.
    ///
    /// Must not be raced against anything: a cancelled claim could lose sight of a job that Redis has already moved.
    /// `stop` ends the idle wait, and only that.
    pub async fn claim(&self, slot: usize, stop: &CancellationToken) -> Result<Option<(Claim, RawFields)>, Error> {
        let Some(_turn) = stop.run_until_cancelled(self.inner.turn.lock()).await else {
            return Ok(None);
        };
        if let Some(claimed) = self.fetch(slot).await? {
            return Ok(Some(claimed));
        }
        match stop.run_until_cancelled(self.wait_for_entry()).await {
            Some(Ok(true)) => self.fetch(slot).await,
            Some(Ok(false)) | None => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }

    /// Writes fields of a held job. `Lost` says that it is no longer ours, and nothing was written.
    pub async fn set(&self, claim: &Claim, fields: &[(&str, String)]) -> Result<Settled, Error> {
        let mut call = SET.key(&claim.key.0);
        call.arg(&claim.token);
        push_fields(&mut call, fields);
        let written: u8 = self.persist("write a job's fields", &call).await?;
        Ok(if written == 1 { Settled::Committed } else { Settled::Lost })
    }

    /// Commits the final fields of a held job. May be repeated after a failure.
    pub async fn finish(&self, claim: &Claim, fields: &[(&str, String)]) -> Result<Settled, Error> {
        let mut call = self.settling(&FINISH, claim);
        push_fields(&mut call, fields);
        self.settle("finish a job", claim, &call).await
    }

    /// Hands a held job back at the front of the queue, unharmed.
    pub async fn release(&self, claim: &Claim) -> Result<Settled, Error> {
        let mut call = self.settling(&RELEASE, claim);
        call.key(self.name());
        self.settle("hand a job back", claim, &call).await
    }

    /// Renews every lease once, and cancels the claims that turn out to be lost.
    pub async fn beat(&self) -> Result<(), Error> {
        let mut call = BEAT_SCRIPT.key(self.auxiliary("lease"));
        call.key(self.auxiliary("workers")).key(self.auxiliary("delayed"));
        call.arg(self.consumer()).arg(millis(LEASE)).arg(crate::job::timestamp());
        for (key, held) in self.held().iter() {
            call.arg(&key.0).arg(&held.token).arg(self.processing_list(held.slot));
        }
        let lost: RedisResult<Vec<Vec<u8>>> = self.inner.beating.attempt(&call).await;
        for key in lost.map_err(|cause| Error { operation: "renew leases", cause })?.into_iter().map(JobKey) {
            if let Some(held) = self.held().get(&key) {
                warn!(job.key = %key, "the job is no longer ours; its result will be dropped");
                held.lost.cancel();
            }
        }
        Ok(())
    }

    /// Writes a new job and queues it, as the web frontend does: first the hash, then the left end of the list.
    pub async fn submit(&self, key: &JobKey, fields: &[(&str, String)]) -> Result<(), Error> {
        let hash = redis::Cmd::hset_multiple(&key.0, fields);
        let entry = redis::Cmd::lpush(self.name(), &key.0);
        self.command::<()>("write a job", &hash).await?;
        self.command::<()>("queue a job", &entry).await
    }

    /// All fields of a job's hash, whoever holds it.
    pub async fn fields(&self, key: &JobKey) -> Result<RawFields, Error> {
        self.command("read a job", &redis::Cmd::hgetall(&key.0)).await
    }

    async fn fetch(&self, slot: usize) -> Result<Option<(Claim, RawFields)>, Error> {
        let list = self.processing_list(slot);
        if self.inner.unsure[slot].load(Ordering::Relaxed) {
            self.recover_list(&list, "lost reply").await?;
            self.inner.unsure[slot].store(false, Ordering::Relaxed);
        }
        let mut call = FETCH.key(self.name());
        call.key(&list).key(self.auxiliary("lease")).key(self.auxiliary("delayed"));
        call.arg(self.consumer()).arg(&self.inner.boot).arg(millis(LEASE));
        call.arg(crate::job::timestamp()).arg(FETCH_LIMIT);
        let reply: RedisResult<FetchReply> = self.inner.commands.attempt(&call).await;
        // Whatever went wrong, the job may have been moved although we never heard of it.
        let reply = reply.inspect_err(|_| self.inner.unsure[slot].store(true, Ordering::Relaxed));
        match reply {
            Ok(reply) => Ok(self.accept(slot, reply)),
            Err(error) if connection::is_passing(&error) => {
                warn!(error = %error, "redis does not answer a claim; trying again");
                tokio::time::sleep(self.inner.settings.reconnect_pause.min(LONGEST_WAIT).mul_f64(fastrand::f64()))
                    .await;
                Ok(None)
            }
            Err(cause) => Err(Error { operation: "hand out a job", cause }),
        }
    }

    fn accept(&self, slot: usize, reply: FetchReply) -> Option<(Claim, RawFields)> {
        let FetchReply { dropped, taken } = reply;
        for entry in dropped.chunks_exact(2) {
            let (key, why) = (String::from_utf8_lossy(&entry[0]), String::from_utf8_lossy(&entry[1]));
            warn!(job.key = %key, queue = self.name(), "dropped a queue entry: {why}");
        }
        let (key, token, crashes, fields) = taken?;
        let claim = Claim { key: JobKey(key), crashes, lost: CancellationToken::new(), token, slot };
        let held = Held { token: claim.token.clone(), slot, lost: claim.lost.clone() };
        self.held().insert(claim.key.clone(), held);
        Some((claim, fields))
    }

    /// Waits until the queue has an entry, without moving any. False after a moment without one.
    async fn wait_for_entry(&self) -> Result<bool, Error> {
        let limit = self.inner.settings.idle_wait.min(LONGEST_WAIT).max(Duration::from_millis(10));
        if !self.inner.blocking_wait.load(Ordering::Relaxed) {
            tokio::time::sleep(limit.min(Duration::from_millis(250))).await;
            return Ok(true);
        }
        let mut command = redis::cmd("BLMOVE");
        command.arg(self.name()).arg(self.name()).arg("RIGHT").arg("RIGHT").arg(limit.as_secs_f64());
        match self.inner.waiting.persist_command::<Option<Vec<u8>>>("wait for a job", &command).await {
            Ok(entry) => Ok(entry.is_some()),
            Err(error) if error.to_string().contains("unknown command") => {
                info!("this redis knows no BLMOVE (it came with 6.2): the queue is polled four times a second");
                self.inner.blocking_wait.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(cause) => Err(Error { operation: "wait for a job", cause }),
        }
    }

    async fn own_lists(&self) -> Result<Vec<Vec<u8>>, Error> {
        let pattern = format!("processing-{}:*", glob_escape(self.name()));
        let own_suffix = format!(":{}", self.consumer());
        let (mut cursor, mut lists) = (0_u64, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = self.command("look for leftovers", &scan).await?;
            lists.extend(keys.into_iter().filter(|key| key.ends_with(own_suffix.as_bytes())));
            if next == 0 {
                lists.sort();
                lists.dedup();
                return Ok(lists);
            }
            cursor = next;
        }
    }

    async fn recover_list(&self, list: &[u8], cause: &str) -> Result<(usize, usize), Error> {
        let mut call = RECOVER.key(list);
        call.key(self.name()).key(self.auxiliary("lease")).arg(cause);
        self.persist("recover leftovers", &call).await
    }

    fn settling<'s>(&self, script: &'s Script, claim: &Claim) -> ScriptInvocation<'s> {
        let mut call = script.key(&claim.key.0);
        call.key(self.processing_list(claim.slot)).key(self.auxiliary("lease")).key(self.auxiliary("delayed"));
        call.arg(&claim.token);
        call
    }

    async fn settle(&self, what: &'static str, claim: &Claim, call: &ScriptInvocation<'_>) -> Result<Settled, Error> {
        let answer: String = self.persist(what, call).await?;
        self.forget(claim);
        Ok(match answer.as_str() {
            "OK" => Settled::Committed,
            "GONE" => Settled::Gone,
            "MOVED" => Settled::Moved,
            _ => Settled::Lost,
        })
    }

    fn forget(&self, claim: &Claim) {
        let mut held = self.held();
        if held.get(&claim.key).is_some_and(|held| held.token == claim.token) {
            held.remove(&claim.key);
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<JobKey, Held>> {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn persist<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        self.inner.commands.persist(operation, call).await.map_err(|cause| Error { operation, cause })
    }

    async fn command<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, Error> {
        self.inner.commands.persist_command(operation, command).await.map_err(|cause| Error { operation, cause })
    }

    /// Slot 0 has the list that a Python consumer of this name would have; see the contract, section 1.3.
    fn processing_list(&self, slot: usize) -> Vec<u8> {
        let (queue, consumer) = (self.name(), self.consumer());
        match slot {
            0 => format!("processing-{queue}:{consumer}"),
            _ => format!("processing-{queue}:slot{slot}:{consumer}"),
        }
        .into_bytes()
    }

    fn auxiliary(&self, what: &str) -> Vec<u8> {
        format!("rc:{what}:{}", self.name()).into_bytes()
    }
}

/// The fields of a job's hash as Redis holds them.
pub type RawFields = HashMap<Vec<u8>, Vec<u8>>;

type Taken = (Vec<u8>, String, u64, RawFields);

/// Entries that were dropped with the reason for each, and the job that was taken.
struct FetchReply {
    dropped: Vec<Vec<u8>>,
    taken: Option<Taken>,
}

impl redis::FromRedisValue for FetchReply {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        let redis::Value::Array(mut parts) = value else {
            return Ok(Self { dropped: Vec::new(), taken: None });
        };
        let taken = match parts.len() {
            5 => Some(Taken::from_redis_value(redis::Value::Array(parts.split_off(1)))?),
            _ => None,
        };
        let dropped = parts.pop().map(Vec::<Vec<u8>>::from_redis_value).transpose()?;
        Ok(Self { dropped: dropped.unwrap_or_default(), taken })
    }
}

fn push_fields(call: &mut ScriptInvocation<'_>, fields: &[(&str, String)]) {
    for (name, value) in fields {
        call.arg(*name).arg(value);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn glob_escape(text: &str) -> String {
    text.chars().flat_map(|c| if "*?[]\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}
