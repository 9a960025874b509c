//! How jobs and batches fare that a browser remembers.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::jobs_table::{Status, value};
use super::super::shown::{Link, decoded, name};
use super::super::visit::Visit;
use crate::figures::grouped;
use crate::queue::control::{BatchState, StageState};
use crate::queue::{JobKey, RawFields};
use crate::wire::field;

/// Jobs, and batches, that are looked at.
const MOST: usize = 25;

/// A part of a page.
#[derive(Template)]
#[template(path = "mine.html")]
struct Mine {
    base: String,
    rows: Vec<Row>,
}

struct Row {
    link: Link,
    what: &'static str,
    status: Status,
    note: String,
}

/// `GET /mine?job=…&batch=…`
pub(in super::super) async fn mine(visit: Visit) -> Response {
    let rows = rows(&visit).await;
    let base = visit.site.base.clone();
    visit.answer(rows.map(|rows| Mine { base, rows }))
}

async fn rows(visit: &Visit) -> Result<Vec<Row>, Fault> {
    let admin = &visit.site.admin;
    let keys: Vec<JobKey> = visit
        .form
        .all("job")
        .take(MOST)
        .filter_map(decoded)
        .collect();
    let names: Vec<&str> = visit.form.all("batch").take(MOST).collect();
    let states = futures::future::try_join_all(names.iter().map(|name| admin.batch(name)));
    let (fields, states) = futures::try_join!(admin.jobs(&keys), states)?;
    let batches = names.iter().zip(&states);
    let batches = batches.map(|(name, state)| batch_row(name, state.as_ref()));
    let jobs = keys.iter().zip(&fields);
    let jobs = jobs.map(|(key, fields)| job_row(key, fields));
    Ok(batches.chain(jobs).collect())
}

fn batch_row(batch: &str, state: Option<&BatchState>) -> Row {
    let (word, kind, note) = match state {
        None => ("deleted".to_owned(), "gone", String::new()),
        Some(state) => {
            let sum = |of: fn(&StageState) -> u64| grouped(state.sum(of));
            let note = format!(
                "{} of {} done, {} failed",
                sum(|it| it.done),
                sum(|it| it.total),
                sum(|it| it.failed)
            );
            let word = name(state.state.as_bytes());
            (word, kind_of(&state.state), note)
        }
    };
    Row {
        link: Link::to_batch(batch),
        what: "batch",
        status: Status { word, kind },
        note,
    }
}

fn job_row(key: &JobKey, fields: &RawFields) -> Row {
    Row {
        link: Link {
            name: match value(fields, field::ORIGINAL_NAME) {
                [] => key.to_string(),
                called => name(called),
            },
            ..Link::to_job(key)
        },
        what: "job",
        status: Status::of(fields),
        note: String::new(),
    }
}

/// How the state of a batch looks.
fn kind_of(state: &str) -> &'static str {
    match state {
        crate::wire::batch::FINISHED => "done",
        crate::wire::batch::RUNNING => "running",
        _ => "new",
    }
}
