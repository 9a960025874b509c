//! How everything fares, at a glance.

use askama::Template;
use axum::response::Response;

use super::super::assets;
use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::pieces::overview::{BATCHES, OverviewPieces};
use super::super::visit::Visit;
use super::drop_zone::DropZone;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    drop: DropZone,
    pieces: OverviewPieces,
}

/// `GET /`
pub(in super::super) async fn overview(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<OverviewPage, Fault> {
    let admin = &visit.site.admin;
    let queues = async {
        let survey = admin.survey().await?;
        admin.overviews(survey.queues, survey.now).await
    };
    let batches = admin.some_batches((0, BATCHES));
    let (queues, batches, server) = futures::try_join!(queues, batches, admin.server())?;
    let layout = visit.layout("Overview", "/");
    Ok(OverviewPage {
        pieces: OverviewPieces::of(&layout.ground(), (&queues, &batches), &server),
        drop: DropZone::of(visit),
        layout: layout
            .watching(&[Topic::Overview])
            .with_script(&assets::DROP)
            .with_script(&assets::MINE),
    })
}
