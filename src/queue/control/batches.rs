//! Batches: what Redis knows of their items, and how items become jobs.
//!
//! An item is known by its number. Three bits say whether it is done, under way or failed; counters in the batch's hash count
//! the bits. Stages above have a counter of ended children for each item, and a bit for those that may be fed.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, JobKey, Keys, batch, field};

static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/create_batch.lua")));
static FEED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/feed.lua")));
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

static SET_STATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/set_batch_state.lua")));

/// Bytes of a bitmap that are read at once.
const WINDOW: u64 = 64 << 10;
/// Entries of a queue that are looked at by one script.
const TAKEN_AT_ONCE: u64 = 200;
/// Stages that are looked at for one queue.
const STAGES: isize = 8;

/// A batch that is to be.
#[derive(Clone, Debug)]
pub(crate) struct NewBatch {
    pub(crate) name: String,
    pub(crate) plan: String,
    pub(crate) digest: String,
    pub(crate) by: String,
    pub(crate) priority: i64,
    /// In milliseconds since 1970.
    pub(crate) created: u64,
    pub(crate) is_paused: bool,
    pub(crate) stages: Vec<NewStage>,
}

/// What scripts need to know of a stage.
#[derive(Clone, Debug)]
pub(crate) struct NewStage {
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) total: u64,
    /// Bits of the counters of its items' children.
    pub(crate) bits: u8,
    pub(crate) keep: u64,
    /// Whether failed items count as ended for stages above.
    pub(crate) goes_on: bool,
    /// Failures of one cause, and of all causes, that hold it.
    pub(crate) same: Option<u64>,
    pub(crate) most: Option<u64>,
    /// Whether nobody has to start it.
    pub(crate) is_started: bool,
}

/// Where a batch stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct BatchState {
    pub(crate) state: String,
    pub(crate) digest: String,
    /// How often its limits were changed.
    pub(crate) revision: u64,
    pub(crate) created_by: String,
    /// In seconds since 1970.
    pub(crate) created: u64,
    pub(crate) ended: Option<u64>,
    pub(crate) stages: Vec<StageState>,
}

/// Where a stage stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageState {
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) total: u64,
    /// The next position that is fed.
    pub(crate) next: u64,
    pub(crate) out: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) ready: u64,
    pub(crate) again: u64,
    pub(crate) vanished: u64,
    /// Why nothing is fed.
    pub(crate) held: Option<String>,
    pub(crate) is_started: bool,
    /// In seconds since 1970.
    pub(crate) began: Option<u64>,
    pub(crate) ended: Option<u64>,
}

impl StageState {
    pub(crate) fn is_over(&self) -> bool {
        self.done + self.failed >= self.total
    }
}

/// Items that are to become jobs.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) batch: &'a str,
    pub(crate) stage: usize,
    pub(crate) queue: &'a str,
    pub(crate) from: From,
    pub(crate) longest_queue: u64,
    /// Items that may be under way; 0 is no limit.
    pub(crate) at_once: u64,
    pub(crate) to_front: bool,
    pub(crate) items: Vec<NewItem>,
}

/// Where items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
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
    /// Key of its input; empty for none.
    pub(crate) input: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// How the mark of an item changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// It is worked again.
    Again,
    /// It is not done any more.
    Clear,
    /// It is done.
    Adopt,
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

impl From {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Position(..) => None,
            Self::Ready => Some(batch::READY),
            Self::Again => Some(batch::AGAIN),
        }
    }
}

