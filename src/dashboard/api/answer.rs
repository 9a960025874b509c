//! What is answered: JSON, refusals too.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::super::fault::Fault;
use crate::error_class::{Classify as _, ErrorClass};
use crate::refusal::Misuse;
use crate::{queue, storage, untrusted};

/// The largest body that is no file, in bytes.
const BODY_BYTES: usize = 1 << 20;

/// What is not done, and why.
#[derive(Debug)]
pub(in super::super) struct Refusal {
    status: StatusCode,
    body: Value,
    wait: Option<Duration>,
}

/// JSON with this status.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// JSON of what was done.
pub(in super::super) fn done(body: &Value) -> Response {
    answer(StatusCode::OK, body)
}

/// The JSON object that a request brings. What it calls itself does not matter.
pub(super) async fn object(body: Body) -> Result<Map<String, Value>, Refusal> {
    let body = to_bytes(body, BODY_BYTES).await;
    let body = body.map_err(|_| {
        let text = format!("the body is longer than {BODY_BYTES} bytes, or has ended too early");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::mistake("the body has to be a JSON object")),
        Err(error) => {
            let text = format!("the body is not JSON: {error}");
            Err(Refusal::mistake(text))
        }
    }
}

/// What is no call.
pub(in super::super) async fn absent() -> Response {
    let text = "there is no such call; docs/dashboard.md lists those of this API";
    Refusal::new(StatusCode::NOT_FOUND, text).into_response()
}

/// What is called by another method.
pub(super) async fn wrong_method() -> Refusal {
    let text = "this call goes by another method; docs/dashboard.md lists the calls of this API";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

impl Refusal {
    /// `{"error": …}`
    pub(in super::super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = untrusted::message(text.into()).to_string();
        Self::with(status, json!({ "error": text }))
    }

    /// With another body.
    pub(super) fn with(status: StatusCode, body: Value) -> Self {
        let wait = None;
        Self { status, body, wait }
    }

    /// The request is wrong.
    pub(in super::super) fn mistake(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Too often; again after a while.
    pub(in super::super) fn too_often(wait: Duration, text: &str) -> Self {
        Self {
            wait: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &self.body);
        let headers = response.headers_mut();
        if let Some(wait) = self.wait {
            // A part of a second is one to wait.
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            headers.insert(header::RETRY_AFTER, seconds);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<queue::Error> for Refusal {
    fn from(error: queue::Error) -> Self {
        warn!(%error, "a call of the API fails");
        match error.is_away() {
            true => Self::new(StatusCode::SERVICE_UNAVAILABLE, "Redis does not answer"),
            false => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
        }
    }
}

impl From<Misuse> for Refusal {
    fn from(Misuse(text): Misuse) -> Self {
        Self::mistake(text)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Fault::from(error).into()
    }
}

/// What pages say, for programs.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Absent(text) => Self::new(StatusCode::NOT_FOUND, text),
            Fault::Misuse(text) => Self::mistake(text),
            Fault::Refused(text) => Self::new(StatusCode::CONFLICT, text),
            Fault::Forbidden(status, text) => Self::new(status, text),
            Fault::Unfit(status, text) => Self::new(status, text),
            Fault::Failed(error) => Self::of_failure(error),
        }
    }
}

impl Refusal {
    /// What Redis, the bucket or we could not do.
    fn of_failure(error: anyhow::Error) -> Self {
        let error = match error.downcast::<queue::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        match error.downcast::<storage::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                let text = format!("{error:#}");
                warn!(error = text, "a call of the API fails");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

impl From<storage::Error> for Refusal {
    fn from(error: storage::Error) -> Self {
        warn!(%error, "a call of the API fails");
        let status = match error.class() {
            _ if matches!(error, storage::Error::NotFound { .. }) => StatusCode::NOT_FOUND,
            ErrorClass::InvalidInput => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}
