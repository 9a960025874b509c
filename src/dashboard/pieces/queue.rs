//! One queue: its figures, what has ended, how much is where, and its workers.

use askama::Template;

use super::super::chart::{Bar, Chart};
use super::super::shown::message;
use super::piece::{Ground, Shape, all_html, html};
use super::queues::{PauseShown, QueueCounts};
use super::workers::{WorkerRow, rows_of};
use crate::figures::grouped;
use crate::queue::control::{Minute, Overview, WorkerState};

/// The pieces of a queue's page.
pub(in super::super) struct QueuePieces {
    pub(in super::super) figures: QueueFigures,
    pub(in super::super) counts: [TabCount; 5],
    pub(in super::super) workers: Vec<WorkerRow>,
    pub(in super::super) shape: Shape,
}

#[derive(Template)]
#[template(path = "pieces/queue_figures.html")]
pub(in super::super) struct QueueFigures {
    counts: QueueCounts,
    pause: Option<PauseShown>,
    obstacles: Vec<String>,
}

/// How many jobs are somewhere.
#[derive(Clone, Template)]
#[template(path = "pieces/tab_count.html")]
pub(in super::super) struct TabCount {
    word: &'static str,
    number: String,
}

/// The pieces of a chart.
pub(in super::super) struct ChartPieces {
    pub(in super::super) bars: Vec<BarPiece>,
    pub(in super::super) caption: ChartCaption,
    pub(in super::super) shape: ChartShape,
    pub(in super::super) is_empty: bool,
}

#[derive(Template)]
#[template(path = "pieces/bar.html")]
pub(in super::super) struct BarPiece {
    bar: Bar,
}

#[derive(Template)]
#[template(path = "pieces/chart_caption.html")]
pub(in super::super) struct ChartCaption {
    text: String,
    most: String,
}

/// Whether there is a chart at all.
#[derive(Template)]
#[template(path = "pieces/chart_shape.html")]
pub(in super::super) struct ChartShape {
    is_empty: bool,
}

impl QueuePieces {
    pub(in super::super) fn of(ground: &Ground, queue: &Overview, workers: &[WorkerState]) -> Self {
        let names: Vec<_> = workers.iter().map(|it| it.name.as_str()).collect();
        Self {
            // A list that is empty has no rows that could change.
            shape: Shape::of((
                queue.pause.is_some(),
                names,
                numbers(queue).map(|it| it == 0),
            )),
            figures: QueueFigures {
                counts: QueueCounts::of(queue),
                pause: queue.pause.as_ref().map(PauseShown::of),
                obstacles: queue.obstacles.iter().map(|why| message(why)).collect(),
            },
            counts: counts(queue),
            workers: rows_of(ground, workers),
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let first = [html(&self.shape), html(&self.figures)].into_iter();
        let counts = all_html(&self.counts);
        first.chain(counts).chain(all_html(&self.workers)).collect()
    }
}

impl ChartPieces {
    pub(in super::super) fn of(history: &[Minute]) -> Self {
        let chart = Chart::of(history);
        Self {
            shape: ChartShape {
                is_empty: chart.is_empty,
            },
            is_empty: chart.is_empty,
            caption: ChartCaption {
                text: chart.text,
                most: chart.most,
            },
            bars: chart.bars.into_iter().map(|bar| BarPiece { bar }).collect(),
        }
    }

    /// Bars are elements of SVG, and read as such only within it.
    pub(in super::super) fn html(&self) -> Vec<String> {
        let bars = all_html(&self.bars).map(|bar| format!("<svg>{bar}</svg>"));
        let first = [html(&self.shape), html(&self.caption)];
        first.into_iter().chain(bars).collect()
    }
}

/// How much is where, in the order of the tabs.
fn numbers(queue: &Overview) -> [u64; 5] {
    [
        queue.waiting,
        queue.running,
        queue.delayed,
        queue.parked,
        queue.failed,
    ]
}

fn counts(queue: &Overview) -> [TabCount; 5] {
    let [waiting, running, delayed, parked, failed] = numbers(queue).map(grouped);
    let all = [
        ("waiting", waiting),
        ("running", running),
        ("delayed", delayed),
        ("parked", parked),
        ("failed", failed),
    ];
    all.map(|(word, number)| TabCount { word, number })
}
