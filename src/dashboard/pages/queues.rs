//! All queues.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::pieces::queues::{HOURS, QueuesPieces};
use super::super::shown::{Link, When};
use super::super::visit::Visit;
use super::window::{ROWS, Window};
use crate::figures::grouped;
use crate::queue::control::Trash;
use crate::wire::millis_since_1970;

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    layout: Layout,
    pieces: QueuesPieces,
    window: Window,
    purged: Vec<PurgedRow>,
}

struct PurgedRow {
    queue: Link,
    purged: When,
    entries: String,
}

/// `GET /queues`
pub(in super::super) async fn queues(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<QueuesPage, Fault> {
    let admin = &visit.site.admin;
    let (survey, trash) = futures::try_join!(admin.survey(), admin.trash())?;
    let total = survey.queues.len() as u64;
    let from = visit.form.number("from");
    let names: Vec<_> = survey.queues.into_iter().skip(from).take(ROWS).collect();
    let (overviews, histories) = futures::try_join!(
        admin.overviews(names.clone(), survey.now),
        admin.histories(&names, millis_since_1970() / 60_000, HOURS),
    )?;
    let layout = visit.layout("Queues", "/queues");
    Ok(QueuesPage {
        window: Window::new("/queues?", (from, overviews.len()), total),
        pieces: QueuesPieces::of(&layout.ground(), (&overviews, &histories), total),
        layout: layout.watching(&[Topic::Queues(from)]),
        purged: trash.iter().map(purged_row).collect(),
    })
}

fn purged_row(trash: &Trash) -> PurgedRow {
    PurgedRow {
        queue: Link::to_queue(&trash.queue),
        purged: When::at(trash.purged),
        entries: grouped(trash.entries),
    }
}
