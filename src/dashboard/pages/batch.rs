//! One batch, stage by stage.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use batch_plan::Resolved;

use super::super::assets;
use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::pieces::batch::BatchPieces;
use super::super::shown::Link;
use super::super::visit::Visit;
use super::flow::{Flow, flow};
use super::items::{self, Blocked, Own};
use super::sheet::{Sheet, sheet};
use crate::batch::{Standing, can_resume};
use crate::untrusted;
use crate::wire::batch;

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    layout: Layout,
    batch: Link,
    /// The name as forms send it.
    name: String,
    pieces: BatchPieces,
    /// Which stage follows which.
    flow: Option<Flow>,
    blocked: Vec<Blocked>,
    own: Option<Own>,
    sheet: Option<Sheet>,
    can_pause: bool,
    can_resume: bool,
    can_cancel: bool,
    can_repair: bool,
}

/// `GET /batches/B`
pub(in super::super) async fn batch(visit: Visit, Path(name): Path<String>) -> Response {
    let page = make(&visit, name).await;
    visit.answer(page)
}

async fn make(visit: &Visit, name: String) -> Result<BatchPage, Fault> {
    let standing = Standing::of(&visit.site.admin, &name).await;
    let standing = standing.map_err(|error| match Fault::from(error) {
        Fault::Misuse(text) => Fault::Absent(text),
        fault => fault,
    })?;
    let state = &standing.state;
    let (sheet, blocked, own, flow) = futures::join!(
        sheet(visit, &name, state),
        items::blocked(visit, &name, state),
        items::own(visit, &name, state),
        flow_of(visit, &name),
    );
    let is_over = [batch::FINISHED, batch::CANCELLED].contains(&state.state.as_str());
    let layout = visit
        .layout(&format!("Batch {}", untrusted::name(&name)), "/batches")
        .with_script(&assets::PICTURES);
    Ok(BatchPage {
        pieces: BatchPieces::of(&layout.ground(), &standing),
        layout: layout.watching(&[Topic::Batch(name.clone())]),
        batch: Link::to_batch(&name),
        flow,
        blocked,
        own,
        sheet,
        can_pause: state.state == batch::RUNNING,
        can_resume: can_resume(state, None) && state.state != batch::FINISHED,
        can_cancel: !is_over,
        can_repair: visit.site.storage.is_some(),
        name,
    })
}

/// Which stage follows which, as the plan says.
async fn flow_of(visit: &Visit, name: &str) -> Option<Flow> {
    let plan = visit.site.admin.batch_plan(name).await.ok()??;
    flow(&Resolved::from_json(&plan).ok()?)
}
