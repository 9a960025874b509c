//! Who may call what, and how often.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::auth::{Entrance, Role, User, Way, is_from_us};
use super::super::peer::peer;
use super::super::settings::ApiMode;
use super::super::site::{Shared, Site};
use super::answer::Refusal;

/// Lets requests in that are not too many, where there is an API.
pub(super) async fn admit(State(site): State<Shared>, request: Request, next: Next) -> Response {
    let (from, now) = (peer(&request), Instant::now());
    if site.api.settings.mode == ApiMode::Off {
        return Refusal::new(StatusCode::NOT_FOUND, OFF).into_response();
    }
    if !from.is_loopback() {
        if let Some(wait) = site.api.throttle.wait(from, now) {
            return Refusal::too_often(wait, TOO_OFTEN).into_response();
        }
        site.api.throttle.count(from, now);
    }
    next.run(request).await
}

/// Lets those in who are somebody, or everybody if the settings say so.
pub(super) async fn let_in(
    State(site): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    match enter(&site, &request) {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets those in who may change something.
pub(super) async fn operators_only(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let user = request.extensions().get::<User>();
    let refusal = match user.map(|user| user.role) {
        Some(Role::Operator) if site.is_read_only => READ_ONLY,
        Some(Role::Operator) => return next.run(request).await,
        _ => VIEWER,
    };
    Refusal::new(StatusCode::FORBIDDEN, refusal).into_response()
}

fn enter(site: &Site, request: &Request) -> Result<User, Refusal> {
    let headers = request.headers();
    let user = match site.api.settings.mode {
        ApiMode::Open => User {
            name: "anybody".to_owned(),
            role: Role::Operator,
            way: Way::Open,
        },
        _ => somebody(site, request)?,
    };
    let is_look = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_look && is_foreign(&user.way, headers) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, FOREIGN));
    }
    Ok(user)
}

/// Who makes a request, as far as pages let them in.
pub(super) fn somebody(site: &Site, request: &Request) -> Result<User, Refusal> {
    match site.door.enter(request.headers(), peer(request)) {
        Entrance::Welcome(user) => Ok(user),
        Entrance::TooOften(wait) => Err(Refusal::too_often(wait, WRONG_TOKENS)),
        Entrance::WrongHost => Err(Refusal::new(StatusCode::FORBIDDEN, WRONG_HOST)),
        Entrance::Unknown => {
            site.api.warn_of_tokens();
            Err(Refusal::new(StatusCode::UNAUTHORIZED, UNKNOWN))
        }
    }
}

/// Whether a page of others may have had a browser send this request. Programs say nothing of pages.
pub(super) fn is_foreign(way: &Way, headers: &HeaderMap) -> bool {
    match way {
        Way::Bearer => false,
        Way::Session(_) | Way::Proxy => !is_from_us(headers),
        Way::Open => {
            let is_browser =
                headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
            is_browser && !is_from_us(headers)
        }
    }
}

const OFF: &str = "the API is off (DASHBOARD_API)";
const TOO_OFTEN: &str = "more than 50 requests a second come from this address";
const WRONG_TOKENS: &str = "too many wrong tokens come from this address";
const WRONG_HOST: &str = "the API is for this machine: call it by its address or as localhost; set DASHBOARD_AUTH if others are \
    to use it";
const UNKNOWN: &str =
    "the API needs a token (Authorization: Bearer …), unless DASHBOARD_API=open opens it for all";
pub(super) const VIEWER: &str = "you may look, and not act: ask whoever set DASHBOARD_OPERATORS";
pub(super) const READ_ONLY: &str = "this dashboard is read-only (DASHBOARD_READ_ONLY)";
pub(super) const FOREIGN: &str = "this request comes from a page of another site";
