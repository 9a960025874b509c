//! Jobs, their results and cells.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::super::super::fault::Fault;
use super::super::super::files;
use super::super::super::pages::cells_file;
use super::super::super::shown::decoded;
use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::named::Named;
use super::window::{Window, in_time, selector};
use crate::queue::JobKey;
use crate::queue::control::{Source, job_to_json};
use crate::refusal::Misuse;
use crate::selection::queue_of;
use crate::wire::{RawFields, field, text_of};

/// `GET jobs`
pub(super) async fn jobs(visit: Visit) -> Result<Response, Refusal> {
    let window = Window::of(&visit.form)?;
    let selector = selector(&visit.form, &["state"])?;
    let sources = [source(visit.form.given("state").unwrap_or("waiting"))?];
    if selector.names_jobs() {
        return Err(Refusal::mistake("GET jobs/K shows the job of a key"));
    }
    let mut found = Vec::new();
    let admin = &visit.site.admin;
    let look = selector.each_job(admin, &sources, window.wanted(), |queue, key, fields| {
        found.push(job_to_json(&key, queue, &fields));
        Ok(true)
    });
    in_time(look).await?;
    let (told, next) = window.part(found);
    Ok(done(&json!({ "jobs": told, "next": next })))
}

fn source(state: &str) -> Result<Source, Refusal> {
    Ok(match state {
        "waiting" => Source::Waiting,
        "running" => Source::Running,
        "delayed" => Source::Delayed,
        "parked" => Source::Parked,
        "failed" => Source::Failed,
        _ => {
            let text = "`state` has to be waiting, running, delayed, parked or failed";
            return Err(Refusal::mistake(text));
        }
    })
}

/// `GET jobs/K`
pub(super) async fn job(visit: Visit, Named(job): Named) -> Result<Response, Refusal> {
    let (key, fields) = find(&visit, &job).await?;
    let admin = &visit.site.admin;
    let known = admin.known_queues(false).await?;
    let queue = queue_of(&key, &fields, visit.form.given("queue"), &known)?;
    let place = admin.place(&key, &fields, &queue).await?;
    Ok(done(&place.job_to_json(&key, &queue, &fields)))
}

/// `GET jobs/K/result`
pub(super) async fn result(
    visit: Visit,
    Named(job): Named,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (key, fields) = find(&visit, &job).await?;
    let object = text_of(&fields, field::OUTPUT_FILE_NAME);
    if object.is_empty() {
        let status = text_of(&fields, field::STATUS);
        let text = format!("the job `{key}` has no result: it is {status}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    files::send(&visit.site, &object, &headers).await
}

/// `GET jobs/K/cells.csv`
pub(super) async fn cells(visit: Visit, Named(job): Named) -> Result<Response, Refusal> {
    Ok(cells_file(&visit, &job).await?)
}

/// A job that is there.
async fn find(visit: &Visit, job: &str) -> Result<(JobKey, RawFields), Refusal> {
    let key = decoded(job).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, NO_KEY))?;
    let fields = visit.site.admin.job(&key).await?;
    if fields.is_empty() {
        let Misuse(text) = Misuse::no_job(&key);
        return Err(Fault::Absent(text).into());
    }
    Ok((key, fields))
}

const NO_KEY: &str =
    "this is no address of a job: its key has to be in URL-safe Base64 without `=`";
