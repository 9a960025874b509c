//! A plan that is ready to be fed from.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use batch_plan::work::Expect;
use batch_plan::{Expected, Job, Lists, Renderer, Resolved, Row};

use super::outputs::Wanted;
use super::rows::Rows;
use crate::queue::Admin;
use crate::queue::control::{BatchState, NewItem};
use crate::refusal::Misuse;
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::field;

/// A plan that is ready to be fed from.
pub(crate) struct Loaded {
    pub(crate) plan: Arc<Resolved>,
    renderers: Vec<Renderer>,
    at_hand: Lists,
    rows: Rows,
    /// Where lists are that are too long for the plan, and where lists of children go.
    storage: Option<Storage>,
}

/// Items that are compared with the identity that is looked for, in stages whose numbers do not follow from it.
const LOOKED: u64 = 100_000;

impl Loaded {
    /// Reads the plan of a batch.
    pub(crate) async fn fetch(
        admin: &Admin,
        storage: Option<Storage>,
        name: &str,
        state: &BatchState,
    ) -> anyhow::Result<Self> {
        let shown = untrusted::name(name);
        let json = admin.batch_plan(name).await?;
        let json = json.with_context(|| format!("the plan of batch {shown} is gone"))?;
        let read = tokio::task::spawn_blocking(move || Self::read(&json, storage));
        let loaded = read
            .await?
            .with_context(|| format!("the plan of batch {shown} cannot be read"))?;
        // Else the batch was deleted and submitted anew in between.
        ensure!(
            loaded.plan.stages().len() == state.stages.len(),
            "batch {shown} has another plan by now"
        );
        Ok(loaded)
    }

    fn read(json: &str, storage: Option<Storage>) -> anyhow::Result<Self> {
        let plan = Arc::new(Resolved::from_json(json)?);
        let inline = plan.inline_lists()?;
        Self::of(plan, inline, storage)
    }

    /// A plan with those of its lists that are at hand.
    pub(crate) fn of(
        plan: Arc<Resolved>,
        lists: Lists,
        storage: Option<Storage>,
    ) -> anyhow::Result<Self> {
        let stages = 0..plan.stages().len();
        let renderers = stages.map(|stage| Renderer::new(Arc::clone(&plan), stage));
        Ok(Self {
            renderers: renderers.collect::<Result<_, _>>()?,
            at_hand: lists,
            rows: Rows::default(),
            storage,
            plan,
        })
    }

    /// The bucket, if there is one.
    pub(super) fn storage(&self) -> Option<&Storage> {
        self.storage.as_ref()
    }

    /// The row of an item, if its stage has rows.
    pub(crate) async fn row(&mut self, stage: usize, item: u64) -> anyhow::Result<Option<Row>> {
        let Some(rows_of) = self.plan.rows_of(stage) else {
            return Ok(None);
        };
        if let Some(list) = self.at_hand.get(rows_of) {
            return Ok(list.row(item));
        }
        let storage = self.storage.as_ref();
        let storage = storage.context("its list is in a bucket, and STORAGE_BUCKET is not set")?;
        let name = &self.plan.stages()[rows_of].name;
        let row = self.rows.row(storage, self.plan.name(), name, item);
        row.await.map(Some)
    }

    /// An item as the plan renders it.
    pub(super) async fn rendered(&mut self, stage: usize, item: u64) -> anyhow::Result<Job> {
        let row = self.row(stage, item).await?;
        Ok(self.renderers[stage].job(item, row.as_ref())?)
    }

