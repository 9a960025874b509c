//! What is known of single items: a bit for each mark, and a counter of ended children.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{JobKey, batch, field};

static REMARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/remark_items.lua")
    ))
});
static SWAP_COUNTERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/swap_counters.lua")
    ))
});

/// Bytes of a bitmap that are read at once.
const WINDOW: u64 = 64 << 10;

/// How the mark of an item changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remark {
    /// It is worked again.
    Again,
    /// It is not done any more.
    Clear,
    /// It is done.
    Adopt,
}

/// What a stage is to know of the items below it.
#[derive(Clone, Debug)]
pub(crate) struct NewCounters {
    /// For each item how many of its children have ended, in as many bits as the stage has for it.
    pub(crate) seen: Vec<u8>,
    /// A bit for each item that is ready, and how many are.
    pub(crate) ready: Vec<u8>,
    pub(crate) ready_count: u64,
    /// Items that are not to be fed once more yet: they are ready when their children are.
    pub(crate) early: Vec<u64>,
    /// Stages below, and how many items of each had ended when this was computed.
    pub(crate) below: Vec<(usize, u64)>,
}

impl Admin {
    /// Some items of a stage whose bit of this name is set, from a byte of the bitmap on, and the byte to go on from; nothing more
    /// is there if that is none.
    pub(crate) async fn marked(
        &self,
        name: &str,
        stage: usize,
        what: &str,
        from: u64,
        most: usize,
    ) -> Result<(Vec<u64>, Option<u64>), Error> {
        let key = batch::of_stage(name, stage, what);
        let mut window = redis::cmd("GETRANGE");
        window.arg(key).arg(from).arg(from + WINDOW - 1);
        let bytes: Vec<u8> = self.command("read marks", &window).await?;
        let mut items = Vec::new();
        for (at, byte) in (from..).zip(&bytes) {
            let set = (0..8).filter(|bit| byte & (0x80 >> bit) != 0);
            items.extend(set.map(|bit| at * 8 + bit));
            if items.len() >= most {
                return Ok((items, Some(at + 1)));
            }
        }
        let is_last = (bytes.len() as u64) < WINDOW;
        Ok((items, (!is_last).then_some(from + WINDOW)))
    }

    /// Some items of a stage that are done and not in `seen`, which has a bit for each; they are in it then.
    pub(crate) async fn newly_done(
        &self,
        name: &str,
        stage: usize,
        seen: &mut Vec<u8>,
        most: usize,
    ) -> Result<Vec<u64>, Error> {
        let key = batch::of_stage(name, stage, batch::DONE);
        let (mut items, mut from) = (Vec::new(), 0);
        loop {
            let mut window = redis::cmd("GETRANGE");
            window.arg(&key).arg(from).arg(from + WINDOW - 1);
            let bytes: Vec<u8> = self.command("read marks", &window).await?;
            let end = from as usize + bytes.len();
            seen.resize(end.max(seen.len()), 0);
            for (at, (byte, known)) in (from..).zip(bytes.iter().zip(&mut seen[from as usize..])) {
                let new = byte & !*known;
                for bit in (0..8).filter(|bit| new & (0x80 >> bit) != 0) {
                    if items.len() >= most {
                        return Ok(items);
                    }
                    *known |= 0x80 >> bit;
                    items.push(at * 8 + bit);
                }
            }
            if (bytes.len() as u64) < WINDOW {
                return Ok(items);
            }
            from += WINDOW;
        }
    }

