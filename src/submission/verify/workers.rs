//! Whether somebody works the queue of a stage, and takes what it is given.

use std::collections::BTreeSet;

use super::fault::{Fault, Kind};
use super::subjects::Input;
use crate::consumers;
use crate::queue::Admin;

/// Those who work a queue.
pub(super) struct Crew {
    pub(super) live: usize,
    /// Nothing where one of them does not say.
    types: Option<BTreeSet<String>>,
    obstacle: Option<String>,
}

impl Crew {
    /// Those who have been heard of of late.
    pub(super) async fn of(admin: &Admin, queue: &str) -> anyhow::Result<Self> {
        let mut live = admin.workers(queue).await?;
        live.retain(|worker| !worker.is_silent());
        let obstacles = live.iter().map(|worker| worker.obstacle());
        let obstacles: Option<Vec<_>> = obstacles.collect();
        let types = live.iter().map(|worker| worker.card.get("type").cloned());
        Ok(Self {
            live: live.len(),
            types: types.collect(),
            obstacle: obstacles.and_then(|all| Some((*all.first()?).to_owned())),
        })
    }

    /// What is wrong with them, whatever the items are.
    pub(super) fn fault(&self, queue: &str) -> Option<Fault> {
        let why = match &self.obstacle {
            _ if self.live == 0 => "no consumer serves this queue".to_owned(),
            Some(why) => format!("no consumer can work: {why}"),
            None => return None,
        };
        Some(Fault::new(Kind::Workers, queue, why))
    }

    /// Why none of them takes an input.
    pub(super) fn refusal(&self, input: &Input) -> Option<Fault> {
        let types = self.types.as_ref().filter(|types| !types.is_empty())?;
        let takes = |kind: &String| consumers::takes(kind, &input.reference);
        if types.iter().any(takes) {
            return None;
        }
        let types: Vec<_> = types.iter().map(String::as_str).collect();
        let why = format!("consumers of type {} do not take it", types.join(", "));
        Some(Fault::new(Kind::Workers, &input.reference, why))
    }
}
