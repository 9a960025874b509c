//! What is said of a batch when it is not followed any further.

use std::io::{self, Write as _};

use serde_json::json;

use super::super::super::desk::{Line, Screen, counted, extend, grouped, print_json};
use super::followed::{End, Followed};
use super::tally::Tally;
use crate::batch::{causes_of, obstacles};
use crate::untrusted;
use crate::wire::batch;

impl Followed<'_> {
    /// Says how it stands, and what lets it go on.
    pub(super) async fn report(
        &self,
        end: End,
        screen: Screen,
        line: Line,
        results: Option<&Tally>,
    ) -> anyhow::Result<()> {
        let advice = match end {
            End::StandsStill => self.advice(),
            _ => Vec::new(),
        };
        if screen == Screen::Json {
            let mut object = json!({
                "event": "ended", "state": self.state.state, "timed_out": end == End::Late,
                "stands_still": end == End::StandsStill, "advice": advice,
                "results": results.map(Tally::to_json),
            });
            extend(&mut object, line.json);
            return Ok(print_json(&object)?);
        }
        writeln!(io::stdout(), "{}", line.text)?;
        if let Some(results) = results {
            writeln!(io::stdout(), "{}", results.summary())?;
            if matches!(end, End::Late | End::Stopped) || results.failed() > 0 {
                writeln!(io::stderr(), "the same command fetches the other results")?;
            }
        }
        if !advice.is_empty() {
            writeln!(io::stderr(), "the batch stands still")?;
        }
        for advice in advice {
            writeln!(io::stderr(), "{advice}")?;
        }
        self.point_on(end).await
    }

    /// Names the commands that say more.
    async fn point_on(&self, end: End) -> anyhow::Result<()> {
        let (mut out, name) = (io::stderr(), untrusted::name(self.name));
        if matches!(end, End::Late | End::Stopped) && self.end().is_none() {
            let watch = format!("redis-consumer watch --batch {name}");
            writeln!(out, "the batch goes on; {watch}")?;
        }
        if self.counts.failed > 0 {
            let causes = causes_of(&self.desk.admin, self.name, &self.state).await?;
            let causes = counted(causes.len() as u64, "cause");
            let failed = grouped(self.counts.failed);
            let show = format!("redis-consumer failed --batch {name} --group");
            writeln!(out, "{failed} failed, {causes}; {show}")?;
        }
        Ok(())
    }

    /// What a person has to do for it to go on.
    fn advice(&self) -> Vec<String> {
        let name = untrusted::name(self.name);
        let resume = format!("redis-consumer batch resume {name}");
        match self.state.state.as_str() {
            batch::PAUSED => return vec![format!("{name} is paused; {resume} lets it go on")],
            batch::CANCELLED => return vec![format!("{name} is cancelled; {resume} revives it")],
            _ => {}
        }
        let mut all = obstacles(self.name, &self.state);
        if self.counts.failed > 0 {
            all.push(format!(
                "what is left waits for items that have failed; redis-consumer requeue --batch {name} has them worked again"
            ));
        }
        all
    }
}
