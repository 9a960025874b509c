//! One queue: what has ended, and its jobs by where they are.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::jobs_table::JobRow;
use super::super::layout::Layout;
use super::super::live::topic::{SPANS, Topic};
use super::super::pieces::queue::{ChartPieces, QueuePieces, TabCount};
use super::super::pieces::stages::StageTimes;
use super::super::shown::Link;
use super::super::visit::Visit;
use super::window::{ROWS, Window};
use crate::queue::control::{Overview, Source, WorkerState};
use crate::queue::{Admin, JobKey, RawFields};
use crate::untrusted;
use crate::wire::millis_since_1970;

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    layout: Layout,
    queue: Link,
    pieces: QueuePieces,
    chart: ChartPieces,
    is_paused: bool,
    stages: StageTimes,
    spans: Vec<Tab>,
    tabs: Vec<Tab>,
    jobs: Vec<JobRow>,
    window: Window,
    /// What it means that nothing is listed.
    nothing: &'static str,
    /// Whether the jobs that are listed have met errors.
    with_reasons: bool,
    purged: u64,
    /// Its panels in Grafana.
    panels: Option<String>,
}

/// A part of the page that can be chosen.
struct Tab {
    name: String,
    path: String,
    /// How much is there.
    count: Option<TabCount>,
    is_here: bool,
}

/// Where the jobs are that are listed.
struct Place {
    word: &'static str,
    source: Source,
    count: fn(&Overview) -> u64,
    nothing: &'static str,
}

const PLACES: [Place; 5] = [
    Place {
        word: "waiting",
        source: Source::Waiting,
        count: |queue| queue.waiting,
        nothing: "Nothing waits: every job that was submitted is at work, or has ended.",
    },
    Place {
        word: "running",
        source: Source::Running,
        count: |queue| queue.running,
        nothing: "No worker of this program is at a job. Those of Python consumers are not listed here.",
    },
    Place {
        word: "delayed",
        source: Source::Delayed,
        count: |queue| queue.delayed,
        nothing: "No job is to come back later. Those are here that are tried again after an error, or were submitted for later.",
    },
    Place {
        word: "parked",
        source: Source::Parked,
        count: |queue| queue.parked,
        nothing: "No job waits for its parts. Archives and movies do, until all their images are done.",
    },
    Place {
        word: "failed",
        source: Source::Failed,
        count: |queue| queue.failed,
        nothing: "Nothing has failed here that is still remembered.",
    },
];

/// `GET /queues/Q`
pub(in super::super) async fn queue(visit: Visit, Path(name): Path<String>) -> Response {
    let page = make(&visit, name).await;
    visit.answer(page)
}

async fn make(visit: &Visit, name: String) -> Result<QueuePage, Fault> {
    let admin = &visit.site.admin;
    let chosen = visit.form.text("tab");
    let place = PLACES.iter().find(|place| place.word == chosen);
    let place = place.unwrap_or(&PLACES[0]);
    let (from, hours) = (visit.form.number("from"), hours(visit));
    let names = [name.clone()];
    let minute = millis_since_1970() / 60_000;
    let (found, jobs, history, purged, times) = futures::try_join!(
        look(admin, &name),
        admin.window(&name, place.source, (from, ROWS)),
        admin.histories(&names, minute, hours),
        purged(admin, &name),
        admin.recent_times(&name),
    )?;
    let Some((overview, workers)) = found else {
        let shown = untrusted::name(&name);
        return Err(Fault::Absent(format!("no queue `{shown}` is known here")));
    };
    let path = Link::to_queue(&name).path;
    let address = format!("{path}?hours={hours}&tab={}&", place.word);
    let layout = visit.layout(&format!("Queue {}", untrusted::name(&name)), "/queues");
    let pieces = QueuePieces::of(&layout.ground(), &overview, &workers);
    Ok(QueuePage {
        layout: layout.watching(&topics(&name, hours, &jobs)),
        queue: Link::to_queue(&name),
        is_paused: overview.pause.is_some(),
        chart: ChartPieces::of(history.first().map_or(&[][..], Vec::as_slice)),
        stages: StageTimes::of(&times),
        spans: spans(&name, place, hours),
        tabs: tabs(&name, place, (hours, &pieces.counts)),
        window: Window::new(&address, (from, jobs.len()), (place.count)(&overview)),
        jobs: jobs.iter().map(row).collect(),
        nothing: place.nothing,
        with_reasons: matches!(place.source, Source::Delayed | Source::Failed),
        pieces,
        purged,
        panels: visit.site.elsewhere.panels_of(&name),
    })
}

/// How a queue fares, and who works it; nothing if nobody has ever heard of it.
async fn look(
    admin: &Admin,
    name: &str,
) -> Result<Option<(Overview, Vec<WorkerState>)>, crate::queue::Error> {
    let survey = admin.survey().await?;
    let names = [name.to_owned()];
    let (overviews, workers) = futures::try_join!(
        admin.overviews(names.clone(), survey.now),
        admin.fleet(&names, survey.now),
    )?;
    let overview = overviews.into_iter().next();
    let overview = overview.filter(|it| survey.queues.contains(name) || !it.is_blank());
    Ok(overview.map(|overview| (overview, workers)))
}

/// How many jobs were purged from it and can be put back.
async fn purged(admin: &Admin, name: &str) -> Result<u64, crate::queue::Error> {
    let trash = admin.trash().await?;
    let purged = trash.iter().filter(|trash| trash.queue == name);
    Ok(purged.map(|trash| trash.entries).sum())
}

fn hours(visit: &Visit) -> u64 {
    let given = visit.form.number("hours") as u64;
    SPANS
        .into_iter()
        .find(|it| *it == given)
        .unwrap_or(SPANS[0])
}

fn row((key, fields): &(JobKey, RawFields)) -> JobRow {
    JobRow::of(key, fields)
}

fn spans(name: &str, place: &Place, hours: u64) -> Vec<Tab> {
    let path = Link::to_queue(name).path;
    let tab = |span: u64| Tab {
        name: format!("{span} h"),
        path: format!("{path}?hours={span}&tab={}", place.word),
        count: None,
        is_here: span == hours,
    };
    SPANS.map(tab).into()
}

fn tabs(name: &str, here: &Place, (hours, counts): (u64, &[TabCount])) -> Vec<Tab> {
    let path = Link::to_queue(name).path;
    let tab = |(place, count): (&Place, &TabCount)| Tab {
        name: place.word.to_owned(),
        path: format!("{path}?hours={hours}&tab={}#jobs", place.word),
        count: Some(count.clone()),
        is_here: place.word == here.word,
    };
    PLACES.iter().zip(counts).map(tab).collect()
}

/// What changes on the page: its figures, the chart, and the statuses of its jobs.
fn topics(name: &str, hours: u64, jobs: &[(JobKey, RawFields)]) -> Vec<Topic> {
    let of_queue = [
        Topic::Queue(name.to_owned()),
        Topic::Chart(hours, name.to_owned()),
    ];
    let rows = jobs.iter().map(|(key, _)| Topic::Row(key.clone()));
    of_queue.into_iter().chain(rows).collect()
}
