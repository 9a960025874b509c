//! Objects of the bucket, as they are: results and uploads, a piece at a time.

use std::ops::Range;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{Stream, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::warn;

use super::api::Refusal;
use super::range::{Wanted, wanted};
use super::site::{Shared, Site};
use crate::storage::{self, RangeReader};

/// Where results are, beside uploads.
const RESULTS: &str = "output";

/// Bytes that are in memory of each object that is sent.
const PIECE: u64 = 1 << 20;

/// An object runs nothing and shows nothing of ours, whatever it calls itself.
const POLICY: &str = "default-src 'none'; sandbox";

/// `GET /files/KEY`: for everybody, since addresses of results are fetched without a login.
pub(super) async fn file(
    State(site): State<Shared>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key.ok().map(|Path(key)| key);
    let key = key.filter(|key| site.serves_files && is_public(&site, key));
    match key {
        Some(key) => send(&site, &key, &headers).await,
        None => Err(absent()),
    }
}

/// Whether an object is one that has an address for everybody.
fn is_public(site: &Site, key: &str) -> bool {
    let prefixes = [RESULTS, site.api.upload_prefix()];
    let below = |prefix: &&str| {
        key.strip_prefix(*prefix)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    prefixes.iter().any(below)
}

/// An object, or the part of it that is asked for.
pub(super) async fn send(site: &Site, key: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let Some(storage) = &site.storage else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_BUCKET));
    };
    let reader = match storage.range_reader(key).await {
        // A name that cannot be one of an object is one of nothing.
        Err(storage::Error::NotFound { .. } | storage::Error::InvalidReference { .. }) => {
            return Err(absent());
        }
        reader => reader?,
    };
    let (size, tag) = (reader.size(), tag(&reader));
    let told = told(key, tag.as_ref());
    let (status, part, range) = match wanted(headers, size, tag.as_ref()) {
        Wanted::Unchanged => return Ok((StatusCode::NOT_MODIFIED, told).into_response()),
        Wanted::Beyond => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, told, range).into_response());
        }
        Wanted::All => (StatusCode::OK, 0..size, None),
        Wanted::Part(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            (StatusCode::PARTIAL_CONTENT, part, Some(range))
        }
    };
    let length = [(header::CONTENT_LENGTH, (part.end - part.start).to_string())];
    let range = range.map(|range| [(header::CONTENT_RANGE, range)]);
    let body = Body::from_stream(pieces(reader, part));
    let mut response = (status, told, length, body).into_response();
    if let Some([(name, value)]) = range
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What is said of an object, whatever part of it is sent.
fn told(key: &str, tag: Option<&HeaderValue>) -> HeaderMap {
    let name = key.rsplit('/').next().unwrap_or(key);
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let disposition = format!("attachment; filename*=UTF-8''{name}");
    let mut told = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, storage::content_type(key)),
        (header::ACCEPT_RANGES, "bytes"),
        // A job that runs again replaces its result.
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        told.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        told.insert(header::CONTENT_DISPOSITION, disposition);
    }
    if let Some(tag) = tag {
        told.insert(header::ETAG, tag.clone());
    }
    told
}

/// What the store calls this version of an object.
fn tag(reader: &RangeReader) -> Option<HeaderValue> {
    let tag = reader.tag()?;
    let is_quoted = tag.len() >= 2 && tag.ends_with('"');
    let is_tag = is_quoted && (tag.starts_with('"') || tag.starts_with("W/\""));
    let tag = match is_tag {
        true => tag.to_owned(),
        false => format!("\"{}\"", tag.trim_matches('"')),
    };
    HeaderValue::from_str(&tag).ok()
}

/// A part of an object while it is sent: one piece is read when the one before it has gone.
fn pieces(
    reader: RangeReader,
    part: Range<u64>,
) -> impl Stream<Item = Result<Bytes, storage::Error>> + Send {
    stream::try_unfold((reader, part), |(mut reader, part)| async move {
        if part.is_empty() {
            return Ok(None);
        }
        let end = part.end.min(part.start + PIECE);
        let piece = reader.read(part.start..end).await;
        let piece = piece.inspect_err(|error| warn!(%error, "an object cannot be sent to its end"));
        Ok(Some((piece?, (reader, end..part.end))))
    })
}

fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such object")
}

const NO_BUCKET: &str = "this dashboard has no bucket: set STORAGE_BUCKET as for consumers";
