//! What programs and people are told of batches, beside tables: the objects of `--json` and of the API, and a few words.

use serde_json::{Value, json};

use super::comparison::{Compared, Comparison, Found};
use super::repair::Todo;
use super::standing::Standing;
use crate::figures::grouped;
use crate::queue::control::Remark;

impl Standing {
    /// How the batch of this name fares.
    pub(crate) fn to_json(&self, name: &str) -> Value {
        let stages: Vec<_> = (0..self.state.stages.len())
            .map(|number| self.stage_to_json(number))
            .collect();
        let causes = self.causes.iter();
        let causes: Vec<_> = causes
            .map(|(why, count)| json!({ "why": why, "count": count }))
            .collect();
        json!({
            "batch": name,
            "state": self.state.state,
            "created": self.state.created,
            "ended": self.state.ended,
            "digest": self.state.digest,
            "stages": stages,
            "causes": causes,
            "redis_memory_percent": self.memory,
            "consumers": !self.is_alone,
        })
    }

    fn stage_to_json(&self, number: usize) -> Value {
        let stage = &self.state.stages[number];
        json!({
            "name": stage.name,
            "queue": stage.queue,
            "total": stage.is_read.then_some(stage.total),
            "new": self.untouched(number),
            "ready": stage.ready,
            "out": stage.out,
            "done": stage.done,
            "failed": stage.failed,
            "blocked": self.blocked[number],
            "vanished": stage.vanished,
            "held": stage.held,
            "started": stage.is_started,
            "rate_5m": self.rates[number],
            "eta_s": self.left(number).map(|left| left.as_secs_f64()),
            "began": stage.began,
            "ended": stage.ended,
        })
    }
}

impl Comparison {
    /// What was found of each stage, and what is to be done.
    pub(crate) fn to_json(&self, todo: &Todo) -> Vec<Value> {
        let stages = self.stages.iter().enumerate();
        let told = stages.map(|(number, stage)| {
            json!({
                "stage": stage.name,
                "compared": stage.is_compared,
                "items": stage.total,
                "present": stage.count(Found::Present),
                "missing": stage.count(Found::Missing),
                "partial": stage.count(Found::Partial),
                "out": stage.out,
                "failed": stage.failed,
                "orphans": stage.orphans,
                "orphan_keys": stage.orphan_keys,
                "again": todo.count(number, Remark::Again),
                "follow": todo.count(number, Remark::Clear),
                "adopt": todo.count(number, Remark::Adopt),
                "wrong_counters": todo.counters().contains(&number),
            })
        });
        told.collect()
    }

    /// What is to be done, in a few words; none if nothing is.
    pub(crate) fn describe(&self, todo: &Todo) -> String {
        let ways = [
            ("to be worked again", Remark::Again),
            ("to follow by themselves", Remark::Clear),
            ("to be counted as done", Remark::Adopt),
        ];
        let parts = ways.iter().filter_map(|(what, remark)| {
            let counts = self.each_stage(|number, _| todo.count(number, *remark) as u64)?;
            Some(format!("{what}: {counts}"))
        });
        let wrong = todo.counters().iter();
        let wrong: Vec<_> = wrong
            .map(|number| self.stages[*number].name.as_str())
            .collect();
        let wrong =
            (!wrong.is_empty()).then(|| format!("to be counted anew: {}", wrong.join(", ")));
        parts.chain(wrong).collect::<Vec<_>>().join("; ")
    }

    /// A number of each stage where it is not 0, with the stage's name; nothing if there is none.
    pub(crate) fn each_stage(&self, count: impl Fn(usize, &Compared) -> u64) -> Option<String> {
        let stages = self.stages.iter().enumerate();
        let counts = stages.map(|(number, stage)| (stage, count(number, stage)));
        let counts = counts.filter(|(_, count)| *count > 0);
        let each: Vec<_> = counts
            .map(|(stage, count)| format!("{} {}", stage.name, grouped(count)))
            .collect();
        (!each.is_empty()).then(|| each.join(", "))
    }
}
