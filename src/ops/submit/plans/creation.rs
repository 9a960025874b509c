//! Batches of plans, written to Redis, and their plans to the bucket.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::super::super::desk::{Desk, counted, feed_first, print_json};
use super::Submission;
use crate::batch::keep_plan;
use crate::submission::{Prepared, create};
use crate::untrusted;

/// How long a bucket is waited for that a plan can do without.
const KEEPING: Duration = Duration::from_secs(10);

impl Submission<'_> {
    /// Writes the batch, and feeds what there is room for.
    pub(super) async fn create(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        self.keep(prepared).await?;
        let by = (self.desk.who.as_str(), self.arguments.paused);
        let Some((items, stages)) = create(admin, prepared, by).await? else {
            return self.meet(prepared).await;
        };
        feed_first(self.desk, self.storage.cloned(), name).await?;
        if self.options.json {
            let event = json!({ "event": "submitted", "batch": name, "items": items });
            return Ok(print_json(&event)?);
        }
        let (text, stages) = (counted(items, "item"), counted(stages, "stage"));
        writeln!(
            io::stdout(),
            "batch {name}: {text} in {stages}; redis-consumer status --batch {name} shows how it fares"
        )?;
        warn_of_absent(self.desk, prepared).await
    }

    /// Stores the plan and its lists. A plan without lists runs without a bucket, and only cannot be restored from there.
    async fn keep(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let Some(storage) = self.storage else {
            return Ok(());
        };
        let keep = keep_plan(storage, &prepared.plan, &prepared.lists);
        if prepared.plan.needs_bucket() {
            return keep.await;
        }
        let kept = timeout(KEEPING, keep).await;
        if let Err(error) = kept.unwrap_or_else(|late| Err(late.into())) {
            let text = format!(
                "the plan is not kept in the bucket, from which `batch restore` would take it: {error:#}"
            );
            writeln!(io::stderr(), "{}", untrusted::message(text))?;
        }
        Ok(())
    }
}

/// Says for which queues there is no consumer.
async fn warn_of_absent(desk: &Desk, prepared: &Prepared) -> anyhow::Result<()> {
    let stages = prepared.plan.stages().iter();
    let queues: BTreeSet<_> = stages.map(|stage| &stage.queue).collect();
    for queue in queues {
        if desk.admin.workers(queue).await?.is_empty() {
            writeln!(io::stderr(), "no consumer serves the queue {queue} yet")?;
        }
    }
    Ok(())
}
