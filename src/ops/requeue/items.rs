//! Items of batches that are worked once more without a job that tells of them: Redis has forgotten it, or they are named.

use super::super::desk::{
    Desk, Misuse, Selected, Selector, counted, feed_first, item_of, known, stage_of,
};
use crate::batch::{Loaded, Todo};
use crate::queue::JobKey;
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::batch;

/// Failed items that are looked at in one go.
const STEP: usize = 1000;

/// Items of a batch that are to be worked once more.
pub(super) struct Items {
    name: String,
    state: BatchState,
    loaded: Loaded,
    todo: Todo,
    storage: Option<Storage>,
    pub(super) count: u64,
}

impl Items {
    async fn of(desk: &Desk, storage: Option<Storage>, name: &str) -> anyhow::Result<Self> {
        let state = known(desk, name).await?;
        Ok(Self {
            loaded: Loaded::fetch(&desk.admin, storage.clone(), name, &state).await?,
            storage,
            name: name.to_owned(),
            state,
            todo: Todo::default(),
            count: 0,
        })
    }

    /// Failed items of the batch that is meant whose jobs have gone. Where a job is there and not selected, somebody has cancelled
    /// it or had its failure forgotten.
    pub(super) async fn without_jobs(
        desk: &Desk,
        storage: Option<Storage>,
        selector: &Selector,
        selected: &Selected,
    ) -> anyhow::Result<Option<Self>> {
        let Some((name, stage)) = selector.whole_batch() else {
            return Ok(None);
        };
        let state = known(desk, name).await?;
        let only = stage.map(|stage| stage_of(&state, stage)).transpose()?;
        let stages = 0..state.stages.len();
        let stages: Vec<_> = stages
            .filter(|stage| only.is_none_or(|only| only == *stage))
            .collect();
        let failed: u64 = stages.iter().map(|at| state.stages[*at].failed).sum();
        if failed <= selected.len() as u64 {
            return Ok(None);
        }
        let mut items = Self::of(desk, storage, name).await?;
        for stage in stages {
            items.add_failed(desk, stage).await?;
        }
        Ok((items.count > 0).then_some(items))
    }

    async fn add_failed(&mut self, desk: &Desk, stage: usize) -> anyhow::Result<()> {
        let mut next = Some(0);
        while let Some(from) = next {
            let marked = desk
                .admin
                .marked(&self.name, stage, batch::FAILED, from, STEP);
            let (items, after) = marked.await?;
            next = after;
            let mut keys = Vec::new();
            for &item in &items {
                let (_, key) = self.loaded.identity(stage, item).await?;
                keys.push(JobKey(key.into_bytes()));
            }
            let jobs = desk.admin.jobs(&keys).await?;
            let gone = items.into_iter().zip(jobs);
            gone.filter(|(_, fields)| fields.is_empty())
                .for_each(|(item, _)| self.add(stage, item));
        }
        Ok(())
    }

    fn add(&mut self, stage: usize, item: u64) {
        self.todo.again(stage, item);
        self.count += 1;
    }

    /// Items of a stage that are named by their identities. They have failed or, if that is allowed, are done.
    pub(super) async fn named(
        desk: &Desk,
        storage: Option<Storage>,
        (name, stage): (&str, &str),
        ids: &[String],
        with_done: bool,
    ) -> anyhow::Result<Self> {
        let mut items = Self::of(desk, storage, name).await?;
        let stage = stage_of(&items.state, stage)?;
        for id in ids {
            let total = items.state.stages[stage].total;
            let item = item_of(&mut items.loaded, (stage, total), id).await?;
            let marks = desk.admin.marks(name, stage, item).await?;
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

    /// Has them worked once more.
    pub(super) async fn work(&mut self, desk: &Desk) -> anyhow::Result<()> {
        self.todo.apply(&desk.admin, &mut self.loaded).await?;
        let what = format!("{} worked once more", counted(self.count, "item"));
        desk.record("requeue", &self.name, &what).await?;
        feed_first(desk, self.storage.take(), &self.name).await
    }
}
