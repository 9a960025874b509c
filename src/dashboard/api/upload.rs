//! Files on their way into the bucket, a piece at a time.

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use multer::Multipart;
use serde_json::json;
use tracing::info;

use super::super::auth::random_digits;
use super::super::body::{Limits, Trouble, let_finish, pieces};
use super::super::site::{Shared, Site};
use super::answer::{Refusal, done};
use crate::storage::{ObjectWriter, Storage};

/// The longest ending of a name, with its dot.
const LONGEST_ENDING: usize = 12;

/// `POST /api/upload`
pub(super) async fn upload(
    State(site): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let mut body = Body::into_data_stream(body);
    let stored = store(&site, &head.headers, &mut body).await;
    if stored.is_err() {
        let_finish(&mut body).await;
    }
    stored
}

async fn store(
    site: &Site,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Refusal> {
    let Some(storage) = &site.storage else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_BUCKET));
    };
    let limits = Limits::new(site.api.settings.max_upload_bytes);
    limits.check_announced(headers)?;
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| Refusal::mistake(NO_FORM))?;
    // No error: nobody closes it.
    let _place = site.api.uploads.acquire().await.ok();
    let form = Multipart::new(pieces(body, &limits), boundary);
    let (name, url, size) = take_file((storage, &site.api.settings.prefix), form, &limits).await?;
    info!(
        object = name,
        bytes = size,
        "a file was uploaded through the API"
    );
    Ok(done(&json!({ "uploadedName": name, "imageURL": url })))
}

/// Stores the file of a form, and gives its name, its address and its size. The object is there when the form has ended well.
async fn take_file(
    (storage, prefix): (&Storage, &str),
    mut form: Multipart<'_>,
    limits: &Limits,
) -> Result<(String, String, u64), Refusal> {
    let mut taken: Option<(String, ObjectWriter, u64)> = None;
    loop {
        limits.expect();
        let Some(mut field) = form.next_field().await? else {
            break;
        };
        if taken.is_some() || field.name() != Some("file") {
            while limits.piece(&mut field).await?.is_some() {}
            continue;
        }
        let name = name_for(prefix, field.file_name().unwrap_or_default())?;
        let (mut writer, mut size) = (storage.object_writer(&name)?, 0);
        while let Some(piece) = limits.piece(&mut field).await? {
            size += piece.len() as u64;
            if size > limits.most {
                return Err(Trouble::TooLarge(limits.most).into());
            }
            writer.write(&piece).await?;
        }
        taken = Some((name, writer, size));
    }
    match taken {
        Some((name, writer, size)) if size > 0 => Ok((name, writer.finish().await?, size)),
        Some(_) => Err(Refusal::mistake("the file is empty")),
        None => Err(Refusal::mistake("the form has no field `file`")),
    }
}

/// A name that nobody else has, with the ending of the file's own: by that consumers tell what it is.
fn name_for(prefix: &str, file: &str) -> Result<String, Refusal> {
    let digits = random_digits()
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(format!("{prefix}/{digits}{}", ending(file)))
}

/// The ending of a file's name, with its dot; nothing if it has none that is plain.
fn ending(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let ending = name.rfind('.').map_or("", |dot| &name[dot..]);
    let is_plain = ending.bytes().skip(1).all(|it| it.is_ascii_alphanumeric());
    match is_plain && (2..=LONGEST_ENDING).contains(&ending.len()) {
        true => ending,
        false => "",
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble.status(), trouble.to_string())
    }
}

impl From<multer::Error> for Refusal {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(cause) => match cause.downcast::<Trouble>() {
                Ok(trouble) => (*trouble).into(),
                Err(cause) => Self::mistake(format!("the form cannot be read: {cause}")),
            },
            error => Self::mistake(format!("the form is broken: {error}")),
        }
    }
}

pub(in super::super) const NO_BUCKET: &str =
    "this dashboard has no bucket to put files in: set STORAGE_BUCKET as for consumers";
const NO_FORM: &str = "a file has to come as multipart/form-data, in a field `file`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_endings_are_kept() {
        for (file, expected) in [
            ("/data/a b.png", ".png"),
            ("C:\\lab\\a.TIF", ".TIF"),
            ("a.ome.tif", ".tif"),
            ("a.tar/b", ""),
            ("a.", ""),
            ("", ""),
            ("a.p/../x", ""),
            ("a.p ng", ""),
            ("a.\u{e9}\u{e9}", ""),
            ("a.0123456789abcdef", ""),
        ] {
            assert_eq!(ending(file), expected, "{file}");
        }
    }
}
