//! Items of batches that are worked once more without a job that tells of them: Redis has forgotten it, or they are named.

use super::loaded::Loaded;
use super::operator::{Operator, known, stage_of};
use super::repair::Todo;
use crate::figures::counted;
use crate::queue::control::BatchState;
use crate::queue::{Admin, JobKey};
use crate::refusal::Misuse;
use crate::untrusted;
use crate::wire::batch;

/// Failed items that are looked at in one go.
const STEP: usize = 1000;

/// Items of a batch that are to be worked once more.
pub(crate) struct Items {
    name: String,
    state: BatchState,
    loaded: Loaded,
    todo: Todo,
    pub(crate) count: u64,
}

impl Items {
    async fn of(operator: &Operator<'_>, name: &str) -> anyhow::Result<Self> {
        let state = known(operator.admin, name).await?;
        Ok(Self {
            loaded: Loaded::fetch(operator.admin, operator.storage.clone(), name, &state).await?,
            name: name.to_owned(),
            state,
            todo: Todo::default(),
            count: 0,
        })
    }

    /// Failed items of a batch, or of one of its stages, whose jobs have gone; nothing if so many jobs of it are selected as have
    /// failed. Where a job is there and not selected, somebody has cancelled
    /// it or had its failure forgotten.
    pub(crate) async fn without_jobs(
        operator: &Operator<'_>,
        (name, stage): (&str, Option<&str>),
        selected: usize,
    ) -> anyhow::Result<Option<Self>> {
        let state = known(operator.admin, name).await?;
        let only = stage.map(|stage| stage_of(&state, stage)).transpose()?;
        let stages = 0..state.stages.len();
        let stages: Vec<_> = stages
            .filter(|stage| only.is_none_or(|only| only == *stage))
            .collect();
        let failed: u64 = stages.iter().map(|at| state.stages[*at].failed).sum();
        if failed <= selected as u64 {
            return Ok(None);
        }
        let mut items = Self::of(operator, name).await?;
        for stage in stages {
            items.add_failed(operator.admin, stage).await?;
        }
        Ok((items.count > 0).then_some(items))
    }

    async fn add_failed(&mut self, admin: &Admin, stage: usize) -> anyhow::Result<()> {
        let mut next = Some(0);
        while let Some(from) = next {
            let marked = admin.marked(&self.name, stage, batch::FAILED, from, STEP);
            let (items, after) = marked.await?;
            next = after;
            let mut keys = Vec::new();
            for &item in &items {
                let (_, key) = self.loaded.identity(stage, item).await?;
                keys.push(JobKey(key.into_bytes()));
            }
            let jobs = admin.jobs(&keys).await?;
            let gone = items.into_iter().zip(jobs);
            gone.filter(|(_, fields)| fields.is_empty())
                .for_each(|(item, _)| self.add(stage, item));
        }
        Ok(())
    }

    /// The batch that they are of.
    pub(crate) fn batch(&self) -> &str {
        &self.name
    }

    fn add(&mut self, stage: usize, item: u64) {
        self.todo.again(stage, item);
        self.count += 1;
    }

    /// Items of a stage that are named by their identities. They have failed or, if that is allowed, are done.
    pub(crate) async fn named(
        operator: &Operator<'_>,
        (name, stage): (&str, &str),
        ids: &[String],
        with_done: bool,
    ) -> anyhow::Result<Self> {
        let mut items = Self::of(operator, name).await?;
        let stage = stage_of(&items.state, stage)?;
        for id in ids {
            let total = items.state.stages[stage].total;
            let item = items.loaded.item_of((stage, total), id).await?;
            let marks = operator.admin.marks(name, stage, item).await?;
            let shown = untrusted::name(id);
            let text = match marks.first().copied() {
                Some(batch::FAILED) => {
                    items.add(stage, item);
                    continue;
                }
                Some(batch::DONE) if with_done => {
                    items.add(stage, item);
                    continue;
                }
                Some(batch::DONE) => format!("{shown} is done: --again has it done once more"),
                Some(batch::OUT) => format!("{shown} is under way already"),
                _ => format!(
                    "{shown} will be worked by itself: redis-consumer batch item says what it waits for"
                ),
            };
            return Err(Misuse(text).into());
        }
        Ok(items)
    }

    /// Has them worked once more, as soon as they are fed.
    pub(crate) async fn work(&mut self, operator: &Operator<'_>) -> anyhow::Result<()> {
        self.todo.apply(operator.admin, &mut self.loaded).await?;
        let what = format!("{} worked once more", counted(self.count, "item"));
        operator.record("requeue", &self.name, &what).await
    }
}
