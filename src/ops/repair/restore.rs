//! Batches of which Redis knows nothing any more: they are made anew from their plans, and what lies in the bucket counts as done.

use std::io::{self, Write as _};
use std::sync::Arc;

use batch_plan::Lists;

use super::super::desk::{Desk, Refused, feed_first};
use super::report;
use crate::batch::{Comparison, Found, Loaded, Repair, Scope, Todo, keep_plan, new_batch};
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::batch;

/// A batch that is to be restored.
pub(in super::super) struct Restoration<'a> {
    pub(in super::super) desk: &'a Desk,
    pub(in super::super) storage: &'a Storage,
    pub(in super::super) loaded: Loaded,
    /// Lists that are not in the bucket.
    pub(in super::super) lists: Option<&'a Lists>,
    /// Whether it waits for `batch resume` afterwards.
    pub(in super::super) is_paused: bool,
    pub(in super::super) with_orphans: bool,
    /// What would have it made.
    pub(in super::super) how: &'static str,
    pub(in super::super) json: bool,
}

impl Restoration<'_> {
    /// Compares the plan with the bucket, and makes the batch if it is told to. Gives whether something is left to be done.
    pub(in super::super) async fn run(&mut self, is_applied: bool) -> anyhow::Result<bool> {
        let scope = Scope {
            stage: None,
            with_orphans: self.with_orphans,
            names_new: true,
        };
        let admin = &self.desk.admin;
        let comparison = Comparison::of(admin, self.storage, &mut self.loaded, scope).await?;
        let todo = comparison.todo(Repair {
            adopts: true,
            with_failed: false,
            most_again: 0,
        });
        match self.json {
            true => report::print(&comparison, &todo)?,
            false => report::show(&comparison)?,
        }
        let name = untrusted::name(self.loaded.plan.name()).to_string();
        let what = describe(&comparison);
        if !is_applied {
            self.say(&format!(
                "there is no batch {name}: it would be made, {what}. Nothing was changed; {} does it",
                self.how
            ))?;
            return Ok(true);
        }
        self.make(&todo, &what).await?;
        self.say(&format!("batch {name} is made, {what}"))?;
        self.let_go(&comparison).await?;
        Ok(false)
    }

    /// Writes the batch, paused, and marks what is done.
    async fn make(&mut self, todo: &Todo, what: &str) -> anyhow::Result<()> {
        let (plan, admin) = (Arc::clone(&self.loaded.plan), &self.desk.admin);
        if let Some(lists) = self.lists {
            keep_plan(self.storage, &plan, lists).await?;
        }
        let new = new_batch(&plan, &self.desk.who, true)?;
        if admin.create_batch(&new).await?.is_some() {
            let name = plan.name();
            let text = format!("somebody else has made the batch {name} meanwhile");
            return Err(Refused(text).into());
        }
        todo.apply(admin, &mut self.loaded).await?;
        let record = self.desk.record("batch restore", plan.name(), what);
        record.await
    }

    /// Lets the batch go on, unless items would be worked again that are done, as far as anybody knows.
    async fn let_go(&self, comparison: &Comparison) -> anyhow::Result<()> {
        let name = self.loaded.plan.name();
        let silent = comparison.stages.iter().filter(|it| !it.is_compared);
        let silent: Vec<_> = silent.map(|stage| stage.name.as_str()).collect();
        if !silent.is_empty() {
            return self.say(&format!(
                "it is paused, for nothing tells which items of {} are done (`expect`): `redis-consumer batch resume {name}` works all of them again",
                silent.join(", ")
            ));
        }
        if self.is_paused {
            return self.say(&format!(
                "it is paused; `redis-consumer batch resume {name}` lets it go on"
            ));
        }
        let admin = &self.desk.admin;
        admin.set_batch_state(name, batch::RUNNING).await?;
        feed_first(self.desk, Some(self.storage.clone()), name).await
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        if !self.json {
            writeln!(io::stdout(), "{text}")?;
        }
        Ok(())
    }
}

/// How many items count as done, and how many are worked.
fn describe(comparison: &Comparison) -> String {
    let done = comparison.each_stage(|_, stage| stage.count(Found::Present));
    let left = comparison.each_stage(|_, stage| stage.total - stage.count(Found::Present));
    let [done, left] = [done, left].map(|counts| counts.unwrap_or_else(|| "none".to_owned()));
    format!("done: {done}; to be worked: {left}")
}
