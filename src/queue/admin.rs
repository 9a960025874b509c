//! All queues of a server, for operators: what the janitor, `fsck` and `promote-delayed` see and do.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, Script, ScriptInvocation};

use super::client::Queue;
use super::connection::{Connection, REPLY_LIMIT};
use super::error::Error;
use super::metrics::ConnectionMetrics;
use super::outcome::Reclaimed;
use super::reclaim;
use super::settings::RedisSettings;
use crate::wire::{self, JobKey, Keys, batch, field, millis};

static RECLAIM_STALE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/reclaim_stale.lua")));
static PROMOTE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/promote.lua")));
static TAKE_TURN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/turn.lua"),
        include_str!("scripts/take_turn.lua")
    ))
});

/// Keys looked at by one `SCAN`.
const SCAN_COUNT: usize = 1000;
/// Keys asked about in one round trip.
const CHUNK: usize = 500;

/// A handle on everything that a Redis holds. Clones share one connection.
#[derive(Clone)]
pub struct Admin {
    connection: Arc<Connection>,
    patience: Patience,
}

/// How long an [`Admin`] waits for a Redis that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it answers.
    Endless,
    /// So long, which is what a person waits for.
    Within(Duration),
    /// Not at all: what cannot be asked now is an error.
    None,
}

/// An entry of a processing list and what is known of its job.
#[derive(Clone, Debug)]
pub struct ProcessingEntry {
    /// The key of the job's hash.
    pub job: JobKey,
    /// When it was last written to, as it stands there.
    pub updated_at: Option<Vec<u8>>,
    /// Whether a consumer renews its lease.
    pub has_lease: bool,
    /// Whether it was claimed by a consumer that takes leases.
    pub was_leased: bool,
    /// Whether it is done or failed, or has no hash.
    pub is_over: bool,
}

/// What became of an entry that was taken out of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// It is back in its queue.
    Requeued,
    /// Its job was over.
    Dropped,
    /// Somebody has touched it since: it stays.
    Kept,
    /// It was not there any more.
    Moved,
}

impl Queue {
    /// The same, but a Redis that is away is not waited for.
    pub(crate) fn impatient_admin(&self) -> Admin {
        Admin::over(Arc::clone(&self.inner.commands), Patience::None)
    }

    /// All queues of the same server, over the same connection.
    pub fn admin(&self) -> Admin {
        Admin::over(Arc::clone(&self.inner.commands), Patience::Endless)
    }
}

