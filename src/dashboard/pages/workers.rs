//! The consumers, and what they work at.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::jobs_table::JobRow;
use super::super::layout::Layout;
use super::super::shown::{Link, When, message, name};
use super::super::visit::Visit;
use crate::figures::size;
use crate::queue::control::WorkerState;
use crate::wire::{millis, millis_since_1970};

/// Jobs of a worker that are named.
const NAMED: usize = 5;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    layout: Layout,
    live: Vec<WorkerRow>,
    silent: Vec<WorkerRow>,
    /// Versions that are at work, if there are several.
    versions: Vec<String>,
}

/// A consumer.
pub(super) struct WorkerRow {
    pub(super) queue: Link,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) version: String,
    /// When it was started.
    pub(super) up: Option<When>,
    pub(super) slots: String,
    pub(super) memory: String,
    pub(super) jobs: Vec<JobRow>,
    pub(super) more: usize,
    pub(super) obstacle: Option<String>,
    /// When it was heard of last.
    pub(super) heard: Option<When>,
}

impl WorkerRow {
    pub(super) fn of(worker: &WorkerState) -> Self {
        let dash = || "–".to_owned();
        let text = |field: &str| {
            let value = worker.card.get(field);
            value.map_or_else(dash, |value| name(value.as_bytes()))
        };
        let started = worker.card.get("started");
        let memory = worker.number("memory").map(|bytes| size(bytes as f64));
        let held = worker.held.len();
        Self {
            queue: Link::to_queue(&worker.queue),
            name: name(worker.name.as_bytes()),
            kind: text("type"),
            version: text("version"),
            up: started.and_then(|at| When::stamp(at.as_bytes())),
            slots: match worker.number("slots") {
                Some(slots) => format!("{held} of {slots}"),
                None => held.to_string(),
            },
            memory: match (memory, worker.number("budget")) {
                (Some(used), Some(most)) if most > 0 => format!("{used} of {}", size(most as f64)),
                (Some(used), _) => used,
                (None, _) => dash(),
            },
            jobs: worker
                .held
                .iter()
                .take(NAMED)
                .map(|job| JobRow::of(&job.key, &job.fields))
                .collect(),
            more: held.saturating_sub(NAMED),
            obstacle: worker.obstacle().map(message),
            heard: worker
                .silent
                .map(|since| When::at(millis_since_1970().saturating_sub(millis(since)))),
        }
    }
}

/// `GET /workers`
pub(in super::super) async fn workers(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<WorkersPage, Fault> {
    let admin = &visit.site.admin;
    let survey = admin.survey().await?;
    let queues: Vec<_> = survey.queues.into_iter().collect();
    let all = admin.fleet(&queues, survey.now).await?;
    let (silent, live): (Vec<_>, Vec<_>) = all.iter().partition(|worker| worker.is_silent());
    let mut versions: Vec<_> = live
        .iter()
        .filter_map(|worker| worker.card.get("version"))
        .map(|version| name(version.as_bytes()))
        .collect();
    versions.sort();
    versions.dedup();
    let rows = |of: Vec<&WorkerState>| of.into_iter().map(WorkerRow::of).collect();
    Ok(WorkersPage {
        layout: visit.layout("Workers", "/workers"),
        live: rows(live),
        silent: rows(silent),
        versions: if versions.len() > 1 {
            versions
        } else {
            Vec::new()
        },
    })
}
