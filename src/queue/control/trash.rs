//! Queues that were purged: kept for a day under another name, then removed bit by bit.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::client::Queue;
use super::super::error::Error;
use super::step::STEP;
use crate::wire::{self, Keys, millis, millis_since_1970};

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

impl Admin {
    /// Takes everything that waits out of a queue, in one step. Nothing if nothing waits.
    pub(crate) async fn purge(&self, queue: &str) -> Result<Option<Trash>, Error> {
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
    pub(crate) async fn untrash(&self, trash: &Trash) -> Result<u64, Error> {
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
