//! Batches: their plans, and where their stages stand.
//!
//! An item is known by its number. Three bits say whether it is done, under way or failed; counters in the batch's hash count
//! the bits. Stages above have a counter of ended children for each item, and a bit for those that may be fed.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, Keys, batch};

static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/create_batch.lua")));

static SET_STATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/set_batch_state.lua")));

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
