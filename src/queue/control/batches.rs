//! Batches: their plans, and where their stages stand.
//!
//! An item is known by its number. Three bits say whether it is done, under way or failed; counters in the batch's hash count
//! the bits. Stages above have a counter of ended children for each item, and a bit for those that may be fed.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, Keys, batch};

static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/create_batch.lua")));

static OPEN_LATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/open_late.lua")
    ))
});

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
    /// Nothing as long as its list has not been read.
    pub(crate) total: Option<u64>,
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
    /// Whether its list, which gives the total, has been read.
    pub(crate) is_read: bool,
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
    /// Whether it does not wait for whole stages below, whatever the plan says.
    pub(crate) is_forced: bool,
    /// In seconds since 1970.
    pub(crate) began: Option<u64>,
    pub(crate) ended: Option<u64>,
}

impl BatchState {
    /// The queues of its stages, each once.
    pub(crate) fn queues(&self) -> BTreeSet<&str> {
        let queues = self.stages.iter().map(|stage| stage.queue.as_str());
        queues.collect()
    }

    /// Whether items that nothing and nobody holds back are left for a queue.
    pub(crate) fn has_more_for(&self, queue: &str) -> bool {
        let mut stages = self.stages.iter().filter(|stage| stage.queue == queue);
        stages.any(|stage| {
            let is_free = stage.held.is_none() && (stage.is_started || stage.again > 0);
            is_free && !stage.is_over()
        })
    }

    /// A number of each stage, over all of them.
    pub(crate) fn sum(&self, of: fn(&StageState) -> u64) -> u64 {
        self.stages.iter().map(of).sum()
    }
}

impl StageState {
    pub(crate) fn is_over(&self) -> bool {
        self.is_read && self.done + self.failed >= self.total
    }
}

impl Admin {
    /// Writes a batch; if there is one of this name, gives the digest of its plan.
    pub(crate) async fn create_batch(&self, new: &NewBatch) -> Result<Option<String>, Error> {
        let head = batch::head(&new.name);
        let mut call = CREATE.key(&head);
        call.key(batch::plan(&new.name)).key(wire::BATCHES);
        for queue in new.queues() {
            call.key(Keys::new(queue).feed());
        }
        call.arg(&new.name)
            .arg(&new.plan)
            .arg(new.created)
            .arg(new.priority);
        for (name, value) in new.fields() {
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
            for (limit, value) in stage.limits() {
                let field = batch::stage_field(number, limit);
                match value {
                    Some(value) => all.hset(&head, field, value),
                    None => all.hdel(&head, field),
                };
            }
            // One that a person has started stays so.
            if stage.is_started {
                all.hset(&head, batch::stage_field(number, batch::STARTED), 1);
            }
        }
        for queue in new.queues() {
            let add = all.cmd("ZADD").arg(Keys::new(queue).feed());
            // Only where it is still: it may have ended.
            add.arg("XX").arg(new.priority).arg(&new.name);
        }
        self.pipeline::<Vec<redis::Value>>("change a batch", &all)
            .await
            .map(drop)
    }

    /// Writes the plan of a batch with a list that was read late, and what follows from that for the stages whose numbers these are.
    /// False if the plan has changed meanwhile, or somebody else was first.
    pub(crate) async fn open_late(
        &self,
        new: &NewBatch,
        stages: &[usize],
        revision: u64,
    ) -> Result<bool, Error> {
        let mut call = OPEN_LATE.key(batch::head(&new.name));
        call.key(batch::plan(&new.name));
        call.arg(&new.name).arg(&new.plan).arg(revision);
        call.arg(stages.len());
        stages.iter().for_each(|stage| _ = call.arg(stage));
        for &stage in stages {
            for (name, value) in new.stages[stage].sizes() {
                call.arg(batch::stage_field(stage, name)).arg(value);
            }
        }
        self.script("open_late", &call).await
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
            all.zrem(Keys::new(stage.queue.as_str()).feed(), name);
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

impl NewBatch {
    /// The queues of its stages, each once.
    fn queues(&self) -> BTreeSet<&str> {
        let queues = self.stages.iter().map(|stage| stage.queue.as_str());
        queues.collect()
    }

    fn fields(&self) -> Vec<(String, String)> {
        let state = match self.is_paused {
            true => batch::PAUSED,
            false => batch::RUNNING,
        };
        let of_batch = [
            (batch::STATE, state.to_owned()),
            (batch::DIGEST, self.digest.clone()),
            (batch::CREATED_BY, self.by.clone()),
            (batch::CREATED, (self.created / 1000).to_string()),
            (batch::PRIORITY, self.priority.to_string()),
            (batch::STAGES, self.stages.len().to_string()),
        ];
        let of_batch = of_batch.map(|(name, value)| (name.to_owned(), value));
        let stages = self.stages.iter().enumerate();
        let of_stages = stages.flat_map(|(number, stage)| stage.fields(number));
        of_batch.into_iter().chain(of_stages).collect()
    }
}

impl NewStage {
    fn fields(&self, number: usize) -> Vec<(String, String)> {
        let always = [
            (batch::NAME, self.name.clone()),
            (batch::QUEUE, self.queue.clone()),
            (batch::NEXT, "0".to_owned()),
        ];
        let flags = [
            (batch::GO_ON, self.goes_on),
            (batch::STARTED, self.is_started),
        ];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
        let flags = flags.map(|(name, _)| (name, "1".to_owned()));
        let all = always.into_iter().chain(flags).chain(self.sizes());
        all.map(|(name, value)| (batch::stage_field(number, name), value))
            .collect()
    }

    /// What follows from how many items it has, and from its limits.
    fn sizes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let total = self.total;
        let sizes = [
            (batch::TOTAL, total),
            (batch::BITS, total.map(|_| self.bits.into())),
        ];
        let all = sizes.into_iter().chain(self.limits());
        all.filter_map(|(name, value)| Some((name, value?.to_string())))
    }

    /// What `submit --update` may change.
    fn limits(&self) -> [(&'static str, Option<u64>); 3] {
        [
            (batch::KEEP, Some(self.keep)),
            (batch::SAME, self.same),
            (batch::MOST, self.most),
        ]
    }
}

impl BatchState {
    pub(super) fn read(fields: &HashMap<String, String>) -> Self {
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
            is_read: found(batch::TOTAL).is_some(),
            next: number(batch::NEXT),
            out: number(batch::OUT),
            done: number(batch::DONE),
            failed: number(batch::FAILED),
            ready: number(batch::READY),
            again: number(batch::AGAIN),
            vanished: number(batch::VANISHED),
            held: found(batch::HELD).cloned(),
            is_started: found(batch::STARTED).is_some(),
            is_forced: found(batch::FORCED).is_some(),
            began: time(batch::BEGAN),
            ended: time(batch::ENDED),
        }
    }
}
