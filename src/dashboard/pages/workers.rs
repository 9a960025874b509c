//! The consumers, and what they work at.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::pieces::workers::WorkersPieces;
use super::super::visit::Visit;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    layout: Layout,
    pieces: WorkersPieces,
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
    let layout = visit.layout("Workers", "/workers");
    Ok(WorkersPage {
        pieces: WorkersPieces::of(&layout.ground(), &all),
        layout: layout.watching(&[Topic::Workers]),
    })
}