impl Admin {
    /// Writes a batch; if there is one of this name, gives the digest of its plan.
    pub(crate) async fn create_batch(&self, new: &NewBatch) -> Result<Option<String>, Error> {
        let head = batch::head(&new.name);
        let mut call = CREATE.key(&head);
        call.key(batch::plan(&new.name)).key(wire::BATCHES);
        new.stages
            .iter()
            .for_each(|stage| _ = call.key(Keys::new(stage.queue.as_str()).feed()));
        call.arg(&new.name)
            .arg(&new.plan)
            .arg(new.created)
            .arg(new.priority);
        let state = match new.is_paused {
            true => batch::PAUSED,
            false => batch::RUNNING,
        };
        let mut fields = vec![
            (batch::STATE.to_owned(), state.to_owned()),
            (batch::DIGEST.to_owned(), new.digest.clone()),
            (batch::CREATED_BY.to_owned(), new.by.clone()),
            (batch::CREATED.to_owned(), (new.created / 1000).to_string()),
            (batch::PRIORITY.to_owned(), new.priority.to_string()),
            (batch::STAGES.to_owned(), new.stages.len().to_string()),
        ];
        for (number, stage) in new.stages.iter().enumerate() {
            fields.extend(stage.fields(number));
        }
        for (name, value) in &fields {
            call.arg(name).arg(value);
        }
        self.script("create_batch", &call).await
    }

    /// Writes the plan of a batch that runs anew, with what may change of its stages.
    pub(crate) async fn update_batch(&self, new: &NewBatch) -> Result<(), Error> {
        let head = batch::head(&new.name);
        let mut all = redis::pipe();
        all.set(batch::plan(&new.name), &new.plan);
        all.hincr(&head, batch::REVISION, 1);
        all.hset(&head, batch::PRIORITY, new.priority);
        for (number, stage) in new.stages.iter().enumerate() {
            let limits = [batch::KEEP, batch::SAME, batch::MOST];
            for limit in limits {
                all.hdel(&head, batch::stage_field(number, limit));
            }
            for (name, value) in stage.fields(number) {
                let is_limit = limits
                    .iter()
                    .any(|limit| name == batch::stage_field(number, limit));
                if is_limit {
                    all.hset(&head, name, value);
                }
            }
            let feed = Keys::new(stage.queue.as_str()).feed();
            let member = format!("{}:{number}", new.name);
            all.cmd("ZADD")
                .arg(feed)
                .arg("XX")
                .arg(new.priority)
                .arg(member);
        }
        self.pipeline::<Vec<redis::Value>>("change a batch", &all)
            .await
            .map(drop)
    }

    /// The names of all batches, the latest first.
    pub(crate) async fn batches(&self) -> Result<Vec<String>, Error> {
        let all = Cmd::zrevrange(wire::BATCHES, 0, -1);
        self.command("look for batches", &all).await
    }

    /// Takes a batch off the list of names.
    pub(crate) async fn forget_batch(&self, name: &str) -> Result<(), Error> {
        let forget = Cmd::zrem(wire::BATCHES, name);
        self.command::<u64>("forget a batch", &forget)
            .await
            .map(drop)
    }

    /// Where a batch stands; nothing if there is none of this name.
    pub(crate) async fn batch(&self, name: &str) -> Result<Option<BatchState>, Error> {
        let fields = Cmd::hgetall(batch::head(name));
        let fields: HashMap<String, String> = self.command("read a batch", &fields).await?;
        Ok((!fields.is_empty()).then(|| BatchState::read(&fields)))
    }

    /// The plan of a batch.
    pub(crate) async fn batch_plan(&self, name: &str) -> Result<Option<String>, Error> {
        let plan = Cmd::get(batch::plan(name));
        self.command("read a plan", &plan).await
    }

    /// Causes of failures of a stage, and how many items each has met.
    pub(crate) async fn batch_causes(
        &self,
        name: &str,
        stage: usize,
    ) -> Result<HashMap<String, u64>, Error> {
        let causes = Cmd::hgetall(batch::of_stage(name, stage, batch::WHY));
        self.command("read causes", &causes).await
    }

    /// Stages of batches that may be fed into a queue: names of batches with numbers of stages, the most urgent first.
    pub(crate) async fn feedable(&self, queue: &str) -> Result<Vec<(String, usize)>, Error> {
        // The last ones are the most urgent.
        let all = Cmd::zrange(Keys::new(queue).feed(), -STAGES, -1);
        let mut all: Vec<String> = self.command("look for batches to feed", &all).await?;
        all.reverse();
        let parse = |member: String| {
            let (name, stage) = member.rsplit_once(':')?;
            Some((name.to_owned(), stage.parse().ok()?))
        };
        Ok(all.into_iter().filter_map(parse).collect())
    }

