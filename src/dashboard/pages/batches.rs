//! All batches, the latest first.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::pieces::batches::BatchesPieces;
use super::super::visit::Visit;
use super::window::{ROWS, Window};

#[derive(Template)]
#[template(path = "batches.html")]
struct BatchesPage {
    layout: Layout,
    pieces: BatchesPieces,
    window: Window,
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
    let layout = visit.layout("Batches", "/batches");
    Ok(BatchesPage {
        window: Window::new("/batches?", (from, found.len()), total),
        pieces: BatchesPieces::of(&layout.ground(), &found, total),
        layout: layout.watching(&[Topic::Batches(from)]),
    })
}
