//! Who may not, and what they are told. Every request but those for assets and the login comes through here.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::auth::{Entrance, Role, User, Way, is_from_us};
use super::fault::Fault;
use super::form::Form;
use super::login::login_page;
use super::peer::{peer, too_often};
use super::site::{Shared, Site};
use super::visit::Visit;

/// The largest form, in bytes: fifty jobs with long names.
const FORM_BYTES: usize = 1 << 20;

/// What a form sends back to show that it is ours.
const FORM_TOKEN: &str = "rc_csrf";

/// What is said to browsers about each page, beside what it may do.
const HEADERS: [(header::HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds what browsers are to be told; what an answer says itself stays.
pub(super) async fn with_headers(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = headers.entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert_with(|| site.policy.clone());
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets those in who may.
pub(super) async fn guard(State(site): State<Shared>, request: Request, next: Next) -> Response {
    let user = match enter(&site, &request) {
        Ok(user) => user,
        Err(refused) => return *refused,
    };
    let is_look = is_look(&request);
    let (mut parts, body) = request.into_parts();
    let form = match is_look {
        true => Ok(Form::parse(
            parts.uri.query().unwrap_or_default().as_bytes(),
        )),
        false => check_change(&site, &user, (&parts.headers, body)).await,
    };
    let form = match form {
        Ok(form) => form,
        Err((status, why)) => return Fault::Forbidden(status, why).answer(&site, &user),
    };
    parts.extensions.insert(Visit { site, user, form });
    next.run(Request::from_parts(parts, Body::empty())).await
}

/// Whether it changes nothing.
fn is_look(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Who makes a request; else what nobody is told.
fn enter(site: &Site, request: &Request) -> Result<User, Box<Response>> {
    let (uri, headers) = (request.uri(), request.headers());
    match site.door.enter(headers, peer(request)) {
        Entrance::Welcome(user) => Ok(user),
        Entrance::TooOften(wait) => Err(Box::new(too_often(wait))),
        Entrance::WrongHost => Err(Box::new(
            (StatusCode::FORBIDDEN, WRONG_HOST).into_response(),
        )),
        Entrance::Unknown => {
            // Clients of a Kiosk ask for the root first, and take a refusal there for a server that is not one.
            let is_root = uri.path().trim_end_matches('/') == site.base;
            let status = match is_root && is_look(request) {
                true => StatusCode::OK,
                false => StatusCode::UNAUTHORIZED,
            };
            let next = uri.path_and_query().map_or("", |it| it.as_str());
            let why = match site.door.has_login() {
                true => "",
                false => NOT_THROUGH_PROXY,
            };
            Err(Box::new(login_page(site, status, (next, why))))
        }
    }
}

/// What a form says, if whoever sends it may change something and it comes from a page of ours.
async fn check_change(
    site: &Site,
    user: &User,
    (headers, body): (&HeaderMap, Body),
) -> Result<Form, (StatusCode, &'static str)> {
    if user.role != Role::Operator {
        return Err((StatusCode::FORBIDDEN, VIEWER));
    }
    if site.is_read_only {
        return Err((StatusCode::FORBIDDEN, READ_ONLY));
    }
    let has_no_cookie = user.way == Way::Bearer;
    if !has_no_cookie && !is_from_us(headers) {
        return Err((StatusCode::FORBIDDEN, FOREIGN));
    }
    let body = to_bytes(body, FORM_BYTES).await;
    let body = body.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE))?;
    let form = Form::parse(&body);
    if !has_no_cookie && !site.door.is_form_token(user, form.text(FORM_TOKEN)) {
        return Err((StatusCode::FORBIDDEN, OLD_FORM));
    }
    Ok(form)
}

const WRONG_HOST: &str = "this page is for this machine: call it by its address or as localhost; set DASHBOARD_AUTH if others are \
    to see it\n";
const NOT_THROUGH_PROXY: &str =
    "This page takes names from a proxy, and this request did not come through it.";
const VIEWER: &str = "You may look, and not act: ask whoever set DASHBOARD_OPERATORS.";
const READ_ONLY: &str = "This dashboard is read-only (DASHBOARD_READ_ONLY).";
const FOREIGN: &str = "This request does not come from a page of this dashboard.";
const TOO_LARGE: &str = "That is more than a form of this dashboard sends.";
const OLD_FORM: &str = "This form is too old: go back, load its page again, and send it once more.";
