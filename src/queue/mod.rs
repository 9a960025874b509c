//! The work queue: every Redis command of the crate is in this folder.
//!
//! Wire-compatible with the Python consumers, the janitor, the autoscaler and the exporter: producers push a job's key
//! on the left of the list `<queue>`, a consumer moves it from the right into its own processing list and removes it
//! there when the job is final. Beyond that, a claim writes a token on the job's hash and takes a lease; every later
//! write is a script fenced on that token, so that a consumer which lost a job can neither finish nor overwrite it.
//! Job keys are bytes and never parsed.

mod backlog;
mod children;
mod connection;
mod fsck;
mod held;
mod inspect;
mod keyspace;
mod metadata;
mod metrics;
mod rescue;
mod settings;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult, Script, ScriptInvocation};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, info_span, warn};

pub use self::backlog::Backlog;
pub(crate) use self::children::Wait as ChildWait;
pub use self::children::{Awaited, NewChild};
use self::connection::Link;
pub use self::fsck::{Finding, Invariant};
use self::held::HeldJobs;
pub(crate) use self::inspect::ServerState;
pub use self::keyspace::{Held, Keyspace, Requeued};
pub use self::metadata::MetadataStore;
use self::metrics::QueueMetrics;
pub use self::rescue::{Recovered, Restored};
pub use self::settings::{Login, QueueSettings, RedisSettings, Tls};
pub(crate) use self::settings::{QueueName, WorkQueue, lease};
use crate::traces;

/// The longest a blocking wait stays inside Redis.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Due jobs promoted, and entries looked at, by one claim.
const FETCH_LIMIT: usize = 32;
/// Jobs submitted in one round trip.
const SUBMIT_CHUNK: usize = 500;
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// How long jobs that were given up are remembered, and how many.
const DEAD_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
const DEAD_LIMIT: usize = 10_000;

static FETCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fetch.lua")));
static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/beat.lua")));
static SET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/set.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/children.lua"),
        include_str!("scripts/finish.lua")
    ))
});
static DELAY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/let_go.lua"),
        include_str!("scripts/delay.lua")
    ))
});
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/let_go.lua"),
        include_str!("scripts/release.lua")
    ))
});

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

impl Claim {
    /// The right to write to the job, as its hash has it while nobody else does.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// What became of an attempt to settle a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The write took place.
    Committed,
    /// The hash has vanished (expired or deleted); the entry was dropped.
    Gone,
    /// The entry had been taken out of our list, or the job finished by others; nothing was written.
    Moved,
    /// Another consumer has claimed the job; nothing was written.
    Lost,
    /// The moment to wait for has passed: the job is still held.
    Due,
}

/// When a job that is let go of comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// After this long.
    In(Duration),
    /// At this moment, in milliseconds since 1970 by the clock of Redis.
    At(u64),
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
    commands: Arc<Link>,
    waiting: Link,
    beating: Arc<Link>,
    /// What all tokens of this process begin with, and how many there were.
    boot: String,
    claims: AtomicU64,
    held: HeldJobs,
    turn: tokio::sync::Mutex<()>,
    /// How this server is waited at, a [`Wait`].
    wait: AtomicU8,
    metrics: QueueMetrics,
}

/// How an idle consumer waits for a job. Later ones are for older servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// `BLMOVE` from the queue to the place where the entry is already: Redis 6.2.
    Look,
    /// `BRPOPLPUSH` into the processing list.
    Pop,
}

