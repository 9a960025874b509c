//! All queues.

use askama::Template;
use axum::response::Response;

use super::super::chart::Sparkline;
use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::{Link, When, message};
use super::super::visit::Visit;
use super::window::{ROWS, Window};
use crate::figures::{Age, grouped};
use crate::queue::control::{Minute, Overview, Pause, Trash};
use crate::wire::millis_since_1970;

/// Hours of a sparkline.
const HOURS: u64 = 24;

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    layout: Layout,
    rows: Vec<Row>,
    window: Window,
    purged: Vec<PurgedRow>,
}

struct Row {
    queue: Link,
    counts: QueueCounts,
    pause: Option<PauseShown>,
    spark: Sparkline,
}

/// What a queue has, as its row and its page show it.
pub(super) struct QueueCounts {
    pub(super) waiting: String,
    pub(super) running: String,
    pub(super) delayed: String,
    pub(super) parked: String,
    pub(super) failed: String,
    /// When the job was submitted that waits longest.
    pub(super) oldest: Option<When>,
    pub(super) rate: String,
    pub(super) left: String,
    pub(super) workers: String,
    /// Whether jobs wait for somebody who works them.
    pub(super) is_unserved: bool,
}

/// Who has paused a queue, when, and why.
pub(super) struct PauseShown {
    pub(super) by: String,
    pub(super) since: Option<When>,
    pub(super) why: String,
}

struct PurgedRow {
    queue: Link,
    purged: When,
    entries: String,
}

impl QueueCounts {
    pub(super) fn of(queue: &Overview) -> Self {
        let dash = || "–".to_owned();
        let rate = queue.rates.five_minutes;
        Self {
            waiting: grouped(queue.waiting),
            running: grouped(queue.running),
            delayed: grouped(queue.delayed),
            parked: grouped(queue.parked),
            failed: grouped(queue.failed),
            oldest: queue.oldest.as_deref().and_then(When::stamp),
            rate: match rate {
                0.1.. => format!("{rate:.1}/s"),
                _ if rate > 0.0 => format!("{:.1}/min", rate * 60.0),
                _ => dash(),
            },
            left: queue.left().map_or_else(dash, |left| Age(left).to_string()),
            workers: match queue.slots {
                0 => queue.workers.to_string(),
                slots => format!("{} ({slots} slots)", queue.workers),
            },
            is_unserved: queue.workers == 0 && queue.waiting > 0,
        }
    }
}

impl PauseShown {
    pub(super) fn of(pause: &Pause) -> Self {
        Self {
            by: message(&pause.by),
            since: When::stamp(pause.at.as_bytes()),
            why: message(&pause.why),
        }
    }
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
    let rows: Vec<_> = overviews.iter().zip(&histories).map(row).collect();
    Ok(QueuesPage {
        layout: visit.layout("Queues", "/queues"),
        window: Window::new("/queues?", (from, rows.len()), total),
        rows,
        purged: trash.iter().map(purged_row).collect(),
    })
}

fn row((queue, history): (&Overview, &Vec<Minute>)) -> Row {
    Row {
        queue: Link::to_queue(&queue.queue),
        counts: QueueCounts::of(queue),
        pause: queue.pause.as_ref().map(PauseShown::of),
        spark: Sparkline::of(history),
    }
}

fn purged_row(trash: &Trash) -> PurgedRow {
    PurgedRow {
        queue: Link::to_queue(&trash.queue),
        purged: When::at(trash.purged),
        entries: grouped(trash.entries),
    }
}
