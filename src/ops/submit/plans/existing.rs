//! Plans for whose names there are batches already.

use std::io::{self, Write as _};

use serde_json::json;

use super::super::super::batch;
use super::super::super::desk::{Consent, Refused, consent, counted, print_json};
use super::Submission;
use crate::batch::Standing;
use crate::queue::control::BatchState;
use crate::submission::{Prepared, differences};
use crate::untrusted;

impl Submission<'_> {
    /// Forgets a batch that runs another plan if it is to be replaced, and gives whether it did.
    pub(super) async fn replace(
        &self,
        prepared: &Prepared,
        state: &BatchState,
    ) -> anyhow::Result<bool> {
        if !self.arguments.replace {
            return Ok(false);
        }
        let found = differences(&self.desk.admin, prepared).await?;
        if !found.iter().any(|found| found.hard) {
            return Ok(false);
        }
        let name = prepared.plan.name();
        let done = counted(state.sum(|stage| stage.done), "item");
        let question = format!("Forget the batch {name}, {done} done?");
        let asked = Consent {
            dry_run: false,
            yes: self.arguments.yes,
        };
        if !consent(&asked, &question)? {
            return Ok(false);
        }
        batch::forget(self.desk, name, state).await?;
        Ok(true)
    }

    /// Shows the batch of this name if it runs this plan, and changes it if it is to be changed.
    pub(super) async fn meet(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let name = prepared.plan.name();
        let found = differences(&self.desk.admin, prepared).await?;
        if found.is_empty() {
            return self.show_batch(name).await;
        }
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        let lines = lines.join("; ");
        if found.iter().any(|found| found.hard) {
            let text = format!(
                "batch {name} runs another plan ({lines}): give this one another name, or --replace that batch"
            );
            return Err(Refused(text).into());
        }
        if !self.arguments.update {
            let text =
                format!("batch {name} runs with other limits ({lines}): --update changes them");
            return Err(Refused(text).into());
        }
        self.update(prepared, &lines).await
    }

    async fn show_batch(&self, name: &str) -> anyhow::Result<()> {
        match self.options.json {
            true => Ok(print_json(
                &Standing::of(&self.desk.admin, name).await?.to_json(name),
            )?),
            false => batch::show(self.desk, name).await,
        }
    }

    async fn update(&self, prepared: &Prepared, lines: &str) -> anyhow::Result<()> {
        batch::update(self.desk, self.storage, &prepared.plan, lines).await?;
        let name = prepared.plan.name();
        if self.options.json {
            let event = json!({ "event": "changed", "batch": name, "what": lines });
            return Ok(print_json(&event)?);
        }
        let lines = untrusted::message(lines);
        writeln!(io::stdout(), "batch {name}: changed {lines}")?;
        Ok(())
    }
}
