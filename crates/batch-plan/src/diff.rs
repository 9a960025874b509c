//! How two plans differ.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::digest::is_hard;
use crate::problem::PlanError;
use crate::resolved::Resolved;
use crate::value::canonical;

/// One difference between two plans.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What differs, such as `stages.l2.fields.graph`.
    pub path: String,
    /// What it was; nothing if it was not there.
    pub old: Option<Value>,
    /// What it is; nothing if it is not there.
    pub new: Option<Value>,
    /// Whether it may not change while the batch runs.
    pub hard: bool,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "–".to_owned(),
            Some(value) => short(&canonical(value)),
        };
        write!(
            f,
            "{}: {} → {}",
            self.path,
            text(&self.old),
            text(&self.new)
        )
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(120) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// All differences, in the order of their paths; stages are compared by their names.
///
/// # Errors
///
/// As [`Resolved::to_json`], but for the size.
pub fn diff(old: &Resolved, new: &Resolved) -> Result<Vec<Difference>, PlanError> {
    let mut found = Vec::new();
    walk(
        &mut Vec::new(),
        Some(&by_name(without_late_lists(old)?)),
        Some(&by_name(without_late_lists(new)?)),
        &mut found,
    );
    let order = |plan: &Resolved| -> Vec<Value> {
        let names = plan.stages().iter().map(|stage| stage.name.clone().into());
        names.collect()
    };
    let (before, after) = (order(old), order(new));
    // Numbers of stages are in the jobs that are under way.
    let mut common = before.iter().zip(&after);
    if found
        .iter()
        .all(|difference| difference.path.split('.').count() != 2)
        && common.any(|(a, b)| a != b)
    {
        found.push(Difference {
            path: "stages".to_owned(),
            old: Some(before.into()),
            new: Some(after.into()),
            hard: true,
        });
    }
    Ok(found)
}

/// A plan without what was read after it had begun.
fn without_late_lists(plan: &Resolved) -> Result<Value, PlanError> {
    let mut value = plan.to_value()?;
    let stages = value["stages"].as_array_mut().into_iter().flatten();
    for (number, stage) in stages.enumerate() {
        if plan.is_late(number)
            && let Some(members) = stage.as_object_mut()
        {
            members.remove("listed");
        }
    }
    Ok(value)
}

/// Turns the list of stages into a map.
fn by_name(mut plan: Value) -> Value {
    if let Some(Value::Array(stages)) = plan.get_mut("stages").map(Value::take) {
        let named = stages.into_iter().map(|mut stage| {
            let name = stage.as_object_mut().and_then(|stage| stage.remove("name"));
            let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
            (name.to_owned(), stage)
        });
        plan["stages"] = Value::Object(named.collect());
    }
    plan
}

fn walk<'a>(
    path: &mut Vec<&'a str>,
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    found: &mut Vec<Difference>,
) {
    if old == new {
        return;
    }
    let members = |value: Option<&'a Value>| value.and_then(Value::as_object);
    // What is missing on one side is told member by member, but for a whole stage.
    if (members(old).is_some() || members(new).is_some())
        && old.is_none_or(Value::is_object)
        && new.is_none_or(Value::is_object)
        && !(path.len() == 2 && (old.is_none() || new.is_none()))
    {
        let mut names: Vec<&'a str> = [members(old), members(new)]
            .into_iter()
            .flatten()
            .flat_map(|members| members.keys().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            path.push(name);
            let old = members(old).and_then(|members| members.get(name));
            let new = members(new).and_then(|members| members.get(name));
            walk(path, old, new, found);
            path.pop();
        }
        return;
    }
    found.push(Difference {
        path: path.join("."),
        old: old.cloned(),
        new: new.cloned(),
        hard: is_hard(path),
    });
}
