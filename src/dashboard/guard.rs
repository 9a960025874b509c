//! Who may not, and what they are told. Every request but those for assets and the login comes through here.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::api::Refusal;
use super::auth::{Entrance, Role, User, Way, is_from_us};
use super::body::let_finish;
use super::fault::Fault;
use super::form::Form;
use super::login::login_page;
use super::peer::{peer, too_often};
use super::site::{Shared, Site};
use super::visit::Visit;

/// The largest form, in bytes: fifty jobs with long names.
const FORM_BYTES: usize = 1 << 20;

/// What a form sends back to show that it is ours; and a script, whose requests have no form.
pub(super) const FORM_TOKEN: &str = "rc_csrf";
const TOKEN_HEADER: &str = "x-rc-csrf";

/// Why somebody may not.
pub(super) type Refused = (StatusCode, &'static str);

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

/// The same for requests whose bodies are files: those are left to whoever takes them, and the token comes in a header.
pub(super) async fn guard_files(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let token = request.headers().get(TOKEN_HEADER);
    let token = token.and_then(|token| token.to_str().ok());
    let token = token.unwrap_or_default().to_owned();
    let check = |site: &Site, user: &User| check_token(site, user, &token);
    pass_on(site, request, check, next).await
}

/// The same for forms with files. Their first field is the token, which whoever takes them has to check.
pub(super) async fn guard_forms_with_files(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    pass_on(site, request, |_, _| Ok(()), next).await
}

/// Hands a request on with its body, if whoever sends it may, and this check of their token finds nothing. Programs are refused
/// with JSON.
async fn pass_on(
    site: Shared,
    mut request: Request,
    check: impl FnOnce(&Site, &User) -> Result<(), Refused>,
    next: Next,
) -> Response {
    let shows_pages = shows_pages(request.headers());
    let user = match shows_pages {
        true => enter(&site, &request),
        false => enter_program(&site, &request).map_err(|it| Box::new(it.into_response())),
    };
    let user = user.and_then(|user| {
        if is_look(&request) {
            return Ok(user);
        }
        let checked = check_sender(&site, &user, request.headers());
        let checked = checked.and_then(|()| check(&site, &user));
        let Err((status, why)) = checked else {
            return Ok(user);
        };
        Err(Box::new(match shows_pages {
            true => Fault::Forbidden(status, why).answer(&site, &user),
            false => Refusal::new(status, why).into_response(),
        }))
    });
    let user = match user {
        Ok(user) => user,
        Err(refused) => {
            let body = std::mem::take(request.body_mut());
            let_finish(&mut body.into_data_stream()).await;
            return *refused;
        }
    };
    let form = Form::parse(request.uri().query().unwrap_or_default().as_bytes());
    request.extensions_mut().insert(Visit { site, user, form });
    next.run(request).await
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

/// Whether a refusal is shown as a page: browsers ask for one when they send a form, and scripts and programs do not.
fn shows_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|it| it.to_str().ok());
    accepted.any(|it| it.contains("text/html"))
}

/// The same as [`enter`] for programs.
fn enter_program(site: &Site, request: &Request) -> Result<User, Refusal> {
    match site.door.enter(request.headers(), peer(request)) {
        Entrance::Welcome(user) => Ok(user),
        Entrance::TooOften(wait) => Err(Refusal::too_often(wait, WRONG_TOKENS)),
        Entrance::WrongHost => Err(Refusal::new(StatusCode::FORBIDDEN, WRONG_HOST.trim_end())),
        Entrance::Unknown => Err(Refusal::new(StatusCode::UNAUTHORIZED, UNKNOWN)),
    }
}

/// What a form says, if whoever sends it may change something and it comes from a page of ours.
async fn check_change(
    site: &Site,
    user: &User,
    (headers, body): (&HeaderMap, Body),
) -> Result<Form, Refused> {
    check_sender(site, user, headers)?;
    let body = to_bytes(body, FORM_BYTES).await;
    let body = body.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE))?;
    let form = Form::parse(&body);
    check_token(site, user, form.text(FORM_TOKEN))?;
    Ok(form)
}

/// Whether somebody may change something, and their browser shows a page of ours.
fn check_sender(site: &Site, user: &User, headers: &HeaderMap) -> Result<(), Refused> {
    if user.role != Role::Operator {
        return Err((StatusCode::FORBIDDEN, VIEWER));
    }
    if site.is_read_only {
        return Err((StatusCode::FORBIDDEN, READ_ONLY));
    }
    match user.way == Way::Bearer || is_from_us(headers) {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, FOREIGN)),
    }
}

/// Whether a token is that of a form which we have given to them. Bearers have no cookie that others could use.
pub(super) fn check_token(site: &Site, user: &User, token: &str) -> Result<(), Refused> {
    match user.way == Way::Bearer || site.door.is_form_token(user, token) {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, OLD_FORM)),
    }
}

const WRONG_HOST: &str = "this page is for this machine: call it by its address or as localhost; set DASHBOARD_AUTH if others are \
    to see it\n";
const WRONG_TOKENS: &str = "too many wrong tokens come from this address";
const UNKNOWN: &str = "nobody is logged in here, or not any more: load the page again; scripts send Authorization: Bearer …";
const NOT_THROUGH_PROXY: &str =
    "This page takes names from a proxy, and this request did not come through it.";
const VIEWER: &str = "You may look, and not act: ask whoever set DASHBOARD_OPERATORS.";
const READ_ONLY: &str = "This dashboard is read-only (DASHBOARD_READ_ONLY).";
const FOREIGN: &str = "This request does not come from a page of this dashboard.";
const TOO_LARGE: &str = "That is more than a form of this dashboard sends.";
const OLD_FORM: &str = "This form is too old: go back, load its page again, and send it once more.";
