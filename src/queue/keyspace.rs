//! All queues of a server, as those see them who keep order: the janitor and `fsck`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, Script, ScriptInvocation};

use super::connection::Link;
use super::metrics::LinkMetrics;
use super::rescue::{self, Recovered};
use super::settings::RedisSettings;
use super::{Error, JobKey, REPLY_LIMIT, millis};

static REQUEUE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/requeue.lua")));

static DRAIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/drain.lua")));

/// Keys looked at by one `SCAN`.
const SCAN_COUNT: usize = 1000;
/// Keys asked about in one round trip.
const CHUNK: usize = 500;

/// A handle on everything that a Redis holds. Clones share one connection.
#[derive(Clone)]
pub struct Keyspace {
    link: Arc<Link>,
    patience: Patience,
}

/// How long a [`Keyspace`] waits for a Redis that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it answers.
    Endless,
    /// Not at all: what cannot be asked now is an error.
    None,
}

/// An entry of a processing list and what is known of its job.
#[derive(Clone, Debug)]
pub struct Held {
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
pub enum Requeued {
    /// It is back in its queue.
    Requeued,
    /// Its job was over.
    Dropped,
    /// Somebody has touched it since: it stays.
    Kept,
    /// It was not there any more.
    Moved,
}

impl Keyspace {
    /// A handle that connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Self {
        Self::over(
            Arc::new(Link::new(settings, REPLY_LIMIT, LinkMetrics::default())),
            Patience::Endless,
        )
    }

    pub(super) fn over(link: Arc<Link>, patience: Patience) -> Self {
        Self { link, patience }
    }

    /// Puts back jobs of a queue whose lease has ended, as consumers do among themselves.
    pub async fn rescue(&self, queue: &str, lease: Duration) -> Result<Recovered, Error> {
        rescue::rescue(&self.link, queue, lease, &[]).await
    }

    /// The names of the processing lists of a queue.
    pub async fn processing_lists(&self, queue: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.scan(&format!("processing-{}:*", glob_escape(queue)))
            .await
    }

