//! What operators change about batches, for commands and pages alike: pause, resume, start, cancel.

use std::collections::BTreeSet;

use batch_plan::Resolved;
use batch_plan::work::OnFailure;

use super::advance::is_open;
use super::feeder::Feeder;
use super::loaded::Loaded;
use super::plans::Plans;
use crate::figures::{counted, grouped};
use crate::queue::control::{BatchState, Cancel, StageState};
use crate::queue::{Admin, JobKey};
use crate::refusal::{Misuse, Refused};
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::batch;

/// Items whose jobs are ended by one script.
const CHUNK: usize = 200;

/// Somebody who changes batches.
pub(crate) struct Operator<'a> {
    pub(crate) admin: &'a Admin,
    /// The bucket, if there is one: some batches keep their lists there.
    pub(crate) storage: Option<Storage>,
    /// Who is recorded.
    pub(crate) who: &'a str,
}

/// What a pause is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pausing {
    /// No more items become jobs; what is queued is worked.
    Feeding,
    /// What waits is taken out of the queues as well.
    Waiting,
}

/// A batch that has to be there.
pub(crate) async fn known(admin: &Admin, name: &str) -> anyhow::Result<BatchState> {
    let state = admin.batch(name).await?;
    state.ok_or_else(|| {
        let name = untrusted::name(name);
        Misuse(format!(
            "there is no batch `{name}`; redis-consumer batch list shows them"
        ))
        .into()
    })
}

/// The number of a stage.
pub(crate) fn stage_of(state: &BatchState, name: &str) -> Result<usize, Misuse> {
    let found = state.stages.iter().position(|stage| stage.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = state.stages.iter().map(|it| it.name.as_str()).collect();
        Misuse(format!(
            "there is no stage `{}`, only {}",
            untrusted::name(name),
            names.join(", ")
        ))
    })
}

/// Changes the state of a batch, unless it has ended meanwhile.
pub(crate) async fn set_state(admin: &Admin, name: &str, wanted: &str) -> anyhow::Result<()> {
    let state = admin.set_batch_state(name, wanted).await?;
    match state.as_deref() {
        Some(state) if state == wanted => Ok(()),
        Some(state) => Err(Refused(format!("batch {name} is {state} meanwhile")).into()),
        None => Err(Refused(format!("batch {name} was deleted meanwhile")).into()),
    }
}

/// Whether a batch can be paused.
pub(crate) fn check_pause(name: &str, state: &BatchState, what: Pausing) -> Result<(), Refused> {
    let may_take = what == Pausing::Waiting && state.state == batch::PAUSED;
    if state.state == batch::RUNNING || may_take {
        return Ok(());
    }
    let text = format!("batch {name} is {}, not running", state.state);
    Err(Refused(text))
}

/// Whether a batch, or one of its stages, is paused, cancelled or held.
pub(crate) fn can_resume(state: &BatchState, only: Option<usize>) -> bool {
    let is_stopped = state.state != batch::RUNNING && only.is_none();
    is_stopped || !held_stages(state, only).is_empty()
}

/// The fields of stages that are held, or of this one.
fn held_stages(state: &BatchState, only: Option<usize>) -> Vec<String> {
    let stages = state.stages.iter().enumerate();
    let is_meant = |number: usize| only.is_none_or(|only| only == number);
    stages
        .filter(|(number, stage)| stage.held.is_some() && is_meant(*number))
        .map(|(number, _)| batch::stage_field(number, batch::HELD))
        .collect()
}

