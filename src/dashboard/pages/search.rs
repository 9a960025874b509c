//! From a name to a page: a job's key, a queue, a batch, or a part of a file's name.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::super::fault::Fault;
use super::super::jobs_table::{JobRow, value};
use super::super::layout::Layout;
use super::super::shown::{Link, name};
use super::super::visit::Visit;
use super::window::ROWS;
use crate::figures::{counted, grouped};
use crate::queue::control::Source;
use crate::queue::{JobKey, RawFields};
use crate::wire::field;

/// How far is looked for a file's name: failures of all queues, queues, and waiting jobs of each.
const FAILURES: usize = 1000;
const QUEUES: usize = 20;
const WAITING: usize = 500;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    wanted: String,
    jobs: Vec<JobRow>,
    /// How far was looked.
    looked: String,
}

/// What was found.
enum Found {
    /// It has a page of its own.
    One(Link),
    Some(Box<SearchPage>),
}

/// `GET /search`
pub(in super::super) async fn search(visit: Visit) -> Response {
    match look(&visit).await {
        Ok(Found::One(link)) => {
            let place = format!("{}{}", visit.site.base, link.path);
            (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
        }
        Ok(Found::Some(page)) => visit.answer(Ok(*page)),
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

async fn look(visit: &Visit) -> Result<Found, Fault> {
    let wanted = visit.form.text("q").trim();
    let admin = &visit.site.admin;
    let key = JobKey(wanted.as_bytes().to_vec());
    let (fields, survey, batch) = futures::try_join!(
        admin.shown_fields(std::slice::from_ref(&key)),
        admin.survey(),
        admin.batch(wanted),
    )?;
    if fields.iter().any(|fields| !fields.is_empty()) {
        return Ok(Found::One(Link::to_job(&key)));
    }
    if survey.queues.contains(wanted) {
        return Ok(Found::One(Link::to_queue(wanted)));
    }
    if batch.is_some() {
        return Ok(Found::One(Link::to_batch(wanted)));
    }
    let queues: Vec<_> = survey.queues.into_iter().collect();
    Ok(Found::Some(Box::new(SearchPage {
        layout: visit.layout("Search", ""),
        jobs: match wanted {
            "" => Vec::new(),
            _ => by_file(visit, &queues, wanted.as_bytes()).await?,
        },
        wanted: name(wanted.as_bytes()),
        looked: format!(
            "Looked at the last {} failures, and at the next {WAITING} waiting jobs of each of {}.",
            grouped(FAILURES as u64),
            counted(queues.len().min(QUEUES) as u64, "queue")
        ),
    })))
}

/// Jobs whose file or key has this in its name.
async fn by_file(visit: &Visit, queues: &[String], wanted: &[u8]) -> Result<Vec<JobRow>, Fault> {
    let admin = &visit.site.admin;
    let some = queues.iter().take(QUEUES);
    let waiting = some.map(|queue| admin.window(queue, Source::Waiting, (0, WAITING)));
    let (failed, waiting) = futures::try_join!(
        admin.latest_failures(queues, FAILURES),
        futures::future::try_join_all(waiting),
    )?;
    let is_meant = |key: &JobKey, fields: &RawFields| {
        let input = value(fields, field::INPUT_FILE_NAME);
        contains(input, wanted) || contains(&key.0, wanted)
    };
    let failed = failed.failures.iter();
    let failed = failed.filter(|(_, it)| is_meant(&it.key, &it.fields));
    let failed = failed.map(|(queue, it)| JobRow::failed(queue, it));
    let waiting = waiting.iter().flatten();
    let waiting = waiting.filter(|(key, fields)| is_meant(key, fields));
    let waiting = waiting.map(|(key, fields)| JobRow::of(key, fields));
    Ok(failed.chain(waiting).take(ROWS).collect())
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}
