//! Queues that were purged: kept for a day under another name, then removed bit by bit.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::client::Queue;
use super::super::error::Error;
use super::step::STEP;
use crate::figures::counted;
use crate::wire::{self, Keys, batch, millis, millis_since_1970};

static EMPTY_TRASH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/empty_trash.lua")));

/// How long a purged queue can be put back.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A purged queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trash {
    pub(crate) key: Vec<u8>,
    pub(crate) queue: String,
    /// When it was purged, in milliseconds since 1970.
    pub(crate) purged: u64,
    pub(crate) entries: u64,
}

/// What a purge has taken out of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    /// Jobs that can be put back.
    pub(crate) jobs: u64,
    /// Items of batches, which are to be fed once more.
    pub(crate) items: u64,
    /// Batches that were paused, or they would fill the queue again.
    pub(crate) batches: Vec<String>,
}

impl Purged {
    /// The numbers, in a few words.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("{} taken out", counted(self.jobs, "job"));
        if self.items > 0 {
            let items = counted(self.items, "item");
            text += &format!(", and {items} of batches, to be fed once more");
        }
        text
    }
}

impl Admin {
    /// Takes everything that waits out of a queue, which can be put back for a day. Nothing if nothing waits.
    pub(crate) async fn purge_queue(&self, queue: &str) -> Result<Option<Purged>, Error> {
        let batches = self.pause_batches_of(queue).await?;
        let Some(purged) = self.purge(queue).await? else {
            return Ok(None);
        };
        let items = self.take_back(None, &purged.key).await?;
        Ok(Some(Purged {
            jobs: purged.entries - items,
            items,
            batches,
        }))
    }

    /// Pauses the batches that would fill a queue again, and gives their names.
    async fn pause_batches_of(&self, queue: &str) -> Result<Vec<String>, Error> {
        let mut paused = Vec::new();
        for name in self.all_feedable(queue).await? {
            let state = self.batch(&name).await?;
            if state.is_some_and(|state| state.state == batch::RUNNING) {
                self.set_batch_state(&name, batch::PAUSED).await?;
                paused.push(name);
            }
        }
        Ok(paused)
    }

    /// Puts everything back that was purged of a queue within a day, before all that waits now, and gives its number.
    pub(crate) async fn untrash_queue(&self, queue: &str) -> Result<u64, Error> {
        let mut all = self.trash().await?;
        all.retain(|trash| trash.queue == queue);
        // The last that was taken out goes back first, and so stands behind what was taken out before it.
        let mut moved = 0;
        for trash in all.iter().rev() {
            moved += self.untrash(trash).await?;
        }
        Ok(moved)
    }

    /// Takes everything that waits out of a queue, in one step. Nothing if nothing waits.
    async fn purge(&self, queue: &str) -> Result<Option<Trash>, Error> {
        let purged = millis_since_1970();
        let key = Keys::new(queue).trash(purged);
        // Together, so that a failover loses both or neither. What is known and not there is passed over.
        let mut both = redis::pipe();
        both.atomic().zadd(wire::TRASH, &key, purged);
        both.cmd("RENAMENX").arg(queue).arg(&key);
        match self.pipeline::<(u64, u64)>("purge a queue", &both).await {
            // Nothing waits there.
            Err(error) if error.to_string().contains("no such key") => {}
            renamed => _ = renamed?,
        }
        let entries: u64 = self.command("purge a queue", &Cmd::llen(&key)).await?;
        if entries == 0 {
            self.command::<u64>("purge a queue", &Cmd::zrem(wire::TRASH, &key))
                .await?;
            return Ok(None);
        }
        Ok(Some(Trash {
            key: key.into_bytes(),
            queue: queue.to_owned(),
            purged,
            entries,
        }))
    }

    /// All purged queues that can be put back, the oldest first.
    pub(crate) async fn trash(&self) -> Result<Vec<Trash>, Error> {
        let all = Cmd::zrange_withscores(wire::TRASH, 0, -1);
        let keys: Vec<(Vec<u8>, f64)> = self.command("look for purged queues", &all).await?;
        let (keys, times): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let lengths = self.ask_each::<u64>(&keys, |key| Cmd::llen(key)).await?;
        let all = keys.into_iter().zip(times).zip(lengths);
        Ok(all
            .filter_map(|((key, purged), entries)| {
                let (_, rest) = wire::split_ours(&key)?;
                let rest = String::from_utf8_lossy(rest);
                let queue = rest.rsplit_once(':')?.0.to_owned();
                Some(Trash {
                    queue,
                    purged: purged as u64,
                    entries: entries.filter(|entries| *entries > 0)?,
                    key,
                })
            })
            .collect())
    }

    /// Puts a purged queue back before all that waits now, and gives the number of its entries.
    async fn untrash(&self, trash: &Trash) -> Result<u64, Error> {
        let moved = self.move_all(&trash.key, &trash.queue, super::transfer::Order::First);
        let moved = moved.await?;
        self.command::<u64>("put a queue back", &Cmd::zrem(wire::TRASH, &trash.key))
            .await?;
        Ok(moved)
    }
}

impl Queue {
    /// Removes some entries of a queue that was purged long ago, with their jobs; gives how many are left of it. Redis is not
    /// waited for.
    pub(crate) async fn empty_trash(&self) -> Result<u64, Error> {
        let admin = self.impatient_admin();
        let until = millis_since_1970().saturating_sub(millis(KEPT));
        let mut old = redis::cmd("ZRANGEBYSCORE");
        old.arg(wire::TRASH)
            .arg("-inf")
            .arg(until)
            .arg("LIMIT")
            .arg(0)
            .arg(1);
        let found: Vec<Vec<u8>> = admin.command("look for purged queues", &old).await?;
        let Some(key) = found.first() else {
            return Ok(0);
        };
        let mut call = EMPTY_TRASH.key(key);
        call.key(wire::TRASH).arg(STEP);
        admin.script("empty_trash", &call).await
    }
}