    /// The marks of all items of a stage, a bit each.
    pub(crate) async fn all_marks(
        &self,
        name: &str,
        stage: usize,
        what: &str,
    ) -> Result<Vec<u8>, Error> {
        let key = batch::of_stage(name, stage, what);
        let mut all = Vec::new();
        loop {
            let from = all.len() as u64;
            let mut window = redis::cmd("GETRANGE");
            window.arg(&key).arg(from).arg(from + WINDOW - 1);
            let bytes: Vec<u8> = self.command("read marks", &window).await?;
            let is_last = (bytes.len() as u64) < WINDOW;
            all.extend(bytes);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Which of these marks an item has.
    pub(crate) async fn marks(
        &self,
        name: &str,
        stage: usize,
        item: u64,
    ) -> Result<Vec<&'static str>, Error> {
        let all = [
            batch::DONE,
            batch::OUT,
            batch::FAILED,
            batch::READY,
            batch::AGAIN,
        ];
        let mut ask = redis::pipe();
        for what in all {
            ask.cmd("GETBIT")
                .arg(batch::of_stage(name, stage, what))
                .arg(item);
        }
        let bits: Vec<u8> = self.pipeline("read marks", &ask).await?;
        let set = all.into_iter().zip(bits).filter(|(_, bit)| *bit == 1);
        Ok(set.map(|(what, _)| what).collect())
    }

    /// Whether each of these items has a mark.
    pub(crate) async fn have_mark(
        &self,
        name: &str,
        stage: usize,
        what: &str,
        items: &[u64],
    ) -> Result<Vec<bool>, Error> {
        let key = batch::of_stage(name, stage, what);
        let mut ask = redis::pipe();
        for item in items {
            ask.cmd("GETBIT").arg(&key).arg(item);
        }
        let bits: Vec<u8> = self.pipeline("read marks", &ask).await?;
        Ok(bits.into_iter().map(|bit| bit == 1).collect())
    }

    /// How many children of an item have ended.
    pub(crate) async fn children_seen(
        &self,
        name: &str,
        stage: usize,
        item: u64,
        bits: u8,
    ) -> Result<u64, Error> {
        let mut ask = redis::cmd("BITFIELD");
        ask.arg(batch::of_stage(name, stage, batch::SEEN))
            .arg("GET")
            .arg(format!("u{bits}"))
            .arg(format!("#{item}"));
        let seen: Vec<u64> = self.command("read marks", &ask).await?;
        Ok(seen.first().copied().unwrap_or(0))
    }

    /// The keys of results of jobs: nothing of one whose hash has gone, and an empty one of one that has left none.
    pub(crate) async fn results(&self, jobs: &[JobKey]) -> Result<Vec<Option<String>>, Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.clone()).collect();
        let found = self
            .ask_each::<(Option<String>, Option<String>)>(&keys, |key| {
                Cmd::hmget(key, &[field::STATUS, field::OUTPUT_FILE_NAME])
            })
            .await?;
        let told = |found: Option<(Option<String>, Option<String>)>| {
            let (status, result) = found?;
            status.map(|_| result.unwrap_or_default())
        };
        Ok(found.into_iter().map(told).collect())
    }

    /// Changes the marks of some items.
    pub(crate) async fn remark(
        &self,
        name: &str,
        stage: usize,
        how: Remark,
        items: &[u64],
    ) -> Result<u64, Error> {
        let mut call = REMARK.key(batch::head(name));
        call.arg(name).arg(stage).arg(match how {
            Remark::Again => "again",
            Remark::Clear => "clear",
            Remark::Adopt => "adopt",
        });
        items.iter().for_each(|item| _ = call.arg(item));
        self.script("remark_items", &call).await
    }

    /// Puts counters of a stage in place, unless items of stages below have ended meanwhile.
    pub(crate) async fn swap_counters(
        &self,
        name: &str,
        stage: usize,
        new: &NewCounters,
    ) -> Result<bool, Error> {
        let mut call = SWAP_COUNTERS.key(batch::head(name));
        call.arg(name)
            .arg(stage)
            .arg(&new.seen)
            .arg(&new.ready)
            .arg(new.ready_count);
        call.arg(new.below.len());
        for (below, ended) in &new.below {
            call.arg(below).arg(ended);
        }
        new.early.iter().for_each(|item| _ = call.arg(item));
        self.script("swap_counters", &call).await
    }
}