    /// All keys that match a pattern, each once.
    pub(super) async fn scan(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Error> {
        let (mut cursor, mut found) = (0_u64, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(SCAN_COUNT);
            let (next, keys): (u64, Vec<Vec<u8>>) =
                self.command("look through the keys", &scan).await?;
            found.extend(keys);
            if next == 0 {
                found.sort();
                found.dedup();
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// The entries of a processing list.
    pub async fn held(&self, queue: &str, list: &[u8]) -> Result<Vec<Held>, Error> {
        let jobs: Vec<Vec<u8>> = self
            .command("read a processing list", &Cmd::lrange(list, 0, -1))
            .await?;
        let lease = format!("rc:lease:{queue}");
        let mut held = Vec::new();
        for job in jobs {
            // No hash at all is nothing that could be worked.
            let fields = self.command("read a job", &Cmd::hgetall(&job)).await;
            let fields: HashMap<String, Vec<u8>> = fields.unwrap_or_default();
            let score: Option<f64> = self
                .command("read a lease", &Cmd::zscore(&lease, &job))
                .await?;
            held.push(Held {
                updated_at: fields.get(crate::job::UPDATED_AT).cloned(),
                has_lease: score.is_some(),
                was_leased: fields.contains_key(crate::job::OWNER),
                is_over: crate::job::is_final(fields.get(crate::job::STATUS).map(Vec::as_slice))
                    || fields.is_empty(),
                job: JobKey(job),
            });
        }
        Ok(held)
    }

    /// Takes an entry out of a list and, if its job is not over and has not been touched since, queues it again.
    pub async fn requeue(&self, queue: &str, list: &[u8], held: &Held) -> Result<Requeued, Error> {
        let mut call = REQUEUE.key(list);
        call.key(queue).key(format!("rc:lease:{queue}"));
        call.arg(&held.job.0)
            .arg(held.updated_at.as_deref().unwrap_or_default());
        let answer: String = self.script("take over an entry", &call).await?;
        Ok(match answer.as_str() {
            "requeued" => Requeued::Requeued,
            "dropped" => Requeued::Dropped,
            "kept" => Requeued::Kept,
            _ => Requeued::Moved,
        })
    }

    /// Puts all delayed and all parked jobs of a queue back into it, and gives their numbers.
    pub async fn drain(&self, queue: &str) -> Result<(usize, usize), Error> {
        let mut call = DRAIN.key(queue);
        call.key(format!("rc:delayed:{queue}"))
            .key(format!("rc:parked:{queue}"));
        self.script("put delayed jobs back", &call).await
    }

    /// Whether it is the caller's turn to look through all keys for a queue; it is somebody's once in this time.
    pub(super) async fn take_turn(&self, queue: &str, every: Duration) -> Result<bool, Error> {
        let mut set = redis::cmd("SET");
        set.arg(format!("rc:sweep:{queue}"))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(millis(every));
        let taken: Option<String> = self.command("take turns", &set).await?;
        Ok(taken.is_some())
    }

    /// All consumers of a queue of which a beat is known.
    pub(super) async fn consumers(&self, queue: &str) -> Result<Vec<String>, Error> {
        self.command(
            "look for consumers",
            &Cmd::zrange(format!("rc:workers:{queue}"), 0, -1),
        )
        .await
    }

    /// Consumers of a queue that have beaten lately.
    pub async fn live_consumers(
        &self,
        queue: &str,
        within: Duration,
    ) -> Result<Vec<String>, Error> {
        let (seconds, micros): (u64, u64) = self
            .command("ask for the time", &redis::cmd("TIME"))
            .await?;
        let since = (seconds * 1000 + micros / 1000).saturating_sub(millis(within));
        self.command(
            "look for live consumers",
            &Cmd::zrangebyscore(format!("rc:workers:{queue}"), since, "+inf"),
        )
        .await
    }

    /// How many requests the server has had from all clients that move jobs; commands inside scripts do not count.
    pub(crate) async fn requests(&self) -> Result<u64, Error> {
        let mut info = redis::cmd("INFO");
        info.arg("commandstats");
        let text: String = self
            .command("ask for the state of the server", &info)
            .await?;
        let calls = |line: &str| {
            let (name, rest) = line.split_once(":calls=")?;
            let moves = ["cmdstat_evalsha", "cmdstat_blmove", "cmdstat_brpoplpush"].contains(&name);
            if moves {
                rest.split(',').next()?.parse::<u64>().ok()
            } else {
                None
            }
        };
        Ok(text.lines().filter_map(calls).sum())
    }

    /// Removes a queue and all its jobs, for queues that were made up.
    pub(crate) async fn remove_queue(&self, queue: &str) -> Result<(), Error> {
        let mut keys = self.scan(&format!("{}:*", glob_escape(queue))).await?;
        keys.extend(self.processing_lists(queue).await?);
        keys.push(queue.as_bytes().to_vec());
        keys.extend(
            ["lease", "workers", "delayed", "dead", "rlock", "sweep"]
                .map(|name| format!("rc:{name}:{queue}").into_bytes()),
        );
        self.ask_each::<u64>(&keys, |key| Cmd::unlink(key))
            .await
            .map(drop)
    }

    pub(super) async fn command<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        let answer = match self.patience {
            Patience::Endless => self.link.persist_command(operation, command).await,
            Patience::None => self.link.command(command).await,
        };
        answer.map_err(|cause| Error { operation, cause })
    }

    pub(super) async fn script<T: FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let answer = match self.patience {
            Patience::Endless => self.link.persist(operation, call).await,
            Patience::None => self.link.attempt(operation, call).await,
        };
        answer.map_err(|cause| Error { operation, cause })
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
            let replies: RedisResult<Vec<RedisResult<T>>> = match self.patience {
                Patience::Endless => self.link.persist_pipeline(operation, &pipeline).await,
                Patience::None => self.link.pipeline(&pipeline).await,
            };
            let replies = replies.map_err(|cause| Error { operation, cause })?;
            answers.extend(replies.into_iter().map(Result::ok));
        }
        Ok(answers)
    }
}

pub(super) fn glob_escape(text: &str) -> String {
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
