//! The picture of a job.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tracing::warn;

use super::super::fault::Fault;
use super::super::looks::{Looks, Subject};
use super::super::shown::decoded;
use super::super::visit::Visit;

/// `GET /jobs/K/preview.png`
pub(in super::super) async fn preview(
    visit: Visit,
    Path(encoded): Path<String>,
    headers: HeaderMap,
) -> Response {
    match make(&visit, &encoded, &headers).await {
        Ok(picture) => picture,
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

async fn make(visit: &Visit, encoded: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    let (subject, looks) = subject(visit, encoded).await?;
    // A picture has its version in its address on our pages, so one that is final never changes there.
    let keeping = match subject.is_final() {
        true => "private, max-age=86400, immutable",
        false => "private, no-cache",
    };
    let tag = format!("\"{}\"", subject.version());
    let told = [
        (header::CACHE_CONTROL, keeping.to_owned()),
        (header::ETAG, tag.clone()),
    ];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    let key = subject.key().clone();
    let picture = looks.preview(subject).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(%key, error, "no picture can be made");
        Fault::Absent(format!("no picture can be made of this job: {error}"))
    })?;
    let kind = [(header::CONTENT_TYPE, "image/png")];
    Ok((told, kind, picture).into_response())
}

/// The job of an address as something to be looked at, and what makes it so.
pub(super) async fn subject(visit: &Visit, encoded: &str) -> Result<(Subject, Looks), Fault> {
    let absent = |text: &str| Fault::Absent(text.to_owned());
    let key = decoded(encoded).ok_or_else(|| absent("this is no address of a job"))?;
    let looks = visit.site.looks.clone();
    let looks = looks.ok_or_else(|| absent("pictures and cells need a bucket: STORAGE_BUCKET"))?;
    let fields = visit.site.admin.job(&key).await?;
    if fields.is_empty() {
        return Err(Fault::Absent(format!("there is no job {key}")));
    }
    let subject = Subject::of(&key, &fields).ok_or_else(|| absent("the input is no image"))?;
    Ok((subject, looks))
}