    /// Makes jobs of items.
    pub(crate) async fn feed(&self, chunk: &Chunk<'_>) -> Result<Fed, Error> {
        let of = |what: &str| batch::of_stage(chunk.batch, chunk.stage, what);
        let mut call = FEED.key(batch::head(chunk.batch));
        call.key(chunk.queue);
        for what in [batch::DONE, batch::OUT, batch::FAILED] {
            call.key(of(what));
        }
        call.key(of(chunk.from.word().unwrap_or(batch::READY)))
            .key(wire::QUEUES);
        call.arg(chunk.stage);
        match chunk.from {
            From::Position(at, next) => call.arg(at).arg(next),
            From::Ready | From::Again => call.arg(chunk.from.word()).arg(0),
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
        let number = |at: usize| {
            let text = answer.get(at);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Ok(match answer.first().map(String::as_str) {
            Some("OK") => Fed::Made {
                jobs: number(1),
                passed: number(2),
            },
            Some("FULL") => Fed::Full,
            Some("MOVED") => Fed::Moved(number(1)),
            _ => Fed::Held,
        })
    }

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

    /// Puts counters of a stage in place, unless stages below are not as they were: so many of their items have ended.
    pub(crate) async fn swap_counters(
        &self,
        name: &str,
        stage: usize,
        below: &[(usize, u64)],
        counters: &[u8],
        ready: &[u8],
        count: u64,
    ) -> Result<bool, Error> {
        let mut call = SWAP_COUNTERS.key(batch::head(name));
        call.arg(name)
            .arg(stage)
            .arg(counters)
            .arg(ready)
            .arg(count);
        for (below, ended) in below {
            call.arg(below).arg(ended);
        }
        self.script("swap_counters", &call).await
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

    /// The keys of results of jobs whose hashes are there and name one.
    pub(crate) async fn results(&self, jobs: &[JobKey]) -> Result<Vec<Option<String>>, Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.clone()).collect();
        let found = self
            .ask_each::<Option<String>>(&keys, |key| Cmd::hget(key, field::OUTPUT_FILE_NAME))
            .await?;
        let named = |found: Option<Option<String>>| found.flatten().filter(|key| !key.is_empty());
        Ok(found.into_iter().map(named).collect())
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

    /// Takes what waits of a batch out of a queue, and gives how many jobs that were.
    pub(crate) async fn take_back(&self, name: &str, queue: &str) -> Result<u64, Error> {
        let length = Cmd::llen(queue);
        let mut left: u64 = self.command("count the jobs", &length).await?;
        let mut taken = 0;
        while left > 0 {
            let looked = left.min(TAKEN_AT_ONCE);
            let mut call = TAKE_BACK.key(queue);
            call.key(batch::head(name)).arg(name).arg(looked);
            taken += self.script::<u64>("take_back", &call).await?;
            left -= looked;
        }
        Ok(taken)
    }

    /// Changes the state of a batch, unless it has finished meanwhile, and gives the one that it has now.
    pub(crate) async fn set_batch_state(
        &self,
        name: &str,
        state: &str,
    ) -> Result<Option<String>, Error> {
        let mut call = SET_STATE.key(batch::head(name));
        call.arg(state);
        self.script("set_batch_state", &call).await
    }

    /// Writes fields of a batch.
    pub(crate) async fn set_batch(
        &self,
        name: &str,
        fields: &[(String, String)],
    ) -> Result<(), Error> {
        let set = Cmd::hset_multiple(batch::head(name), fields);
        self.command("write a batch", &set).await
    }

    /// Removes fields of a batch.
    pub(crate) async fn unset_batch(&self, name: &str, fields: &[String]) -> Result<(), Error> {
        let remove = Cmd::hdel(batch::head(name), fields);
        self.command("write a batch", &remove).await
    }

    /// Removes a batch with all that is known of its items, and the jobs that were kept.
    pub(crate) async fn delete_batch(&self, name: &str) -> Result<(), Error> {
        let Some(state) = self.batch(name).await? else {
            return Ok(());
        };
        let mut all = redis::pipe();
        for (number, stage) in state.stages.iter().enumerate() {
            for what in [batch::RECENT, batch::KEPT] {
                self.delete_kept(&batch::of_stage(name, number, what))
                    .await?;
            }
            let feed = Keys::new(stage.queue.as_str()).feed();
            all.zrem(feed, format!("{name}:{number}"));
            for what in batch::OF_STAGES {
                all.cmd("UNLINK").arg(batch::of_stage(name, number, what));
            }
        }
        all.cmd("UNLINK").arg(batch::head(name));
        all.cmd("UNLINK").arg(batch::plan(name));
        all.zrem(wire::BATCHES, name);
        self.pipeline::<Vec<redis::Value>>("delete a batch", &all)
            .await
            .map(drop)
    }

    async fn delete_kept(&self, list: &str) -> Result<(), Error> {
        let kept = Cmd::lrange(list, 0, -1);
        let kept: Vec<Vec<u8>> = self.command("read kept jobs", &kept).await?;
        for jobs in kept.chunks(500) {
            let mut remove = redis::cmd("UNLINK");
            remove.arg(jobs);
            self.command::<u64>("delete jobs", &remove).await?;
        }
        Ok(())
    }

    /// Whether the memory of Redis is nearly used up, in per cent; nothing where it has no limit.
    pub(crate) async fn memory_used(&self) -> Result<Option<u64>, Error> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let info: String = self.command("ask for the memory", &info).await?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let (used, most) = (number("used_memory:"), number("maxmemory:"));
        Ok(match (used, most) {
            (Some(used), Some(most)) if most > 0 => Some(used * 100 / most),
            _ => None,
        })
    }
}

impl NewStage {
    fn fields(&self, number: usize) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let mut add = |name: &str, value: String| {
            fields.push((batch::stage_field(number, name), value));
        };
        add(batch::NAME, self.name.clone());
        add(batch::QUEUE, self.queue.clone());
        add(batch::TOTAL, self.total.to_string());
        add(batch::NEXT, "0".to_owned());
        add(batch::BITS, self.bits.to_string());
        add(batch::KEEP, self.keep.to_string());
        if self.goes_on {
            add(batch::GO_ON, "1".to_owned());
        }
        if let Some(same) = self.same {
            add(batch::SAME, same.to_string());
        }
        if let Some(most) = self.most {
            add(batch::MOST, most.to_string());
        }
        if self.is_started {
            add(batch::STARTED, "1".to_owned());
        }
        fields
    }
}

