//! The picture of a job.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::super::fault::Fault;
use super::super::looks::{Looks, Subject};
use super::super::shown::decoded;
use super::super::visit::Visit;

/// `GET /jobs/K/preview.png`; with `list=yes`, 204 if there is none, as browsers complain of 404 for each row of a list.
pub(in super::super) async fn preview(
    visit: Visit,
    Path(encoded): Path<String>,
    headers: HeaderMap,
) -> Response {
    match make(&visit, &encoded, &headers).await {
        Ok(picture) => picture,
        Err(Fault::Absent(_)) if visit.form.has("list") => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

async fn make(visit: &Visit, encoded: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    let (subject, looks) = subject(visit, encoded).await?;
    let known = Known::of(&subject, "");
    if known.is_at(headers) {
        return Ok(known.unchanged());
    }
    let key = subject.key().clone();
    let picture = looks.preview(subject).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(%key, error, "no picture can be made");
        Fault::Absent(format!("no picture can be made of this job: {error}"))
    })?;
    Ok(known.answer("image/png", picture))
}

/// What a browser may know already, and how long it may keep it.
pub(super) struct Known {
    keeping: &'static str,
    tag: String,
}

impl Known {
    /// Something that is seen of a job; `what` tells it apart from others.
    pub(super) fn of(subject: &Subject, what: &str) -> Self {
        let version = subject.version();
        let tag = match what {
            "" => format!("\"{version}\""),
            what => {
                let digest = Sha256::digest(what);
                let digest: String = digest
                    .iter()
                    .take(8)
                    .map(|it| format!("{it:02x}"))
                    .collect();
                format!("\"{version}-{digest}\"")
            }
        };
        // What is seen has its version in its address on our pages, so what is final never changes there.
        let keeping = match subject.is_final() {
            true => "private, max-age=86400, immutable",
            false => "private, no-cache",
        };
        Self { keeping, tag }
    }

    pub(super) fn is_at(&self, headers: &HeaderMap) -> bool {
        let known = headers.get(header::IF_NONE_MATCH);
        known.is_some_and(|known| known.as_bytes() == self.tag.as_bytes())
    }

    pub(super) fn unchanged(&self) -> Response {
        (StatusCode::NOT_MODIFIED, self.told()).into_response()
    }

    pub(super) fn answer(&self, kind: &'static str, body: impl Into<Body>) -> Response {
        let kind = [(header::CONTENT_TYPE, kind)];
        (self.told(), kind, body.into()).into_response()
    }

    fn told(&self) -> [(header::HeaderName, String); 2] {
        [
            (header::CACHE_CONTROL, self.keeping.to_owned()),
            (header::ETAG, self.tag.clone()),
        ]
    }
}

/// The job of an address as something to be looked at, and what makes it so.
pub(super) async fn subject(visit: &Visit, encoded: &str) -> Result<(Subject, Looks), Fault> {
    let absent = |text: &str| Fault::Absent(text.to_owned());
    let key = decoded(encoded).ok_or_else(|| absent("this is no address of a job"))?;
    let looks = visit.site.looks.clone();
    let looks = looks.ok_or_else(|| absent("pictures and cells need a bucket: STORAGE_BUCKET"))?;
    let fields = visit.site.admin.job(&key).await?;
    if fields.is_empty() {
        return Err(Fault::Absent(format!("there is no job `{key}`")));
    }
    let subject = Subject::of(&key, &fields).ok_or_else(|| absent("the input is no image"))?;
    Ok((subject, looks))
}
