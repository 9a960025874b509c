//! Parts of lists, and how long it may take to find them.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::super::super::form::Form;
use super::super::answer::Refusal;
use crate::selection::Selector;

/// Members of an answer, unless it is said how many.
const USUAL: usize = 100;

/// The most that an answer has, and how far a list is looked through.
const MOST: usize = 1000;
const FARTHEST: usize = 10_000;

/// How long Redis is looked through for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many after so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: usize,
    pub(super) limit: usize,
}

impl Window {
    /// What `from` and `limit` of an address say.
    pub(super) fn of(form: &Form) -> Result<Self, Refusal> {
        let window = Self {
            from: number(form, "from")?.unwrap_or(0),
            limit: number(form, "limit")?.unwrap_or(USUAL),
        };
        if window.limit == 0 || window.limit > MOST {
            let text = format!("`limit` has to be between 1 and {MOST}");
            return Err(Refusal::mistake(text));
        }
        match window.from > FARTHEST {
            true => Err(Refusal::mistake(format!(
                "`from` has to be {FARTHEST} or less: choose jobs by queue, batch, cause or time"
            ))),
            false => Ok(window),
        }
    }

    /// How many are to be found, one more than are told, which says whether there are more.
    pub(super) fn wanted(self) -> usize {
        self.from + self.limit + 1
    }

    /// What is told of what was found, and from where the next part begins, if there is one.
    pub(super) fn part<T>(self, found: Vec<T>) -> (Vec<T>, Option<usize>) {
        let end = self.from + self.limit;
        let next = (found.len() > end).then_some(end);
        let part = found.into_iter().skip(self.from).take(self.limit);
        (part.collect(), next)
    }
}

fn number(form: &Form, name: &str) -> Result<Option<usize>, Refusal> {
    let number = form.given(name).map(str::parse).transpose();
    number.map_err(|_| Refusal::mistake(format!("`{name}` has to be a number, 0 or more")))
}

/// The selector of an address, without these names beside it.
pub(super) fn selector(form: &Form, beside: &[&str]) -> Result<Selector, Refusal> {
    let mut object = Map::new();
    let others = [beside, &["from", "limit"]].concat();
    for (name, value) in form.without(&others) {
        add(&mut object, name, value)?;
    }
    Ok(Selector::from_json(object)?)
}

fn add(object: &mut Map<String, Value>, name: &str, value: &str) -> Result<(), Refusal> {
    match name {
        "queue" | "jobs" => {
            let all = object
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.push(value.into());
            }
        }
        "field" => {
            let pair = value.split_once('=');
            let text = "`field` has to be NAME=REGEX";
            let (field, regex) = pair.ok_or_else(|| Refusal::mistake(text))?;
            let all = object.entry(name).or_insert_with(|| Map::new().into());
            all[field] = regex.into();
        }
        "all_queues" => {
            object.insert(name.to_owned(), (value == "true").into());
        }
        _ => {
            object.insert(name.to_owned(), value.into());
        }
    }
    Ok(())
}

/// What is found in time.
pub(super) async fn in_time<T, E>(look: impl Future<Output = Result<T, E>>) -> Result<T, Refusal>
where
    Refusal: From<E>,
{
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(found) => Ok(found?),
        Err(_) => {
            let text = format!(
                "that is more than can be looked through in {} s: choose by queue, batch, cause or time, or use the command",
                PATIENCE.as_secs()
            );
            Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(query: &str) -> Option<Window> {
        Window::of(&Form::parse(query.as_bytes())).ok()
    }

    #[test]
    fn windows_are_within_bounds() {
        let (from, limit) = (0, USUAL);
        assert_eq!(window(""), Some(Window { from, limit }));
        let (from, limit) = (10_000, 1000);
        assert_eq!(
            window("from=10000&limit=1000"),
            Some(Window { from, limit })
        );
        for query in ["limit=0", "limit=1001", "from=10001", "from=-1", "limit=x"] {
            assert_eq!(window(query), None, "{query}");
        }
    }

    #[test]
    fn the_last_part_has_no_next_one() {
        let (from, limit) = (2, 2);
        let window = Window { from, limit };
        assert_eq!(window.part(vec![0, 1, 2, 3, 4]), (vec![2, 3], Some(4)));
        assert_eq!(window.part(vec![0, 1, 2, 3]), (vec![2, 3], None));
        assert_eq!(window.part(vec![0]), (vec![], None));
    }
}
