//! The table of queues, and what is said of each.

use askama::Template;

use super::super::chart::Sparkline;
use super::super::shown::{Link, When, message, text_id};
use super::piece::{Ground, Shape, all_html, html};
use crate::figures::{Age, grouped};
use crate::queue::control::{Minute, Overview, Pause};

/// Hours of a sparkline.
pub(in super::super) const HOURS: u64 = 24;

/// The pieces of a part of the table.
pub(in super::super) struct QueuesPieces {
    pub(in super::super) rows: Vec<QueueRow>,
    pub(in super::super) shape: Shape,
}

#[derive(Template)]
#[template(path = "pieces/queue_row.html")]
pub(in super::super) struct QueueRow {
    layout: Ground,
    id: String,
    queue: Link,
    counts: QueueCounts,
    pause: Option<PauseShown>,
    spark: Sparkline,
}

/// What a queue has, as its row and its page show it.
pub(in super::super) struct QueueCounts {
    pub(in super::super) waiting: String,
    pub(in super::super) running: String,
    pub(in super::super) delayed: String,
    pub(in super::super) parked: String,
    pub(in super::super) failed: String,
    /// When the job was submitted that waits longest.
    pub(in super::super) oldest: Option<When>,
    pub(in super::super) rate: String,
    pub(in super::super) left: String,
    pub(in super::super) workers: String,
    /// Whether jobs wait for somebody who works them.
    pub(in super::super) is_unserved: bool,
}

/// Who has paused a queue, when, and why.
pub(in super::super) struct PauseShown {
    pub(in super::super) by: String,
    pub(in super::super) since: Option<When>,
    pub(in super::super) why: String,
}

impl QueuesPieces {
    /// Of these queues with their last hours, of so many in all.
    pub(in super::super) fn of(
        ground: &Ground,
        (queues, histories): (&[Overview], &[Vec<Minute>]),
        total: u64,
    ) -> Self {
        let rows = queues.iter().zip(histories);
        let names = queues.iter().map(|it| (&it.queue, it.pause.is_some()));
        Self {
            shape: Shape::of((names.collect::<Vec<_>>(), total)),
            rows: rows
                .map(|(queue, history)| QueueRow::of(ground, queue, history))
                .collect(),
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let rows = all_html(&self.rows);
        [html(&self.shape)].into_iter().chain(rows).collect()
    }
}

impl QueueRow {
    fn of(ground: &Ground, queue: &Overview, history: &[Minute]) -> Self {
        Self {
            layout: ground.clone(),
            id: text_id(&queue.queue),
            queue: Link::to_queue(&queue.queue),
            counts: QueueCounts::of(queue),
            pause: queue.pause.as_ref().map(PauseShown::of),
            spark: Sparkline::of(history),
        }
    }
}

impl QueueCounts {
    pub(in super::super) fn of(queue: &Overview) -> Self {
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
    pub(in super::super) fn of(pause: &Pause) -> Self {
        Self {
            by: message(&pause.by),
            since: When::stamp(pause.at.as_bytes()),
            why: message(&pause.why),
        }
    }
}
