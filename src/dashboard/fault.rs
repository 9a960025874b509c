//! Pages that say what went wrong.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tracing::warn;

use super::auth::User;
use super::layout::{Layout, answer};
use super::shown;
use super::site::Site;
use crate::queue;
use crate::refusal::{Misuse, Refused};

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such thing.
    Absent(String),
    /// What was asked for cannot be.
    Misuse(String),
    /// Not now.
    Refused(String),
    /// Not by them, or not like this.
    Forbidden(StatusCode, &'static str),
    /// What was sent cannot be taken.
    Unfit(StatusCode, String),
    /// Redis, the bucket, or we.
    Failed(anyhow::Error),
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    layout: Layout,
    text: String,
    /// What to do about it.
    hint: &'static str,
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast::<Misuse>() {
            Ok(Misuse(text)) => Self::Misuse(text),
            Err(error) => match error.downcast::<Refused>() {
                Ok(Refused(text)) => Self::Refused(text),
                Err(error) => Self::Failed(error),
            },
        }
    }
}

impl Fault {
    /// As a page.
    pub(super) fn answer(self, site: &Site, user: &User) -> Response {
        let (status, title, text, hint) = match self {
            Self::Absent(text) => (StatusCode::NOT_FOUND, "Not found", text, ABSENT),
            Self::Misuse(text) => (StatusCode::BAD_REQUEST, "That cannot be", text, ""),
            Self::Refused(text) => (StatusCode::CONFLICT, "Not now", text, REFUSED),
            Self::Forbidden(status, text) => (status, "Not allowed", text.to_owned(), REFUSED),
            Self::Unfit(status, text) => (status, "That cannot be taken", text, REFUSED),
            Self::Failed(error) => failure(&error),
        };
        let page = FaultPage {
            layout: Layout::new(site, user, (title, "")),
            text: shown::message(&text),
            hint,
        };
        answer(status, &page)
    }
}

/// What Redis, the bucket or we could not do.
fn failure(error: &anyhow::Error) -> (StatusCode, &'static str, String, &'static str) {
    let text = format!("{error:#}");
    warn!(error = text, "a page cannot be made");
    let (status, title, hint) = match error.downcast_ref::<queue::Error>() {
        Some(error) if error.is_away() => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Redis does not answer",
            AWAY,
        ),
        Some(_) => (StatusCode::BAD_GATEWAY, "Redis refuses", RIGHTS),
        None => (StatusCode::INTERNAL_SERVER_ERROR, "That went wrong", FAILED),
    };
    (status, title, text, hint)
}

const ABSENT: &str = "It may have expired: what has ended is kept for a while only.";
const REFUSED: &str = "Nothing was changed.";
const AWAY: &str = "Jobs go on; this page comes back when Redis does. redis-consumer check says what is wrong with it.";
const RIGHTS: &str =
    "The user of this dashboard may lack a right; docs/security.md lists those of operators.";
const FAILED: &str =
    "What was done until then is done. The log of the dashboard has this error, too.";
