//! The consumers, and what they work at.

use askama::Template;

use super::super::jobs_table::JobRow;
use super::super::shown::{Link, When, message, name, text_id};
use super::piece::{Ground, Shape, all_html, html};
use crate::figures::size;
use crate::queue::control::WorkerState;

/// Jobs of a worker that are named.
const NAMED: usize = 5;

/// The pieces of the page of workers.
pub(in super::super) struct WorkersPieces {
    pub(in super::super) live: Vec<WorkerRow>,
    pub(in super::super) silent: Vec<WorkerRow>,
    /// Versions that are at work, if there are several.
    pub(in super::super) versions: Vec<String>,
    pub(in super::super) shape: Shape,
}

/// A consumer.
#[derive(Template)]
#[template(path = "pieces/worker_row.html")]
pub(in super::super) struct WorkerRow {
    layout: Ground,
    id: String,
    queue: Link,
    name: String,
    kind: String,
    version: String,
    /// When it was started.
    up: Option<When>,
    slots: String,
    memory: String,
    jobs: Vec<JobRow>,
    more: usize,
    obstacle: Option<String>,
    /// When it was heard of last.
    heard: Option<When>,
}

impl WorkersPieces {
    pub(in super::super) fn of(ground: &Ground, all: &[WorkerState]) -> Self {
        let (silent, live): (Vec<_>, Vec<_>) = all.iter().partition(|worker| worker.is_silent());
        let mut versions: Vec<_> = live
            .iter()
            .filter_map(|worker| worker.card.get("version"))
            .map(|version| name(version.as_bytes()))
            .collect();
        versions.sort();
        versions.dedup();
        let rows = |of: &[&WorkerState]| of.iter().map(|it| WorkerRow::of(ground, it)).collect();
        Self {
            live: rows(&live),
            silent: rows(&silent),
            shape: Shape::of((shape_of(&live), shape_of(&silent), &versions)),
            versions: match versions.len() {
                0 | 1 => Vec::new(),
                _ => versions,
            },
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let rows = all_html(&self.live).chain(all_html(&self.silent));
        [html(&self.shape)].into_iter().chain(rows).collect()
    }
}

/// Which rows there are.
fn shape_of<'w>(workers: &[&'w WorkerState]) -> Vec<(&'w str, &'w str)> {
    let names = workers.iter();
    names
        .map(|it| (it.queue.as_str(), it.name.as_str()))
        .collect()
}

/// The rows of a queue's page, and their shape.
pub(super) fn rows_of(ground: &Ground, workers: &[WorkerState]) -> Vec<WorkerRow> {
    let rows = workers.iter();
    rows.map(|it| WorkerRow::of(ground, it)).collect()
}

impl WorkerRow {
    fn of(ground: &Ground, worker: &WorkerState) -> Self {
        let dash = || "–".to_owned();
        let text = |field: &str| {
            let value = worker.card.get(field);
            value.map_or_else(dash, |value| name(value.as_bytes()))
        };
        let started = worker.card.get("started");
        let memory = worker.number("memory").map(|bytes| size(bytes as f64));
        let held = worker.held.len();
        Self {
            layout: ground.clone(),
            id: text_id(&format!("{}/{}", worker.queue, worker.name)),
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
            heard: worker.beat.map(When::at),
        }
    }
}
