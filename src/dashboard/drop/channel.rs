//! What is seen of a file before it has a job: one of its channels.

use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::super::fault::Fault;
use super::super::looks::Subject;
use super::super::visit::Visit;
use super::place::Place;

/// `GET /upload/U/P?channel=N&order=…`: a PNG.
pub(in super::super) async fn channel(visit: Visit, uri: Uri) -> Response {
    match make(&visit, &uri).await {
        Ok(picture) => picture,
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

async fn make(visit: &Visit, uri: &Uri) -> Result<Response, Fault> {
    let site = &visit.site;
    let absent = |text: &str| Fault::Absent(text.to_owned());
    let (Some(storage), Some(looks)) = (&site.storage, &site.looks) else {
        return Err(absent("pictures need a bucket: STORAGE_BUCKET"));
    };
    let path = uri.path().strip_prefix(&site.base);
    let rest = path.and_then(|path| path.strip_prefix("/upload/"));
    let key = Place::in_address(rest.unwrap_or_default())?.key(site);
    let none =
        |error: &dyn std::fmt::Display| Fault::Absent(format!("there is no picture: {error}"));
    let bytes = storage.size(&key).await.map_err(|error| none(&error))?;
    let subject = Subject::of_file(&key, bytes, visit.form.text("order"));
    let picture = looks.channel(subject, visit.form.number("channel")).await;
    let picture = picture.map_err(|error| none(&format!("{error:#}")))?;
    let told = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    Ok((told, picture).into_response())
}
