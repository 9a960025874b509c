//! How items of batches become jobs, and how jobs become items again.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, JobKey, Keys, batch};

static FEED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/feed.lua")
    ))
});
static ITEM_ENDS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/item_ends.lua")
    ))
});
static TAKE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/take_back.lua")
    ))
});

/// Entries of a queue that are looked at by one script.
const TAKEN_AT_ONCE: u64 = 200;
/// Batches that are looked at each time, the most urgent ones, and as many of the others, which take turns.
const BATCHES: isize = 4;

/// Items that are to become jobs.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) batch: &'a str,
    pub(crate) stage: usize,
    pub(crate) queue: &'a str,
    pub(crate) origin: Origin,
    pub(crate) longest_queue: u64,
    /// Items that may be under way; 0 is no limit.
    pub(crate) at_once: u64,
    pub(crate) to_front: bool,
    pub(crate) items: Vec<NewItem>,
}

/// Where items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A position of the stage, and the one after these.
    Position(u64, u64),
    /// They were released by stages below.
    Ready,
    /// They are to be fed once more.
    Again,
}

/// An item and its job.
#[derive(Clone, Debug)]
pub(crate) struct NewItem {
    pub(crate) item: u64,
    pub(crate) position: u64,
    pub(crate) key: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// What came of feeding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// So many jobs were made, and so many items passed over that have one or need none.
    Made { jobs: u64, passed: u64 },
    /// There is no room.
    Full,
    /// Somebody else has fed these; this is the next position.
    Moved(u64),
    /// Nothing is to be fed now.
    Held,
}

impl Fed {
    /// What the script has answered.
    fn of(answer: &[String]) -> Self {
        let number = |at: usize| {
            let text = answer.get(at);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        match answer.first().map(String::as_str) {
            Some("OK") => Self::Made {
                jobs: number(1),
                passed: number(2),
            },
            Some("FULL") => Self::Full,
            Some("MOVED") => Self::Moved(number(1)),
            _ => Self::Held,
        }
    }
}

impl Origin {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Position(..) => None,
            Self::Ready => Some(batch::READY),
            Self::Again => Some(batch::AGAIN),
        }
    }
}

impl Admin {
    /// Names of batches that may be fed into a queue: the most urgent ones, then some of the others, whose turn it is. Gives whose
    /// turn is next, too.
    pub(crate) async fn feedable(
        &self,
        queue: &str,
        turn: isize,
    ) -> Result<(Vec<String>, isize), Error> {
        let (key, turn) = (Keys::new(queue).feed(), turn.max(BATCHES));
        let mut ask = redis::pipe();
        // The last ones are the most urgent.
        ask.zrange(&key, -BATCHES, -1);
        ask.zrange(&key, -turn - BATCHES, -turn - 1);
        let (mut names, mut others): (Vec<String>, Vec<String>) =
            self.pipeline("look for batches to feed", &ask).await?;
        let is_last = others.len() < BATCHES as usize;
        names.reverse();
        others.reverse();
        names.append(&mut others);
        Ok((names, if is_last { 0 } else { turn + BATCHES }))
    }

    /// Names of all batches that may be fed into a queue.
    pub(crate) async fn all_feedable(&self, queue: &str) -> Result<Vec<String>, Error> {
        let all = Cmd::zrange(Keys::new(queue).feed(), 0, -1);
        self.command("look for batches to feed", &all).await
    }

    /// Makes jobs of items.
    pub(crate) async fn feed(&self, chunk: &Chunk<'_>) -> Result<Fed, Error> {
        let of = |what: &str| batch::of_stage(chunk.batch, chunk.stage, what);
        let mut call = FEED.key(batch::head(chunk.batch));
        call.key(chunk.queue);
        for what in [batch::DONE, batch::OUT, batch::FAILED] {
            call.key(of(what));
        }
        call.key(of(chunk.origin.word().unwrap_or(batch::READY)))
            .key(wire::QUEUES);
        call.arg(chunk.stage);
        match chunk.origin {
            Origin::Position(at, next) => call.arg(at).arg(next),
            Origin::Ready | Origin::Again => call.arg(chunk.origin.word()).arg(0),
        };
        call.arg(chunk.longest_queue)
            .arg(chunk.at_once)
            .arg(wire::timestamp())
            .arg(if chunk.to_front { "front" } else { "back" });
        for item in &chunk.items {
            call.arg(item.item)
                .arg(item.position)
                .arg(&item.key)
                .arg(item.fields.len() * 2);
            for (name, value) in &item.fields {
                call.arg(name).arg(value);
            }
        }
        let answer: Vec<String> = self.script("feed", &call).await?;
        Ok(Fed::of(&answer))
    }

    /// Counts items whose jobs were ended by others, or have vanished: how many of each.
    pub(crate) async fn count_ends(
        &self,
        name: &str,
        stage: usize,
        items: &[(u64, JobKey)],
    ) -> Result<(u64, u64), Error> {
        let mut call = ITEM_ENDS.key(batch::head(name));
        call.arg(name).arg(stage);
        for (item, job) in items {
            call.arg(item).arg(&job.0);
        }
        self.script("item_ends", &call).await
    }

    /// Takes what waits of a batch or one of its stages, or of all batches, out of a queue, and gives how many jobs that were.
    pub(crate) async fn take_back(
        &self,
        of: Option<(&str, Option<usize>)>,
        queue: &[u8],
    ) -> Result<u64, Error> {
        let (batch, stage) = of.unwrap_or_default();
        let stage = stage.map(|stage| stage.to_string()).unwrap_or_default();
        let length = Cmd::llen(queue);
        let mut left: u64 = self.command("count the jobs", &length).await?;
        let mut taken = 0;
        while left > 0 {
            let looked = left.min(TAKEN_AT_ONCE);
            let mut call = TAKE_BACK.key(queue);
            call.arg(batch).arg(&stage).arg(looked);
            taken += self.script::<u64>("take_back", &call).await?;
            left -= looked;
        }
        Ok(taken)
    }

    /// How much of the memory of Redis is used, in per cent; nothing where it has no limit.
    pub(crate) async fn memory_used(&self) -> Result<Option<u64>, Error> {
        let memory = self.memory().await?;
        Ok(memory.map(|(used, most)| used * 100 / most))
    }

    /// Bytes that Redis uses, and how many it may; nothing where it has no limit.
    pub(crate) async fn memory(&self) -> Result<Option<(u64, u64)>, Error> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let info: String = self.command("ask for the memory", &info).await?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let (used, most) = (number("used_memory:"), number("maxmemory:"));
        Ok(match (used, most) {
            (Some(used), Some(most)) if most > 0 => Some((used, most)),
            _ => None,
        })
    }
}