impl Operator<'_> {
    pub(super) async fn record(&self, verb: &str, about: &str, result: &str) -> anyhow::Result<()> {
        Ok(self.admin.record(self.who, verb, about, result).await?)
    }

    /// Pauses a batch, and says what is under way.
    pub(crate) async fn pause(
        &self,
        name: &str,
        state: &BatchState,
        what: Pausing,
    ) -> anyhow::Result<String> {
        check_pause(name, state, what)?;
        let out = state.sum(|stage| stage.out);
        set_state(self.admin, name, batch::PAUSED).await?;
        let mut taken = 0;
        if what == Pausing::Waiting {
            taken = self.take_back(name, state, None).await?;
        }
        let left = counted(out.saturating_sub(taken), "item");
        let text = format!("paused, {left} under way");
        self.record("batch pause", name, &text).await?;
        Ok(text)
    }

    /// Lets a batch, or one of its stages, go on that was paused, cancelled or held. False if nothing of it was.
    pub(crate) async fn resume(
        &self,
        name: &str,
        state: &BatchState,
        only: Option<usize>,
    ) -> anyhow::Result<bool> {
        if !can_resume(state, only) {
            return Ok(false);
        }
        let held = held_stages(state, only);
        if !held.is_empty() {
            self.admin.unset_batch(name, &held).await?;
        }
        if state.state != batch::FINISHED && only.is_none() {
            set_state(self.admin, name, batch::RUNNING).await?;
        }
        self.record("batch resume", name, "resumed").await?;
        Ok(true)
    }

    /// Whether a stage can be started, and the stage below that it would not wait for if it were.
    pub(crate) async fn check_start(
        &self,
        (name, stage): (&str, usize),
        state: &BatchState,
    ) -> anyhow::Result<Start> {
        let loaded = Loaded::fetch(self.admin, None, name, state).await?;
        let is = &state.stages[stage];
        Ok(Start {
            stage,
            name: is.name.clone(),
            is_over: is.is_over(),
            is_started: is.is_started,
            waits_for: waits_for(&loaded.plan, state, stage),
        })
    }

    /// Starts a stage that may be.
    pub(crate) async fn start(&self, name: &str, start: &Start) -> anyhow::Result<()> {
        let fields = [Some(batch::STARTED), start.waits_for.map(|_| batch::FORCED)];
        let fields = fields.into_iter().flatten();
        let fields: Vec<_> = fields
            .map(|field| (batch::stage_field(start.stage, field), "1".to_owned()))
            .collect();
        self.admin.set_batch(name, &fields).await?;
        let about = format!("{name} {}", start.name);
        self.record("batch start", &about, "started").await
    }

    /// Ends what waits and what runs of a batch, or of one of its stages, and says how much that was.
    pub(crate) async fn cancel(
        &self,
        name: &str,
        state: &BatchState,
        only: Option<usize>,
    ) -> anyhow::Result<String> {
        let stages = only.map_or(0..state.stages.len(), |only| only..only + 1);
        let mut loaded = Loaded::fetch(self.admin, self.storage.clone(), name, state).await?;
        self.close(name, only).await?;
        let taken = self.take_back(name, state, only).await?;
        let mut running = 0;
        for stage in stages {
            let queue = &state.stages[stage].queue;
            running += self.end_jobs(&mut loaded, stage, queue).await?;
        }
        let (taken, running) = (grouped(taken), grouped(running));
        let text = format!("cancelled: {taken} waited, {running} ran");
        let what = part_of(name, state, only);
        self.record("batch cancel", &what, &text).await?;
        Ok(text)
    }

    /// Queues the first items of a batch that goes on: they are what an autoscaler sees, where all consumers of its queues are at
    /// zero.
    pub(crate) async fn feed_first(&self, name: &str) -> anyhow::Result<()> {
        let mut plans = Plans::new(self.admin.clone(), self.storage.clone());
        Feeder::default().feed(&mut plans, name).await.map(drop)
    }

    /// Has nothing more fed. What is ended from now on is to be fed once more if it is revived, rather than failed.
    async fn close(&self, name: &str, stage: Option<usize>) -> anyhow::Result<()> {
        let Some(stage) = stage else {
            return set_state(self.admin, name, batch::CANCELLED).await;
        };
        let field = batch::stage_field(stage, batch::HELD);
        let held = (field, format!("{} by {}", batch::CANCELLED, self.who));
        Ok(self.admin.set_batch(name, &[held]).await?)
    }

    /// Takes what waits of a batch, or of one of its stages, out of the queues, and gives how many jobs that were.
    async fn take_back(
        &self,
        name: &str,
        state: &BatchState,
        stage: Option<usize>,
    ) -> anyhow::Result<u64> {
        let queues = match stage {
            Some(stage) => BTreeSet::from([state.stages[stage].queue.as_str()]),
            None => state.queues(),
        };
        let mut taken = 0;
        for queue in queues {
            let of = Some((name, stage));
            taken += self.admin.take_back(of, queue.as_bytes()).await?;
        }
        Ok(taken)
    }

    /// Ends the jobs of items of a stage that are under way still, and gives how many these were.
    async fn end_jobs(
        &self,
        loaded: &mut Loaded,
        stage: usize,
        queue: &str,
    ) -> anyhow::Result<u64> {
        let name = loaded.plan.name().to_owned();
        let by = format!("{}: the batch was cancelled", self.who);
        let (mut ended, mut next) = (0, Some(0));
        while let Some(from) = next {
            let marked = self.admin.marked(&name, stage, batch::OUT, from, CHUNK);
            let (items, after) = marked.await?;
            let mut keys = Vec::new();
            for item in items {
                let (_, key) = loaded.identity(stage, item).await?;
                keys.push(JobKey(key.into_bytes()));
            }
            let ends = self.admin.cancel_jobs(queue, &keys, &by).await?;
            let is_ended = |end: &&Cancel| end.obstacle().is_none();
            ended += ends.iter().filter(is_ended).count() as u64;
            next = after;
        }
        Ok(ended)
    }
}

