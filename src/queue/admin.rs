//! All queues of a server, for operators: what the janitor, `fsck` and `promote-delayed` see and do.

mod asking;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, Script};

pub use self::asking::Admin;
use self::asking::{CHUNK, Patience};
use super::client::Queue;
use super::error::Error;
use super::outcome::Reclaimed;
use super::reclaim;
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
    /// Requeues jobs of a queue whose lease has expired, as consumers do among themselves.
    pub async fn reclaim_expired(&self, queue: &str, lease: Duration) -> Result<Reclaimed, Error> {
        reclaim::reclaim_all(&self.connection, &Keys::new(queue), lease).await
    }

    /// The names of the processing lists of a queue.
    pub async fn processing_lists(&self, queue: &str) -> Result<Vec<Vec<u8>>, Error> {
        let prefix = Keys::new(queue).processing_prefix();
        self.scan(&format!("{}*", glob_escape(&prefix))).await
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