    /// The job of an item, as it is written.
    pub(super) async fn job(
        &mut self,
        stage: usize,
        item: u64,
        position: u64,
    ) -> anyhow::Result<NewItem> {
        let row = self.row(stage, item).await?;
        let job = self.renderers[stage].job(item, row.as_ref())?;
        let mut fields = job.hash(self.plan.name());
        if !fields.iter().any(|(name, _)| name == field::ORIGINAL_NAME) {
            let name = match job.input.is_empty() {
                true => &job.id,
                false => &job.input,
            };
            fields.push((field::ORIGINAL_NAME.to_owned(), name.clone()));
        }
        let expected = self.renderers[stage].expected(item, row.as_ref())?;
        let keys: Vec<_> = expected.iter().filter_map(key_of).collect();
        if !keys.is_empty() {
            fields.push((field::EXPECT.to_owned(), keys.join("\n")));
        }
        Ok(NewItem {
            item,
            position,
            key: job.key,
            fields,
        })
    }

    /// The numbers of all items of a stage: in a sample, of those that belong to it.
    pub(super) fn items(&self, stage: usize) -> Vec<u64> {
        match &self.plan.stages()[stage].chosen {
            Some(chosen) => chosen.clone(),
            None => (0..self.plan.total(stage).unwrap_or(0)).collect(),
        }
    }

    /// What is to be listed for the outputs of a stage.
    pub(super) fn listings(&self, stage: usize) -> Wanted {
        let listings = self.renderers[stage].listings();
        let expect = &self.plan.stages()[stage].work.expect;
        let is_prefix = |expect: &Expect| matches!(expect, Expect::Prefix(_));
        let with_keys = expect.iter().any(is_prefix);
        Wanted::new(
            listings.into_iter().map(|listing| listing.prefix),
            with_keys,
        )
    }

    /// What an item leaves, and the key of its job.
    pub(crate) async fn expected(
        &mut self,
        stage: usize,
        item: u64,
    ) -> anyhow::Result<(String, Vec<Expected>)> {
        let row = self.row(stage, item).await?;
        let expected = self.renderers[stage].expected(item, row.as_ref())?;
        let is_result = expected.contains(&Expected::Result);
        let key = match is_result {
            true => self.identity(stage, item).await?.1,
            false => String::new(),
        };
        Ok((key, expected))
    }

    /// Where the list of an item's children is.
    pub(super) async fn manifest_key(&mut self, stage: usize, item: u64) -> anyhow::Result<String> {
        let (id, _) = self.identity(stage, item).await?;
        Ok(self.renderers[stage].manifest_key(&id))
    }

    /// The number of an item of a stage with so many, by its identity, or by `#` and its number.
    pub(crate) async fn item_of(
        &mut self,
        (stage, total): (usize, u64),
        text: &str,
    ) -> anyhow::Result<u64> {
        let missing = || Misuse(format!("there is no item `{}`", untrusted::name(text)));
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().ok().filter(|number| *number < total);
            return Ok(number.ok_or_else(missing)?);
        }
        // Of a grid, coordinates are the usual identity.
        let point: Option<Vec<u64>> = text.split('_').map(|part| part.parse().ok()).collect();
        let grid = self.plan.grid(stage);
        let likely = grid.and_then(|grid| grid.number(&point?));
        for number in likely.into_iter().chain(0..total.min(LOOKED)) {
            let (id, _) = self.identity(stage, number).await?;
            if id == text {
                return Ok(number);
            }
        }
        Err(missing().into())
    }

    /// The identity of an item, and the key of its job.
    pub(crate) async fn identity(
        &mut self,
        stage: usize,
        item: u64,
    ) -> anyhow::Result<(String, String)> {
        let row = self.row(stage, item).await?;
        let id = self.renderers[stage].item_id(item, row.as_ref())?;
        let of = &self.plan.stages()[stage];
        let key = batch_plan::job_key(&of.queue, self.plan.name(), &of.name, &id);
        Ok((id, key))
    }
}

/// What a command is told to leave: a key, or a prefix.
fn key_of(expected: &Expected) -> Option<String> {
    match expected {
        Expected::Result => None,
        Expected::Key { key, .. } => Some(key.clone()),
        Expected::Prefix { prefix, .. } => Some(format!("{}/", prefix.trim_end_matches('/'))),
    }
}
