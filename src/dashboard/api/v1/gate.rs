//! Who may call what: as on pages, with JSON for an answer.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::super::auth::{Role, User, Way, is_from_us};
use super::super::super::form::Form;
use super::super::super::site::{Shared, Site};
use super::super::super::visit::Visit;
use super::super::answer::Refusal;
use super::super::gate::{FOREIGN, READ_ONLY, VIEWER, is_foreign, somebody};

/// The largest body, in bytes: some thousand jobs with long names.
const BODY_BYTES: usize = 1 << 20;

/// Where requests with a cookie have what forms have in `rc_csrf`.
const TOKEN: &str = "x-csrf-token";

/// What a request says that changes something.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(pub(super) Map<String, Value>);

impl Said {
    /// As the members of a type that knows no others.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        serde_json::from_value(self.0.into())
            .map_err(|error| Refusal::mistake(format!("the body is not as it should be: {error}")))
    }
}

/// Lets those in who may.
pub(super) async fn gate(State(site): State<Shared>, request: Request, next: Next) -> Response {
    match let_in(site, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn let_in(site: Shared, request: Request) -> Result<Request, Refusal> {
    let user = somebody(&site, &request)?;
    let is_look = matches!(*request.method(), Method::GET | Method::HEAD);
    let (mut parts, body) = request.into_parts();
    if !is_look {
        check_change(&site, &user, &parts.headers)?;
        parts.extensions.insert(read(body).await?);
    }
    let query = parts.uri.query().unwrap_or_default();
    let form = Form::parse(query.as_bytes());
    parts.extensions.insert(Visit { site, user, form });
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Refuses what would change something by those who may not, or at the wish of another site.
fn check_change(site: &Site, user: &User, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |why| Err(Refusal::new(StatusCode::FORBIDDEN, why));
    if user.role != Role::Operator {
        return refused(VIEWER);
    }
    if site.is_read_only {
        return refused(READ_ONLY);
    }
    let is_ours = match user.way {
        Way::Bearer | Way::Open => !is_foreign(&user.way, headers),
        Way::Session(_) | Way::Proxy => is_from_us(headers),
    };
    if !is_ours {
        return refused(FOREIGN);
    }
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
    let has_token = token.is_some_and(|token| site.door.is_form_token(user, token));
    let needs_token = matches!(user.way, Way::Session(_) | Way::Proxy);
    match needs_token && !has_token {
        true => refused(NO_TOKEN),
        false => Ok(()),
    }
}

/// The object of a body; an empty body is one without members.
async fn read(body: Body) -> Result<Said, Refusal> {
    let body = to_bytes(body, BODY_BYTES).await.map_err(|_| {
        let text = format!("the body is longer than {BODY_BYTES} bytes, or has ended too early");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    if body.trim_ascii().is_empty() {
        return Ok(Said::default());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(Said(object)),
        Ok(_) => Err(Refusal::mistake("the body has to be a JSON object")),
        Err(error) => {
            let text = format!("the body is not JSON: {error}");
            Err(Refusal::mistake(text))
        }
    }
}

const NO_TOKEN: &str = "requests with a cookie need the header X-CSRF-Token with the value of `rc_csrf` in forms of this dashboard; \
    scripts send Authorization: Bearer …";
