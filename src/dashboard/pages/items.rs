//! Items of a batch: those that wait for failed ones, and what the others say of themselves.

use std::collections::BTreeSet;

use tracing::warn;

use super::super::jobs_table::value;
use super::super::shown::{Link, name};
use super::super::visit::Visit;
use crate::batch::{BlockedItem, blocked_items, done_items};
use crate::figures::grouped;
use crate::queue::control::BatchState;
use crate::wire::{RawFields, is_of_result};

/// Items that are listed, of those that wait and of those that are done; and columns of the latter.
const BLOCKED: usize = 20;
const DONE: usize = 50;
const COLUMNS: usize = 12;

/// An item that waits for some that have failed.
pub(super) struct Blocked {
    pub(super) stage: String,
    pub(super) id: String,
    pub(super) children: Vec<Link>,
    /// That there are more.
    pub(super) more: String,
}

/// What items say of themselves.
pub(super) struct Own {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<OwnRow>,
}

pub(super) struct OwnRow {
    pub(super) job: Link,
    /// Values by the names of their columns.
    pub(super) values: Vec<(String, String)>,
}

/// Items that wait for failed ones.
pub(super) async fn blocked(visit: &Visit, batch: &str, state: &BatchState) -> Vec<Blocked> {
    if state.stages.iter().all(|stage| stage.failed == 0) {
        return Vec::new();
    }
    let site = &visit.site;
    let look = blocked_items((&site.admin, site.storage.clone()), (batch, state), BLOCKED);
    let found = look.await.unwrap_or_else(|error| {
        warn!(error = %format!("{error:#}"), "items that wait for failed ones are not shown");
        Vec::new()
    });
    found.iter().map(|item| shown(item, state)).collect()
}

fn shown(item: &BlockedItem, state: &BatchState) -> Blocked {
    let stage = |number: usize| name(state.stages[number].name.as_bytes());
    let children = item.children.iter().map(|child| Link {
        name: format!("{} {}", stage(child.stage), name(child.id.as_bytes())),
        ..Link::to_job(&child.key)
    });
    let more = item.count - item.children.len();
    Blocked {
        stage: stage(item.stage),
        id: name(item.id.as_bytes()),
        children: children.collect(),
        more: match more {
            0 => String::new(),
            more => format!("and {} more", grouped(more as u64)),
        },
    }
}

/// What the first items that are done say of themselves; nothing if none says anything.
pub(super) async fn own(visit: &Visit, batch: &str, state: &BatchState) -> Option<Own> {
    let site = &visit.site;
    let look = done_items((&site.admin, site.storage.clone()), (batch, state), DONE);
    let found = look.await.ok()?;
    let keys: Vec<_> = found.iter().map(|item| item.key.clone()).collect();
    let fields = site.admin.jobs(&keys).await.ok()?;
    let names = fields.iter().flat_map(RawFields::keys);
    let names = names.filter_map(|name| std::str::from_utf8(name).ok());
    let names: BTreeSet<_> = names.filter(|name| is_of_result(name)).collect();
    if names.is_empty() {
        return None;
    }
    let columns: Vec<_> = names.into_iter().take(COLUMNS).collect();
    let all = found.iter().zip(&fields);
    let said =
        all.filter(|(_, fields)| columns.iter().any(|it| fields.contains_key(it.as_bytes())));
    let rows = said.map(|(item, fields)| OwnRow {
        job: Link {
            name: name(item.id.as_bytes()),
            ..Link::to_job(&item.key)
        },
        values: columns
            .iter()
            .map(|column| (title(column), name(value(fields, column))))
            .collect(),
    });
    Some(Own {
        rows: rows.collect(),
        columns: columns.iter().map(|column| title(column)).collect(),
    })
}

/// A name without what all of them begin with.
fn title(column: &str) -> String {
    name(column.trim_start_matches("x_").as_bytes())
}
