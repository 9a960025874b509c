//! Limits, timeouts and the like of a batch that runs, changed; for commands and pages alike.

use batch_plan::Resolved;

use super::archive::keep_changed_plan;
use super::creation::new_batch;
use super::operator::Operator;
use crate::refusal::Misuse;

impl Operator<'_> {
    /// The plan of a batch with other limits of a stage, and what differs then, in words.
    pub(crate) async fn with_limits(
        &self,
        name: &str,
        stage: &str,
        changes: &[(String, String)],
    ) -> anyhow::Result<(Resolved, String)> {
        let stored = self.admin.batch_plan(name).await?;
        let mut plan = Resolved::from_json(&stored.unwrap_or_default())?;
        let mut found = Vec::new();
        for (path, value) in changes {
            let changed = plan.change(stage, path, value);
            found.extend(changed.map_err(|error| Misuse(error.to_string()))?);
        }
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        Ok((plan, lines.join("; ")))
    }

    /// Writes a plan of a batch that runs anew; what differs is recorded. Gives why the change is not kept in the bucket, from which
    /// batches are restored, if it is not.
    pub(crate) async fn update(
        &self,
        plan: &Resolved,
        what: &str,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let stored = self.admin.batch_plan(plan.name()).await?;
        let mut plan = plan.clone();
        plan.keep_late(&Resolved::from_json(&stored.unwrap_or_default())?);
        let batch = new_batch(&plan, self.who, false)?;
        self.admin.update_batch(&batch).await?;
        self.record("batch set", plan.name(), what).await?;
        match &self.storage {
            Some(storage) => Ok(keep_changed_plan(storage, &plan).await.err()),
            None => Ok(None),
        }
    }
}