/// The batch, or the stage.
pub(crate) fn part_of(name: &str, state: &BatchState, only: Option<usize>) -> String {
    match only {
        Some(stage) => format!("{} of {name}", state.stages[stage].name),
        None => name.to_owned(),
    }
}

/// A stage that somebody wants started.
pub(crate) struct Start {
    stage: usize,
    name: String,
    is_over: bool,
    is_started: bool,
    /// A stage below that has not ended as it should.
    pub(crate) waits_for: Option<usize>,
}

impl Start {
    /// Why it cannot be started; if it is forced, stages below need not have ended.
    pub(crate) fn refusal_of(&self, state: &BatchState, is_forced: bool) -> Option<Refused> {
        match is_forced {
            true => self.refusal_if_forced(),
            false => self.refusal().or_else(|| self.incomplete(state)),
        }
    }

    /// Why it cannot be started, whatever is below.
    fn refusal(&self) -> Option<Refused> {
        let stage = &self.name;
        if self.is_over {
            return Some(Refused(format!("{stage} has ended")));
        }
        let text = format!("{stage} needs no start: it runs as soon as it can");
        self.is_started.then_some(Refused(text))
    }

    /// The same for one that is not to wait for what is below.
    fn refusal_if_forced(&self) -> Option<Refused> {
        self.refusal()
            .filter(|_| self.is_over || self.waits_for.is_none())
    }

    /// That what is below has not ended.
    pub(crate) fn incomplete(&self, state: &BatchState) -> Option<Refused> {
        let below: &StageState = &state.stages[self.waits_for?];
        Some(Refused(format!(
            "{}: {} of {} done, {} failed, {} under way; --force starts {} with what is there",
            below.name,
            grouped(below.done),
            grouped(below.total),
            grouped(below.failed),
            grouped(below.out),
            self.name,
        )))
    }
}

/// A stage below that has not ended as it should.
fn waits_for(plan: &Resolved, state: &BatchState, stage: usize) -> Option<usize> {
    let barriers = plan.barriers(stage).iter().copied();
    let mut closed = barriers.filter(|_| !is_open(plan, state, stage));
    let is_incomplete = |below: &usize| {
        let is = &state.stages[*below];
        let goes_on = plan.stages()[*below].work.on_failure == OnFailure::GoOn;
        !is.is_over() || (is.failed > 0 && !goes_on)
    };
    let gathered = plan.below(stage).find(is_incomplete);
    gathered.or_else(|| closed.find(is_incomplete))
}