impl BatchState {
    fn read(fields: &HashMap<String, String>) -> Self {
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
        let count = number(batch::STAGES).unwrap_or(0);
        Self {
            state: text(batch::STATE),
            digest: text(batch::DIGEST),
            revision: number(batch::REVISION).unwrap_or(0),
            created_by: text(batch::CREATED_BY),
            created: number(batch::CREATED).unwrap_or(0),
            ended: number(batch::ENDED_AT),
            stages: (0..count as usize)
                .map(|stage| StageState::read(fields, stage))
                .collect(),
        }
    }
}

impl StageState {
    fn read(fields: &HashMap<String, String>, stage: usize) -> Self {
        let found = |name: &str| fields.get(&batch::stage_field(stage, name));
        let text = |name: &str| found(name).cloned().unwrap_or_default();
        let time = |name: &str| found(name).and_then(|text| text.parse().ok());
        let number = |name: &str| time(name).unwrap_or(0);
        Self {
            name: text(batch::NAME),
            queue: text(batch::QUEUE),
            total: number(batch::TOTAL),
            next: number(batch::NEXT),
            out: number(batch::OUT),
            done: number(batch::DONE),
            failed: number(batch::FAILED),
            ready: number(batch::READY),
            again: number(batch::AGAIN),
            vanished: number(batch::VANISHED),
            held: found(batch::HELD).cloned(),
            is_started: found(batch::STARTED).is_some(),
            began: time(batch::BEGAN),
            ended: time(batch::ENDED),
        }
    }
}
