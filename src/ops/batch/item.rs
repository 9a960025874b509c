//! One item of a batch.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use batch_plan::{Expected, Row};
use clap::Args;

use super::super::desk::{Desk, DeskArguments, known, size, stage_of, text_of};
use crate::batch::Loaded;
use crate::queue::control::BatchState;
use crate::storage::{self, Storage};
use crate::untrusted;
use crate::wire::{JobKey, batch, field};

/// Children that are named.
const NAMED: usize = 20;

#[derive(Args)]
pub(crate) struct ItemArguments {
    batch: String,
    /// The name of its stage.
    stage: String,
    /// Its identity, or `#` and its number.
    item: String,
    #[command(flatten)]
    desk: DeskArguments,
}

/// A batch whose items are shown.
struct Items<'a> {
    desk: &'a Desk,
    name: &'a str,
    state: &'a BatchState,
    loaded: Loaded,
    storage: Option<Storage>,
}

/// Shows an item.
pub(super) async fn show(arguments: &ItemArguments) -> anyhow::Result<()> {
    let name = &arguments.batch;
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let state = known(&desk, name).await?;
    let stage = stage_of(&state, &arguments.stage)?;
    let mut items = Items {
        loaded: Loaded::fetch(&desk.admin, storage.clone(), name, &state).await?,
        storage,
        desk: &desk,
        name,
        state: &state,
    };
    let total = state.stages[stage].total;
    let item = items
        .loaded
        .item_of((stage, total), &arguments.item)
        .await?;
    let row = items.loaded.row(stage, item).await?;
    items.show_job(stage, item).await?;
    items.show_outputs(stage, item).await?;
    let blocking = items.show_children(stage, item, row.as_ref()).await?;
    items.show_parents(stage, item, row.as_ref()).await?;
    items.show_way(stage, item, blocking).await
}

/// A child that has failed: its stage, and its number.
type Blocking = Option<(usize, u64)>;

impl Items<'_> {
    /// A word for where an item stands.
    async fn standing(&self, stage: usize, item: u64) -> anyhow::Result<&'static str> {
        let marks = self.desk.admin.marks(self.name, stage, item).await?;
        Ok(marks.first().copied().unwrap_or("new"))
    }

    /// Where it stands, and its job.
    async fn show_job(&mut self, stage: usize, item: u64) -> anyhow::Result<()> {
        let mut out = io::stdout();
        let (id, key) = self.loaded.identity(stage, item).await?;
        let standing = self.standing(stage, item).await?;
        let name = &self.state.stages[stage].name;
        let id = untrusted::name(&id);
        writeln!(out, "{name} {id} (item {item})   {standing}")?;
        writeln!(out, "  job        {}", untrusted::name(&key))?;
        let fields = self.desk.admin.job(&JobKey(key.into_bytes())).await?;
        if fields.is_empty() {
            writeln!(out, "             it has no hash")?;
            return Ok(());
        }
        let status = untrusted::name(text_of(&fields, field::STATUS));
        let reason = text_of(&fields, field::REASON);
        let last = untrusted::message(reason.lines().last().unwrap_or_default());
        let line = format!("{status} {last}");
        writeln!(out, "             {}", line.trim_end())?;
        Ok(())
    }

    /// What it leaves in the bucket, and whether that is there.
    async fn show_outputs(&mut self, stage: usize, item: u64) -> anyhow::Result<()> {
        let Some(storage) = self.storage.clone() else {
            return Ok(());
        };
        let (job, expected) = self.loaded.expected(stage, item).await?;
        for expected in expected {
            let (name, is) = match expected {
                Expected::Result => {
                    let key = JobKey(job.clone().into_bytes()).usual_result();
                    let is = size_of(&storage, &key).await;
                    (key, is)
                }
                Expected::Key { key, .. } => {
                    let is = size_of(&storage, &key).await;
                    (key, is)
                }
                Expected::Prefix { prefix, count, .. } => {
                    (prefix, format!("{count} objects below it"))
                }
            };
            let name = untrusted::name(&name).to_string();
            writeln!(io::stdout(), "  leaves     {name}: {is}")?;
        }
        Ok(())
    }

    /// How many of its children are done, and which ones have failed; gives one of these.
    async fn show_children(
        &mut self,
        stage: usize,
        item: u64,
        row: Option<&Row>,
    ) -> anyhow::Result<Blocking> {
        let (mut out, mut blocking) = (io::stdout(), None);
        let plan = Arc::clone(&self.loaded.plan);
        for (below, children) in plan.children(stage, item, row) {
            let name = &self.state.stages[below].name;
            let (mut counts, mut failed) = (BTreeMap::<_, usize>::new(), Vec::new());
            for child in &children {
                let standing = self.standing(below, *child).await?;
                *counts.entry(standing).or_default() += 1;
                if standing == batch::FAILED && failed.len() < NAMED {
                    failed.push(*child);
                }
            }
            let counts = counts.iter().map(|(word, count)| format!("{count} {word}"));
            let (all, counts) = (children.len(), counts.collect::<Vec<_>>().join(", "));
            writeln!(out, "  children   {all} of {name}: {counts}")?;
            for child in &failed {
                let (id, _) = self.loaded.identity(below, *child).await?;
                let id = untrusted::name(&id);
                writeln!(out, "             {name} {id} has failed")?;
            }
            blocking = blocking.or(failed.first().map(|child| (below, *child)));
        }
        if let Some(bits) = plan.counter_bits(stage).filter(|_| plan.is_gathered(stage)) {
            let seen = self.desk.admin.children_seen(self.name, stage, item, bits);
            writeln!(out, "  counted    {} children", seen.await?)?;
        }
        Ok(blocking)
    }

    /// What would have it worked, unless that happens by itself.
    async fn show_way(
        &mut self,
        stage: usize,
        item: u64,
        blocking: Blocking,
    ) -> anyhow::Result<()> {
        let (stage, item, again) = match (self.standing(stage, item).await?, blocking) {
            (batch::FAILED, _) => (stage, item, ""),
            (batch::DONE, _) => (stage, item, " --again"),
            ("new", Some((below, item))) => (below, item, ""),
            _ => return Ok(()),
        };
        let (batch, stage) = (self.name, &self.state.stages[stage].name);
        // By its number: shells may take identities for something else.
        writeln!(
            io::stdout(),
            "  to run it  redis-consumer requeue --batch {batch} --stage {stage} --item '#{item}'{again}"
        )?;
        Ok(())
    }

    async fn show_parents(
        &mut self,
        stage: usize,
        item: u64,
        row: Option<&Row>,
    ) -> anyhow::Result<()> {
        for up in self.loaded.plan.ups(stage, item, row) {
            let (id, _) = self.loaded.identity(up.stage, up.parent).await?;
            let standing = self.standing(up.stage, up.parent).await?;
            let name = &self.state.stages[up.stage].name;
            let id = untrusted::name(&id);
            writeln!(io::stdout(), "  parent     {name} {id}: {standing}")?;
        }
        Ok(())
    }
}

/// The size of an object, in a few words.
async fn size_of(storage: &Storage, key: &str) -> String {
    match storage.size(key).await {
        Ok(bytes) => size(bytes as f64),
        Err(storage::Error::NotFound { .. }) => "missing".to_owned(),
        Err(error) => untrusted::message(error).to_string(),
    }
}
