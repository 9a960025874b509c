//! Whether the process works and is ready. That it has begun shows in that it answers.
//!
//! `/livez` says whether a restart would help: never because Redis, the bucket or the model server is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Watched;

/// The watch over jobs goes round every few seconds.
const BEAT: Duration = Duration::from_secs(60);

/// Free slots ask for jobs about once a second.
const FETCH: Duration = Duration::from_secs(120);

/// Connections come back within seconds of Redis.
const ANSWER: Duration = Duration::from_secs(180);

/// Longest time for a look past our own connections.
const LOOK: Duration = Duration::from_secs(2);

pub(super) struct Probes {
    watched: Watched,
    /// Whether the bucket has answered once.
    has_bucket: AtomicBool,
}

impl Probes {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched, has_bucket: AtomicBool::new(false) }
    }

    /// Whether the process does what it is there for, or cannot for reasons that are not its own.
    pub(super) async fn live(&self) -> Result<(), String> {
        let Watched { queue, serving, memory, signs, stop, .. } = &self.watched;
        if !signs.has_started() || stop.is_cancelled() {
            return Ok(());
        }
        let silent = |age: Option<Duration>, limit| age.is_none_or(|age| age > limit);
        if silent(signs.beat.age(), BEAT) {
            return Err(format!("the watch over running jobs has not gone round for {} s", BEAT.as_secs()));
        }
        let is_cut_off = silent(queue.last_answer().age(), ANSWER);
        let may_fetch = signs.busy() < queue.slots() && !serving.is_down() && !memory.has_waiters();
        let was_busy = signs.freed.age().is_some_and(|age| age < FETCH);
        let is_idle = may_fetch && !was_busy && silent(queue.last_fetch().age(), FETCH);
        if !is_cut_off && !is_idle {
            return Ok(());
        }
        // Now it matters whether it is Redis that does not answer.
        let Ok(Ok(backlog)) = tokio::time::timeout(LOOK, queue.backlog_afresh(LOOK)).await else { return Ok(()) };
        if is_cut_off {
            return Err(format!("redis answers, but not on our connections, for {} s", ANSWER.as_secs()));
        }
        if backlog.waiting > 0 {
            return Err(format!("there are jobs and free slots, and none was asked for in {} s", FETCH.as_secs()));
        }
        Ok(())
    }

    /// Whether Redis and the bucket have been reached, and the process is not about to end.
    pub(super) async fn ready(&self) -> Result<(), String> {
        if self.watched.stop.is_cancelled() {
            return Err("the process is to end".to_owned());
        }
        if !self.watched.signs.has_started() {
            return Err("redis has not been reached yet".to_owned());
        }
        if !self.has_bucket.load(Ordering::Relaxed) {
            let asked = tokio::time::timeout(LOOK, self.watched.storage.is_reachable()).await;
            if !asked.unwrap_or(false) {
                return Err("the bucket has not answered yet".to_owned());
            }
            self.has_bucket.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
