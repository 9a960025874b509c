//! Selectors as JSON objects.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::selector::Selector;
use crate::figures::Moment;
use crate::queue::JobKey;
use crate::refusal::Misuse;

/// The members of an object that say which jobs are meant: the options of commands by their names.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Members {
    jobs: Vec<Value>,
    queue: Several,
    all_queues: bool,
    batch: Option<String>,
    stage: Option<String>,
    class: Option<String>,
    why: Option<Cause>,
    reason: Option<String>,
    field: BTreeMap<String, String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
}

/// A text, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several {
    One(String),
    All(Vec<String>),
}

/// The number of a cause, or a part of its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Cause {
    Number(u64),
    Text(String),
}

impl Default for Several {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Selector {
    /// The names of the members that say which jobs are meant.
    pub(crate) const MEMBERS: [&'static str; 12] = [
        "jobs",
        "queue",
        "all_queues",
        "batch",
        "stage",
        "class",
        "why",
        "reason",
        "field",
        "since",
        "until",
        "limit",
    ];

    /// From an object that has no other members.
    pub(crate) fn from_json(object: Map<String, Value>) -> Result<Self, Misuse> {
        let members: Members = serde_json::from_value(object.into())
            .map_err(|error| Misuse(format!("this is no selector of jobs: {error}")))?;
        if members.stage.is_some() && members.batch.is_none() {
            let text = "`stage` is one of a batch: name it in `batch`";
            return Err(Misuse(text.to_owned()));
        }
        let regex = |name: &str, text: &str| {
            Regex::new(text).map_err(|error| Misuse(format!("`{name}`: {error}")))
        };
        let moment = |name: &str, text: Option<String>| {
            let parse = |text: String| text.parse::<Moment>();
            let moment = text.map(parse).transpose();
            moment.map_err(|error| Misuse(format!("`{name}`: {error}")))
        };
        let fields = members.field.into_iter();
        let fields = fields.map(|(name, text)| Ok((name.clone(), regex(&name, &text)?)));
        let reason = members.reason.as_deref();
        Ok(Self {
            jobs: keys(&members.jobs)?,
            queue: match members.queue {
                Several::One(queue) => vec![queue],
                Several::All(queues) => queues,
            },
            all_queues: members.all_queues,
            batch: members.batch,
            stage: members.stage,
            class: members.class,
            why: members.why.map(|why| match why {
                Cause::Number(number) => number.to_string(),
                Cause::Text(text) => text,
            }),
            reason: reason.map(|text| regex("reason", text)).transpose()?,
            field: fields.collect::<Result<_, Misuse>>()?,
            since: moment("since", members.since)?,
            until: moment("until", members.until)?,
            limit: members.limit,
            ..Self::default()
        })
    }
}

/// Keys of jobs: text, or `{"base64": …}`.
fn keys(values: &[Value]) -> Result<Vec<OsString>, Misuse> {
    let key = |value: &Value| {
        let key = JobKey::from_json(value).filter(|key| !key.0.is_empty() && key.0 != b"-");
        let key = key.map(|key| OsString::from_vec(key.0));
        key.ok_or_else(|| {
            let text = "`jobs` has something that is no key: a key is a text, or {\"base64\": …}";
            Misuse(text.to_owned())
        })
    };
    values.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Selector, String> {
        let Value::Object(object) = value else {
            panic!("an object");
        };
        Selector::from_json(object).map_err(|Misuse(text)| text)
    }

    #[test]
    fn members_are_the_options_of_commands() {
        let all = json!({
            "jobs": ["a", {"base64": "/wA="}], "queue": "q", "all_queues": true, "batch": "b", "stage": "s", "class": "c",
            "why": 2, "reason": "^a", "field": {"model": "x"}, "since": "2h", "until": "2026-01-01T00:00:00Z", "limit": 3,
        });
        let names: Vec<_> = all
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        let mut members = Selector::MEMBERS;
        members.sort_unstable();
        assert_eq!(names, members);
        let selector = read(all).expect("a selector");
        let keys = selector.keys().expect("keys");
        assert_eq!(keys, [JobKey(b"a".to_vec()), JobKey(vec![0xff, 0])]);
        assert_eq!(selector.why.as_deref(), Some("2"));
        assert_eq!(selector.queue, ["q"]);
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_reason() {
        for (value, part) in [
            (json!({"quue": "q"}), "unknown field `quue`"),
            (json!({"jobs": ["-"]}), "no key"),
            (json!({"jobs": [1]}), "no key"),
            (json!({"jobs": "a"}), "no selector"),
            (json!({"reason": "("}), "`reason`: "),
            (json!({"field": {"a": "("}}), "`a`: "),
            (json!({"since": "soon"}), "`since`: "),
            (json!({"stage": "s"}), "`batch`"),
            (json!({"limit": -1}), "no selector"),
        ] {
            let error = read(value.clone()).err().unwrap_or_default();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