impl Admin {
    /// A handle that connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Self {
        Self::over(
            Arc::new(Connection::new(
                settings,
                REPLY_LIMIT,
                ConnectionMetrics::default(),
            )),
            Patience::Endless,
        )
    }

    /// The same handle, but a Redis that is away is waited for no longer than this.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Patience::Within(patience);
        self
    }

    /// The same handle, but a Redis that is away is not waited for.
    #[must_use]
    pub(crate) fn impatient(mut self) -> Self {
        self.patience = Patience::None;
        self
    }

    pub(super) fn over(connection: Arc<Connection>, patience: Patience) -> Self {
        Self {
            connection,
            patience,
        }
    }

    /// Requeues jobs of a queue whose lease has expired, as consumers do among themselves.
    pub async fn reclaim_expired(&self, queue: &str, lease: Duration) -> Result<Reclaimed, Error> {
        reclaim::reclaim_all(&self.connection, &Keys::new(queue), lease).await
    }

    /// The names of the processing lists of a queue.
    pub async fn processing_lists(&self, queue: &str) -> Result<Vec<Vec<u8>>, Error> {
        let prefix = Keys::new(queue).processing_prefix();
        self.scan(&format!("{}*", glob_escape(&prefix))).await
    }

    /// All keys that match a pattern, each once.
    pub(super) async fn scan(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Error> {
        let (mut cursor, mut found) = (0, Vec::new());
        loop {
            let (next, keys) = self.some_keys(pattern, cursor).await?;
            found.extend(keys);
            if next == 0 {
                found.sort();
                found.dedup();
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// Hands over all keys that match a pattern, some hundred at a time; a key may come twice.
    pub(super) async fn each_key<E: From<Error>>(
        &self,
        pattern: &str,
        mut each: impl AsyncFnMut(Vec<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = 0;
        loop {
            let (next, keys) = self.some_keys(pattern, cursor).await?;
            each(keys).await?;
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Some keys that match a pattern, and where to go on; 0 is the begin and the end.
    pub(super) async fn some_keys(
        &self,
        pattern: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_COUNT);
        self.command("look through the keys", &scan).await
    }

    /// The entries of a processing list.
    pub async fn processing_entries(
        &self,
        queue: &str,
        list: &[u8],
    ) -> Result<Vec<ProcessingEntry>, Error> {
        let jobs: Vec<Vec<u8>> = self
            .command("read a processing list", &Cmd::lrange(list, 0, -1))
            .await?;
        let leases = Keys::new(queue).leases();
        let mut entries = Vec::new();
        for job in jobs {
            // No hash at all is nothing that could be worked.
            let fields = self.command("read a job", &Cmd::hgetall(&job)).await;
            let fields: HashMap<String, Vec<u8>> = fields.unwrap_or_default();
            let score: Option<f64> = self
                .command("read a lease", &Cmd::zscore(&leases, &job))
                .await?;
            entries.push(ProcessingEntry {
                updated_at: fields.get(field::UPDATED_AT).cloned(),
                has_lease: score.is_some(),
                was_leased: fields.contains_key(field::OWNER),
                is_over: wire::is_final(fields.get(field::STATUS).map(Vec::as_slice))
                    || fields.is_empty(),
                job: JobKey(job),
            });
        }
        Ok(entries)
    }

    /// Takes an entry out of a list and, if its job is not over and has not been touched since, queues it again.
    pub async fn reclaim_stale(
        &self,
        queue: &str,
        list: &[u8],
        entry: &ProcessingEntry,
    ) -> Result<Reclaim, Error> {
        let mut call = RECLAIM_STALE.key(list);
        call.key(queue).key(Keys::new(queue).leases());
        call.arg(&entry.job.0)
            .arg(entry.updated_at.as_deref().unwrap_or_default());
        let answer: String = self.script("reclaim_stale", &call).await?;
        Ok(match answer.as_str() {
            "requeued" => Reclaim::Requeued,
            "dropped" => Reclaim::Dropped,
            "kept" => Reclaim::Kept,
            _ => Reclaim::Moved,
        })
    }

    /// Moves all delayed and all parked jobs of a queue back into it, some hundred at a time, and gives their numbers.
    pub async fn promote_all(&self, queue: &str) -> Result<(usize, usize), Error> {
        let mut call = PROMOTE.key(queue);
        let keys = Keys::new(queue);
        call.key(keys.delayed()).key(keys.parked()).arg(CHUNK);
        let (mut delayed, mut parked) = (0, 0);
        loop {
            let (more_delayed, more_parked): (usize, usize) = self.script("promote", &call).await?;
            if more_delayed + more_parked == 0 {
                return Ok((delayed, parked));
            }
            delayed += more_delayed;
            parked += more_parked;
        }
    }

    /// Whether it is the caller's turn to look through all keys for a queue; it is somebody's once in this time.
    pub(super) async fn take_scan_turn(&self, queue: &str, every: Duration) -> Result<bool, Error> {
        let mut call = TAKE_TURN.key(Keys::new(queue).scan_lock());
        call.arg(millis(every));
        self.script("take_turn", &call).await
    }

    /// The same with items of batches that have ended unnoticed.
    pub(crate) async fn take_items_turn(
        &self,
        queue: &str,
        every: Duration,
    ) -> Result<bool, Error> {
        let mut call = TAKE_TURN.key(Keys::new(queue).items_lock());
        call.arg(millis(every));
        self.script("take_turn", &call).await
    }

    /// Whether it is the caller's turn to read the list of a stage.
    pub(crate) async fn take_list_turn(
        &self,
        name: &str,
        stage: usize,
        time: Duration,
    ) -> Result<bool, Error> {
        let mut call = TAKE_TURN.key(batch::of_stage(name, stage, batch::READING));
        call.arg(millis(time));
        self.script("take_turn", &call).await
    }

    /// Lets others read it.
    pub(crate) async fn end_list_turn(&self, name: &str, stage: usize) -> Result<(), Error> {
        let remove = Cmd::del(batch::of_stage(name, stage, batch::READING));
        self.command("end a turn", &remove).await
    }

    /// All consumers of a queue that have ever sent a heartbeat.
    pub(super) async fn consumers(&self, queue: &str) -> Result<Vec<String>, Error> {
        let workers = Keys::new(queue).workers();
        self.command("look for consumers", &Cmd::zrange(workers, 0, -1))
            .await
    }

    /// Consumers of a queue that have sent a heartbeat lately.
    pub async fn live_consumers(
        &self,
        queue: &str,
        within: Duration,
    ) -> Result<Vec<String>, Error> {
        let (seconds, micros): (u64, u64) = self
            .command("ask for the time", &redis::cmd("TIME"))
            .await?;
        let since = (seconds * 1000 + micros / 1000).saturating_sub(millis(within));
        let live = Cmd::zrangebyscore(Keys::new(queue).workers(), since, "+inf");
        self.command("look for live consumers", &live).await
    }

    /// How many requests the server has had from all clients that move jobs; commands inside scripts do not count.
    pub(crate) async fn requests(&self) -> Result<u64, Error> {
        let mut info = redis::cmd("INFO");
        info.arg("commandstats");
        let text: String = self
            .command("ask for the state of the server", &info)
            .await?;
        Ok(text.lines().filter_map(calls_that_move_jobs).sum())
    }

    /// Removes a queue and all its jobs, for queues that were made up.
    pub(crate) async fn remove_queue(&self, queue: &str) -> Result<(), Error> {
        let mut keys = self.scan(&format!("{}:*", glob_escape(queue))).await?;
        keys.extend(self.processing_lists(queue).await?);
        keys.push(queue.as_bytes().to_vec());
        keys.extend(Keys::new(queue).all_ours().map(String::into_bytes));
        for what in ["hist", "worker"] {
            keys.extend(
                self.scan(&format!("rc:{what}:{}:*", glob_escape(queue)))
                    .await?,
            );
        }
        let known = Cmd::srem(wire::QUEUES, queue);
        self.command::<u64>("forget a queue", &known).await?;
        self.ask_each::<u64>(&keys, |key| Cmd::unlink(key))
            .await
            .map(drop)
    }

    pub(super) async fn command<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        let patient = self.connection.persist_command(operation, command);
        self.answer(operation, patient, self.connection.command(command))
            .await
    }

    pub(super) async fn script<T: FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let patient = self.connection.persist(operation, call);
        self.answer(operation, patient, self.connection.attempt(operation, call))
            .await
    }

    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        operation: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        let patient = self.connection.persist_pipeline(operation, pipeline);
        self.answer(operation, patient, self.connection.pipeline(pipeline))
            .await
    }

    /// The answer to something that can be sent again and again or once.
    async fn answer<T>(
        &self,
        operation: &'static str,
        again_and_again: impl Future<Output = RedisResult<T>>,
        once: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Error> {
        let answer = match self.patience {
            Patience::Endless => again_and_again.await,
            Patience::Within(limit) => {
                let answer = tokio::time::timeout(limit, again_and_again).await;
                answer.unwrap_or_else(|_| Err(no_answer(limit)))
            }
            Patience::None => once.await,
        };
        answer.map_err(Error::refused(operation))
    }

    /// Values of single keys; an error about one of them is no answer for it.
    pub(super) async fn ask_pipeline(
        &self,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut pipeline = pipeline.clone();
        pipeline.ignore_errors();
        let replies: Vec<RedisResult<Option<Vec<u8>>>> =
            self.pipeline("ask about many keys", &pipeline).await?;
        Ok(replies
            .into_iter()
            .map(|reply| reply.ok().flatten())
            .collect())
    }

    /// Asks the same about many keys, some hundreds in each round trip. An error about one key is no answer for it.
    pub(super) async fn ask_each<T: FromRedisValue>(
        &self,
        keys: &[Vec<u8>],
        ask: impl Fn(&[u8]) -> Cmd,
    ) -> Result<Vec<Option<T>>, Error> {
        let operation = "ask about many keys";
        let mut answers = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            let mut pipeline = redis::pipe();
            pipeline.ignore_errors();
            chunk.iter().for_each(|key| {
                pipeline.add_command(ask(key));
            });
            let replies: Vec<RedisResult<T>> = self.pipeline(operation, &pipeline).await?;
            answers.extend(replies.into_iter().map(Result::ok));
        }
        Ok(answers)
    }
}

fn no_answer(limit: Duration) -> redis::RedisError {
    let text = format!("no answer for {} s", limit.as_secs());
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

/// The number of calls in a line of `INFO commandstats`, if it is about a command that moves jobs.
fn calls_that_move_jobs(line: &str) -> Option<u64> {
    let (name, rest) = line.split_once(":calls=")?;
    let moves = ["cmdstat_evalsha", "cmdstat_blmove", "cmdstat_brpoplpush"];
    if !moves.contains(&name) {
        return None;
    }
    rest.split(',').next()?.parse().ok()
}

fn glob_escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if "*?[]\\".contains(c) {
                vec!['\\', c]
            } else {
                vec![c]
            }
        })
        .collect()
}
