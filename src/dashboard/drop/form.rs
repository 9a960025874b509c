//! Files in a form, from browsers without a script.

use std::collections::BTreeSet;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use multer::{Field, Multipart};

use super::super::api::NO_BUCKET;
use super::super::auth::random_digits;
use super::super::body::{Limits, Trouble, let_finish, pieces};
use super::super::fault::Fault;
use super::super::guard::{FORM_TOKEN, check_token};
use super::super::visit::Visit;
use super::place::Place;
use crate::refusal::Misuse;
use crate::storage::{ObjectWriter, Storage};

/// Digits of the name of an upload that nobody has named.
const DIGITS: usize = 12;

/// The longest token.
const TOKEN: usize = 1 << 10;

/// Files that are being taken.
struct Taking<'v> {
    visit: &'v Visit,
    storage: &'v Storage,
    limits: &'v Limits,
    upload: String,
    /// Paths that are taken.
    paths: BTreeSet<String>,
    /// Keys of what is stored.
    stored: Vec<String>,
    is_ours: bool,
}

fn unfit(trouble: &Trouble) -> Fault {
    Fault::Unfit(trouble.status(), trouble.to_string())
}

/// `POST /upload`: takes the files, and leads to where their jobs are chosen.
pub(in super::super) async fn take_form(visit: Visit, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = Body::into_data_stream(body);
    match take(&visit, &head.headers, &mut body).await {
        Ok(upload) => {
            let path = format!("{}/submit?upload={upload}", visit.site.base);
            Redirect::to(&path).into_response()
        }
        Err(fault) => {
            let_finish(&mut body).await;
            fault.answer(&visit.site, &visit.user)
        }
    }
}

async fn take(
    visit: &Visit,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<String, Fault> {
    let site = &visit.site;
    let storage = site.storage.as_ref();
    let storage = storage
        .ok_or_else(|| Fault::Unfit(StatusCode::SERVICE_UNAVAILABLE, NO_BUCKET.to_owned()))?;
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| Misuse(NO_FORM.to_owned()))?;
    let limits = Limits::new(site.api.settings.max_upload_bytes);
    let _turn = site.api.uploads.acquire().await.ok();
    let digits = random_digits()?;
    let mut taking = Taking {
        visit,
        storage,
        limits: &limits,
        upload: format!("files-{}", &digits[..digits.len().min(DIGITS)]),
        paths: BTreeSet::new(),
        stored: Vec::new(),
        is_ours: false,
    };
    let form = Multipart::new(pieces(body, &limits), boundary);
    let taken = taking.all(form).await;
    let Taking { upload, stored, .. } = taking;
    match taken {
        Ok(()) if stored.is_empty() => Err(Misuse("no file was chosen".to_owned()).into()),
        Ok(()) => Ok(upload),
        Err(fault) => {
            storage.remove(stored).await;
            Err(fault)
        }
    }
}

impl Taking<'_> {
    async fn all(&mut self, mut form: Multipart<'_>) -> Result<(), Fault> {
        loop {
            self.limits.expect();
            let Some(mut field) = form.next_field().await.map_err(broken)? else {
                return Ok(());
            };
            if field.name() == Some(FORM_TOKEN) {
                self.check(&mut field).await?;
                continue;
            }
            let Some(name) = field.file_name().map(str::to_owned) else {
                while self
                    .limits
                    .piece(&mut field)
                    .await
                    .map_err(broken)?
                    .is_some()
                {}
                continue;
            };
            // Nothing is kept of what may come from anybody.
            if !self.is_ours {
                let (site, user) = (&self.visit.site, &self.visit.user);
                check_token(site, user, "")
                    .map_err(|(status, why)| Fault::Forbidden(status, why))?;
            }
            self.file(&name, &mut field).await?;
        }
    }

    /// Looks at the token of the form.
    async fn check(&mut self, field: &mut Field<'_>) -> Result<(), Fault> {
        let mut token = Vec::new();
        while let Some(piece) = self.limits.piece(field).await.map_err(broken)? {
            if token.len() + piece.len() <= TOKEN {
                token.extend_from_slice(&piece);
            }
        }
        let token = String::from_utf8_lossy(&token);
        let checked = check_token(&self.visit.site, &self.visit.user, &token);
        checked.map_err(|(status, why)| Fault::Forbidden(status, why))?;
        self.is_ours = true;
        Ok(())
    }

    async fn file(&mut self, name: &str, field: &mut Field<'_>) -> Result<(), Fault> {
        let mut begun: Option<(String, ObjectWriter, u64)> = None;
        self.limits.begin_file();
        while let Some(piece) = self.limits.piece(field).await.map_err(broken)? {
            if begun.is_none() && !piece.is_empty() {
                let path = self.path(name);
                let key = Place::new(&self.upload, &path)?.key(&self.visit.site);
                let writer = self.storage.object_writer(&key)?;
                begun = Some((key, writer, 0));
            }
            if let Some((_, writer, size)) = &mut begun {
                *size += piece.len() as u64;
                if *size > self.limits.most {
                    return Err(unfit(&Trouble::TooLarge(self.limits.most)));
                }
                writer.write(&piece).await?;
            }
        }
        // Where no file is chosen, one without a name and without bytes comes.
        if let Some((key, writer, _)) = begun {
            writer.finish().await?;
            self.stored.push(key);
        }
        Ok(())
    }

    /// The path of a file that is called so: that of another one gets a number.
    fn path(&mut self, name: &str) -> String {
        let name = name.replace('\\', "/");
        let name = name.trim_start_matches('/');
        let mut path = name.to_owned();
        let mut number = 2;
        while !self.paths.insert(path.clone()) {
            path = format!("{number}/{name}");
            number += 1;
        }
        path
    }
}

fn broken(error: multer::Error) -> Fault {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Trouble>() {
            Ok(trouble) => unfit(&trouble),
            Err(cause) => Misuse(format!("the form cannot be read: {cause}")).into(),
        },
        error => Misuse(format!("the form is broken: {error}")).into(),
    }
}

const NO_FORM: &str = "files have to come as multipart/form-data";
