//! All batches, the latest first.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::{Link, When, name};
use super::super::visit::Visit;
use super::window::{ROWS, Window};
use crate::figures::grouped;
use crate::queue::control::BatchState;

#[derive(Template)]
#[template(path = "batches.html")]
struct BatchesPage {
    layout: Layout,
    rows: Vec<Row>,
    window: Window,
}

struct Row {
    batch: Link,
    state: String,
    /// Stages that are held.
    held: usize,
    stages: usize,
    items: String,
    done: String,
    failed: String,
    percent: u64,
    by: String,
    created: When,
}

/// `GET /batches`
pub(in super::super) async fn batches(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<BatchesPage, Fault> {
    let from = visit.form.number("from");
    let admin = &visit.site.admin;
    let (total, found) =
        futures::try_join!(admin.count_batches(), admin.some_batches((from, ROWS)))?;
    Ok(BatchesPage {
        layout: visit.layout("Batches", "/batches"),
        window: Window::new("/batches?", (from, found.len()), total),
        rows: found.iter().map(row).collect(),
    })
}

fn row((batch, state): &(String, BatchState)) -> Row {
    let (items, done) = (state.sum(|it| it.total), state.sum(|it| it.done));
    Row {
        batch: Link::to_batch(batch),
        state: name(state.state.as_bytes()),
        held: state.stages.iter().filter(|it| it.held.is_some()).count(),
        stages: state.stages.len(),
        items: grouped(items),
        done: grouped(done),
        failed: grouped(state.sum(|it| it.failed)),
        percent: done * 100 / items.max(1),
        by: name(state.created_by.as_bytes()),
        created: When::at(state.created * 1000),
    }
}
