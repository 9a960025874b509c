//! One item of a batch.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;

use super::super::desk::{Desk, DeskArguments, Misuse, known, stage_of, text_of};
use crate::batch::{Feeder, Loaded};
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::{JobKey, batch, field};

/// Items that are compared with the identity that is looked for, in stages whose numbers do not follow from it.
const LOOKED: u64 = 100_000;
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

/// Where an item is, and what is known of it.
struct Found<'a> {
    desk: &'a Desk,
    name: &'a str,
    state: &'a BatchState,
    storage: Option<Storage>,
}

/// Shows an item.
pub(super) async fn show(arguments: &ItemArguments) -> anyhow::Result<()> {
    let name = &arguments.batch;
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let state = known(&desk, name).await?;
    let stage = stage_of(&state, &arguments.stage)?;
    let mut feeder = Feeder::new(desk.admin.clone(), storage.clone());
    feeder.load(name, &state).await?;
    let loaded = feeder.loaded(name).context("the plan is not there")?;
    let found = Found {
        desk: &desk,
        name,
        state: &state,
        storage,
    };
    let item = found.number_of(loaded, stage, &arguments.item).await?;
    found.show(loaded, stage, item).await
}

impl Found<'_> {
    /// The number of an item.
    async fn number_of(
        &self,
        loaded: &mut Loaded,
        stage: usize,
        text: &str,
    ) -> anyhow::Result<u64> {
        let total = self.state.stages[stage].total;
        let missing = || Misuse(format!("there is no item {}", untrusted::name(text)));
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().ok().filter(|number| *number < total);
            return Ok(number.ok_or_else(missing)?);
        }
        // Of a grid, coordinates are the usual identity.
        if let Some(grid) = loaded.plan.grid(stage) {
            let point: Option<Vec<u64>> = text.split('_').map(|part| part.parse().ok()).collect();
            if let Some(number) = point.and_then(|point| grid.number(&point)) {
                let (id, _) = loaded
                    .identity(self.storage.as_ref(), stage, number)
                    .await?;
                if id == text {
                    return Ok(number);
                }
            }
        }
        for number in 0..total.min(LOOKED) {
            let (id, _) = loaded
                .identity(self.storage.as_ref(), stage, number)
                .await?;
            if id == text {
                return Ok(number);
            }
        }
        Err(missing().into())
    }

    /// A word for where an item stands.
    async fn standing(&self, stage: usize, item: u64) -> anyhow::Result<&'static str> {
        let marks = self.desk.admin.marks(self.name, stage, item).await?;
        Ok(marks.first().copied().unwrap_or("new"))
    }

    async fn show(&self, loaded: &mut Loaded, stage: usize, item: u64) -> anyhow::Result<()> {
        let storage = self.storage.as_ref();
        let mut out = io::stdout();
        let (id, key) = loaded.identity(storage, stage, item).await?;
        let row = loaded.row(storage, stage, item).await?;
        let standing = self.standing(stage, item).await?;
        let of = &self.state.stages[stage];
        let shown = untrusted::name(&id);
        writeln!(out, "{} {shown} (item {item})   {standing}", of.name)?;
        writeln!(out, "  job        {}", untrusted::name(&key))?;
        let fields = self.desk.admin.job(&JobKey(key.into_bytes())).await?;
        if fields.is_empty() {
            writeln!(out, "             it has no hash")?;
        } else {
            let status = text_of(&fields, field::STATUS);
            let reason = text_of(&fields, field::REASON);
            let last = reason.lines().last().unwrap_or_default();
            let line = format!("{} {}", untrusted::name(status), untrusted::message(last));
            writeln!(out, "             {}", line.trim_end())?;
        }
        let plan = std::sync::Arc::clone(&loaded.plan);
        let mut failed = Vec::new();
        for (below, children) in plan.children(stage, item, row.as_ref()) {
            let mut counts = std::collections::BTreeMap::<_, usize>::new();
            for child in &children {
                let standing = self.standing(below, *child).await?;
                *counts.entry(standing).or_default() += 1;
                if standing == batch::FAILED && failed.len() < NAMED {
                    let (id, _) = loaded.identity(storage, below, *child).await?;
                    failed.push((below, id));
                }
            }
            let counts: Vec<_> = counts
                .iter()
                .map(|(standing, count)| format!("{count} {standing}"))
                .collect();
            let name = &self.state.stages[below].name;
            writeln!(
                out,
                "  children   {} of {name}: {}",
                children.len(),
                counts.join(", ")
            )?;
        }
        for (below, id) in &failed {
            let name = &self.state.stages[*below].name;
            writeln!(
                out,
                "             {name} {} has failed",
                untrusted::name(id)
            )?;
        }
        if let Some(bits) = plan.counter_bits(stage).filter(|_| plan.is_gathered(stage)) {
            let seen = self.desk.admin.children_seen(self.name, stage, item, bits);
            writeln!(out, "  counted    {} children", seen.await?)?;
        }
        for up in plan.ups(stage, item, row.as_ref()) {
            let (id, _) = loaded.identity(storage, up.stage, up.parent).await?;
            let standing = self.standing(up.stage, up.parent).await?;
            let name = &self.state.stages[up.stage].name;
            writeln!(
                out,
                "  parent     {name} {}: {standing}",
                untrusted::name(&id)
            )?;
        }
        Ok(())
    }
}