impl Queue {
    /// A handle that connects when it is first used.
    pub fn new(settings: QueueSettings) -> Self {
        let metrics = QueueMetrics::default();
        let link = |reply_limit| Link::new(&settings.server, reply_limit, metrics.link.clone());
        let inner = Inner {
            commands: Arc::new(link(REPLY_LIMIT)),
            waiting: link(LONGEST_WAIT + REPLY_LIMIT),
            beating: Arc::new(link(
                settings.beat_interval().max(Duration::from_millis(500)),
            )),
            boot: format!("{:016x}", fastrand::u64(..)),
            claims: AtomicU64::new(0),
            held: HeldJobs::default(),
            turn: tokio::sync::Mutex::new(()),
            wait: AtomicU8::new(Wait::Look as u8),
            settings,
            metrics,
        };
        Self {
            inner: Arc::new(inner),
        }
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

    /// The settings in force.
    pub fn settings(&self) -> &QueueSettings {
        &self.inner.settings
    }

    /// All queues of the same server, over the same connection.
    pub fn keyspace(&self) -> Keyspace {
        Keyspace::over(Arc::clone(&self.inner.commands))
    }

    /// A store for model metadata on the same server.
    pub fn metadata_store(&self) -> MetadataStore {
        MetadataStore::new(self.clone())
    }

    /// Takes the next job into a slot, waiting inside Redis for a moment if there is none.
    ///
    /// Must not be raced against anything: a cancelled claim could lose sight of a job that Redis has already moved.
    /// `stop` ends the idle wait, and only that.
    pub async fn claim(
        &self,
        slot: usize,
        stop: &CancellationToken,
    ) -> Result<Option<(Claim, RawFields)>, Error> {
        if let Some(claimed) = self.fetch(slot).await? {
            return Ok(Some(claimed));
        }
        // One slot at a time waits: an entry wakes one, and Redis has less to do.
        let Some(_turn) = stop.run_until_cancelled(self.inner.turn.lock()).await else {
            return Ok(None);
        };
        match self.wait() {
            Wait::Look => match stop.run_until_cancelled(self.look_for_entry()).await {
                Some(Ok(true)) => self.fetch(slot).await,
                Some(Ok(false)) | None => Ok(None),
                Some(Err(error)) => Err(error),
            },
            Wait::Pop if stop.is_cancelled() => Ok(None),
            Wait::Pop => match self.pop_entry(slot).await? {
                true => self.fetch(slot).await,
                false => Ok(None),
            },
        }
    }

    /// Writes fields of a held job soon: together with others of the same job, twice a second at most.
    ///
    /// If the job turns out to be somebody else's then, the claim is cancelled.
    pub fn set(&self, claim: &Claim, fields: Vec<(&'static str, String)>) {
        self.inner.held.write_later(claim, fields);
    }

    /// Writes what [`Self::set`] was given for a job and is not written yet.
    async fn write_now(&self, claim: &Claim) -> Result<(), Error> {
        let fields = self.inner.held.unwritten(claim);
        if fields.is_empty() {
            return Ok(());
        }
        let mut call = SET.key(&claim.key.0);
        call.arg(&claim.token);
        push_fields(&mut call, &fields);
        self.persist::<u8>("write a job's fields", &call)
            .await
            .map(drop)
    }

    /// Writes what [`Self::set`] was given, for as long as it is polled.
    pub(crate) async fn write_fields(&self) {
        loop {
            for (key, token, fields) in self.inner.held.due_writes().await {
                let mut call = SET.key(&key.0);
                call.arg(&token);
                push_fields(&mut call, &fields);
                match self.persist("write a job's fields", &call).await {
                    Ok(1_u8) => {}
                    Ok(_) => self.lose(&key, &token),
                    Err(error) => {
                        warn!(job.key = %key, error = %error, "fields of the job could not be written")
                    }
                }
            }
        }
    }

    /// Commits the final status and fields of a held job, and those that are yet to be written. May be repeated after a failure.
    ///
    /// A job that is `dead` is given up though nothing is known to be wrong with it; operators find it in a list.
    pub async fn finish(
        &self,
        claim: &Claim,
        status: &str,
        fields: &[(&str, String)],
        dead: bool,
    ) -> Result<Settled, Error> {
        let mut call = self.settling(&FINISH, claim);
        call.key(self.auxiliary("dead"));
        call.arg(u8::from(dead))
            .arg(millis(DEAD_AGE))
            .arg(DEAD_LIMIT)
            .arg(status);
        let unwritten = self.inner.held.unwritten(claim);
        push_fields(
            &mut call,
            unwritten
                .iter()
                .filter(|(name, _)| *name != crate::job::STATUS),
        );
        push_fields(&mut call, fields);
        let result = match (dead, status == crate::job::Status::Done.as_str()) {
            (true, _) => "dead",
            (false, true) => "done",
            (false, false) => "failed",
        };
        self.settle("finish a job", result, claim, &call).await
    }

    /// Lets go of a held job until later, writing some fields.
    pub async fn delay(
        &self,
        claim: &Claim,
        due: Due,
        fields: &[(&str, String)],
    ) -> Result<Settled, Error> {
        let mut call = self.settling(&DELAY, claim);
        let (from, wait, result) = match due {
            Due::In(time) => ("in", millis(time), "retried"),
            Due::At(moment) => ("at", moment, "postponed"),
        };
        call.arg(from).arg(wait);
        push_fields(&mut call, fields);
        self.settle("put a job off", result, claim, &call).await
    }

    /// Hands a held job back at the front of the queue, unharmed.
    pub async fn release(&self, claim: &Claim) -> Result<Settled, Error> {
        let mut call = self.settling(&RELEASE, claim);
        call.key(self.name());
        self.settle("hand a job back", "released", claim, &call)
            .await
    }

    /// Stops renewing the lease of a job: if its consumer does not come back, another one takes it.
    pub(crate) fn abandon(&self, claim: &Claim) {
        self.inner.held.forget(claim);
    }

    /// Renews every lease once, and cancels the claims that turn out to be lost.
    pub async fn beat(&self) -> Result<(), Error> {
        let mut call = BEAT.key(self.auxiliary("lease"));
        call.key(self.auxiliary("workers"))
            .key(self.auxiliary("delayed"));
        call.arg(self.consumer())
            .arg(millis(self.inner.settings.lease))
            .arg(crate::job::timestamp());
        let held = self.inner.held.tokens();
        for (key, (token, slot)) in &held {
            call.arg(&key.0).arg(token).arg(self.processing_list(*slot));
        }
        let operation = "renew leases";
        let lost: RedisResult<Vec<Vec<u8>>> = self.inner.beating.attempt(operation, &call).await;
        for key in lost
            .map_err(|cause| Error { operation, cause })?
            .into_iter()
            .map(JobKey)
        {
            if let Some((token, _)) = held.get(&key) {
                self.lose(&key, token);
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

    /// Writes new jobs and queues them, in few round trips; each hash is there before its entry.
    pub async fn submit_all(&self, jobs: &[(JobKey, Vec<(&str, String)>)]) -> Result<(), Error> {
        for chunk in jobs.chunks(SUBMIT_CHUNK) {
            let mut pipeline = redis::pipe();
            for (key, fields) in chunk {
                pipeline.hset_multiple(&key.0, fields).ignore();
            }
            let keys: Vec<_> = chunk.iter().map(|(key, _)| key.0.as_slice()).collect();
            pipeline.lpush(self.name(), keys).ignore();
            let operation = "queue jobs";
            let queued: RedisResult<()> = self
                .inner
                .commands
                .persist_pipeline(operation, &pipeline)
                .await;
            queued.map_err(|cause| Error { operation, cause })?;
        }
        Ok(())
    }

    /// All fields of a job's hash, whoever holds it.
    pub async fn fields(&self, key: &JobKey) -> Result<RawFields, Error> {
        self.command("read a job", &redis::Cmd::hgetall(&key.0))
            .await
    }

    async fn fetch(&self, slot: usize) -> Result<Option<(Claim, RawFields)>, Error> {
        let mut call = FETCH.key(self.name());
        call.key(self.processing_list(slot))
            .key(self.auxiliary("lease"))
            .key(self.auxiliary("delayed"));
        let token = format!(
            "{}:{}",
            self.inner.boot,
            self.inner.claims.fetch_add(1, Ordering::Relaxed)
        );
        call.arg(self.consumer())
            .arg(token)
            .arg(millis(self.inner.settings.lease));
        call.arg(crate::job::timestamp()).arg(FETCH_LIMIT);
        let (operation, began) = ("hand out a job", Instant::now());
        let reply: RedisResult<FetchReply> = self.inner.commands.attempt(operation, &call).await;
        let Some(reply) = self.answered(operation, reply).await? else {
            return Ok(None);
        };
        let claimed = self.accept(slot, reply);
        if claimed.is_some() {
            self.inner.metrics.picked_up(began);
        }
        Ok(claimed)
    }

    fn lose(&self, key: &JobKey, token: &str) {
        if self.inner.held.lose(key, token) {
            self.inner.metrics.lost();
        }
    }

    /// The answer to a command that moves an entry into the list of a slot; none, after a pause, if Redis cannot be asked now.
    ///
    /// The entry may have been moved all the same: the next claim of the slot begins with it.
    async fn answered<T>(
        &self,
        operation: &'static str,
        reply: RedisResult<T>,
    ) -> Result<Option<T>, Error> {
        match reply {
            Ok(reply) => {
                self.inner.metrics.last_fetch.touch();
                Ok(Some(reply))
            }
            Err(error) if connection::is_passing(&error) => {
                warn!(error = %error, "redis does not answer a claim; trying again");
                let pause = self.inner.settings.server.reconnect_pause.min(LONGEST_WAIT);
                tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                Ok(None)
            }
            Err(cause) => Err(Error { operation, cause }),
        }
    }

    fn accept(&self, slot: usize, reply: FetchReply) -> Option<(Claim, RawFields)> {
        let FetchReply { dropped, taken } = reply;
        for entry in dropped.chunks_exact(2) {
            let (key, why) = (
                String::from_utf8_lossy(&entry[0]),
                String::from_utf8_lossy(&entry[1]),
            );
            warn!(job.key = %key, queue = self.name(), "dropped a queue entry: {why}");
            self.inner.metrics.dropped(&why);
        }
        let (key, token, crashes, fields) = taken?;
        let claim = Claim {
            key: JobKey(key),
            crashes,
            lost: CancellationToken::new(),
            token,
            slot,
        };
        self.inner.held.insert(&claim);
        Some((claim, fields))
    }

    /// Waits until the queue has an entry, without moving any. False after a moment without one.
    async fn look_for_entry(&self) -> Result<bool, Error> {
        let mut command = redis::cmd("BLMOVE");
        command
            .arg(self.name())
            .arg(self.name())
            .arg("RIGHT")
            .arg("RIGHT")
            .arg(self.idle_wait().as_secs_f64());
        match self
            .inner
            .waiting
            .persist_command::<Option<Vec<u8>>>("wait for a job", &command)
            .await
        {
            Ok(entry) => Ok(entry.is_some()),
            Err(error) if error.to_string().contains("unknown command") => {
                info!(
                    "this redis knows no BLMOVE (it came with 6.2): idle slots wait with BRPOPLPUSH"
                );
                self.inner.wait.store(Wait::Pop as u8, Ordering::Relaxed);
                Ok(false)
            }
            Err(cause) => Err(Error {
                operation: "wait for a job",
                cause,
            }),
        }
    }

    /// Waits for an entry and moves it into the list of a slot. False after a moment without one.
    async fn pop_entry(&self, slot: usize) -> Result<bool, Error> {
        let mut command = redis::cmd("BRPOPLPUSH");
        command
            .arg(self.name())
            .arg(self.processing_list(slot))
            .arg(self.idle_wait().as_secs().max(1));
        let reply = self
            .inner
            .waiting
            .command::<Option<Vec<u8>>>(&command)
            .await;
        Ok(self
            .answered("wait for a job", reply)
            .await?
            .flatten()
            .is_some())
    }

    fn idle_wait(&self) -> Duration {
        self.inner
            .settings
            .idle_wait
            .min(LONGEST_WAIT)
            .max(Duration::from_millis(10))
    }

    fn wait(&self) -> Wait {
        if self.inner.wait.load(Ordering::Relaxed) == Wait::Look as u8 {
            Wait::Look
        } else {
            Wait::Pop
        }
    }

    fn settling<'s>(&self, script: &'s Script, claim: &Claim) -> ScriptInvocation<'s> {
        let mut call = script.key(&claim.key.0);
        call.key(self.processing_list(claim.slot))
            .key(self.auxiliary("lease"))
            .key(self.auxiliary("delayed"));
        call.arg(&claim.token);
        call
    }

    /// Lets go of a job by a script; `result` is what metrics say of it then.
    async fn settle(
        &self,
        what: &'static str,
        result: &'static str,
        claim: &Claim,
        call: &ScriptInvocation<'_>,
    ) -> Result<Settled, Error> {
        let (host, port) = self.server_address().unzip();
        let span = info_span!(
            target: traces::TARGET,
            "settle",
            otel.name = format!("settle {}", self.name()),
            otel.kind = "client",
            messaging.system = "redis",
            messaging.operation.r#type = "settle",
            messaging.operation.name = operation(result),
            server.address = host,
            server.port = port,
        );
        let answer: String = self.persist(what, call).instrument(span).await?;
        let settled = match answer.as_str() {
            "OK" => Settled::Committed,
            "GONE" => Settled::Gone,
            "MOVED" => Settled::Moved,
            "DUE" => return Ok(Settled::Due),
            _ => Settled::Lost,
        };
        self.inner.metrics.settled(result, settled);
        self.inner.held.forget(claim);
        Ok(settled)
    }

    async fn persist<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        self.inner
            .commands
            .persist(operation, call)
            .await
            .map_err(|cause| Error { operation, cause })
    }

    async fn command<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, Error> {
        self.inner
            .commands
            .persist_command(operation, command)
            .await
            .map_err(|cause| Error { operation, cause })
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
            return Ok(Self {
                dropped: Vec::new(),
                taken: None,
            });
        };
        let taken = match parts.len() {
            5 => Some(Taken::from_redis_value(redis::Value::Array(
                parts.split_off(1),
            ))?),
            _ => None,
        };
        let dropped = parts
            .pop()
            .map(Vec::<Vec<u8>>::from_redis_value)
            .transpose()?;
        Ok(Self {
            dropped: dropped.unwrap_or_default(),
            taken,
        })
    }
}

fn push_fields<'f>(
    call: &mut ScriptInvocation<'_>,
    fields: impl IntoIterator<Item = &'f (&'f str, String)>,
) {
    for (name, value) in fields {
        call.arg(*name).arg(value);
    }
}

/// What traces call it when a job is let go of with this result.
fn operation(result: &str) -> &'static str {
    match result {
        "retried" | "postponed" => "retry",
        "released" => "release",
        "dead" => "dead_letter",
        _ => "ack",
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
