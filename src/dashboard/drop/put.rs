//! One file as the body of a request.

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::api::{NO_BUCKET, Refusal, done};
use super::super::body::{Limits, Trouble, announced, let_finish, pieces};
use super::super::site::Site;
use super::super::visit::Visit;
use super::place::Place;
use crate::storage::{Storage, hexadecimal};

/// In which a client says what it sends.
const SHA256: &str = "x-rc-sha256";

/// `PUT /upload/U/P`: the object is there when all of it has come.
pub(in super::super) async fn put(visit: Visit, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = Body::into_data_stream(body);
    let stored = store(&visit.site, (&head.uri, &head.headers), &mut body).await;
    stored.unwrap_or_else(|refusal| {
        // Whoever is refused has not sent all, and would not read why.
        tokio::spawn(async move { let_finish(&mut body).await });
        refusal.into_response()
    })
}

/// `HEAD /upload/U/P?size=…&sha256=…`: 200 if this very content is there, else 204. Browsers complain of 404.
pub(in super::super) async fn there(visit: Visit, uri: Uri) -> Response {
    let (size, sha256) = (visit.form.text("size").parse(), visit.form.text("sha256"));
    let look = async {
        let (storage, key) = place(&visit.site, &uri)?;
        match size {
            Ok(size) => Ok::<_, Refusal>(storage.has(&key, size, sha256).await?),
            Err(_) => Ok(false),
        }
    };
    match look.await {
        Ok(true) => StatusCode::OK.into_response(),
        Ok(false) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The bucket, and the key of the file in it.
fn place<'s>(site: &'s Site, uri: &Uri) -> Result<(&'s Storage, String), Refusal> {
    let storage = site.storage.as_ref();
    let storage =
        storage.ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_BUCKET))?;
    let path = uri.path().strip_prefix(&site.base);
    let rest = path.and_then(|path| path.strip_prefix("/upload/"));
    let place = Place::in_address(rest.unwrap_or_default())?;
    Ok((storage, place.key(site)))
}

async fn store(
    site: &Site,
    (uri, headers): (&Uri, &HeaderMap),
    body: &mut BodyDataStream,
) -> Result<Response, Refusal> {
    let (storage, key) = place(site, uri)?;
    let most = site.api.settings.max_upload_bytes;
    let size = announced(headers).ok_or_else(|| {
        let text = "a file has to come with its size (Content-Length)";
        Refusal::new(StatusCode::LENGTH_REQUIRED, text)
    })?;
    match size {
        0 => return Err(Refusal::mistake("the file is empty")),
        _ if size > most => return Err(Trouble::TooLarge(most).into()),
        _ => {}
    }
    let expected = digest(headers)?;
    // No error: nobody closes it.
    let _turn = site.api.uploads.acquire().await.ok();
    let mut writer = storage.object_writer(&key)?;
    if let Some(expected) = &expected {
        writer = writer.with_sha256(expected);
    }
    let (limits, mut found) = (Limits::new(most), Sha256::new());
    let mut pieces = std::pin::pin!(pieces(body, &limits));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        limits.expect();
        found.update(&piece);
        writer.write(&piece).await?;
    }
    let found = hexadecimal(&found.finalize());
    if expected.is_some_and(|expected| expected != found) {
        return Err(Refusal::mistake(OTHER_CONTENT));
    }
    writer.finish().await?;
    Ok(done(&json!({ "key": key, "bytes": size, "sha256": found })))
}

/// What the client says that the content is, if it does.
fn digest(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(given) = headers.get(SHA256) else {
        return Ok(None);
    };
    let given = given.to_str().unwrap_or_default().to_ascii_lowercase();
    let is_digest = given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_digest {
        true => Ok(Some(given)),
        false => Err(Refusal::mistake(
            "X-RC-SHA256 has to be 64 hexadecimal digits",
        )),
    }
}

const OTHER_CONTENT: &str =
    "what came is not what X-RC-SHA256 says; the file has changed while it was sent: send it again";
