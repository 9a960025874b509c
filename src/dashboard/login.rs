//! Logging in and out, with a token.

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::auth::{Entrance, is_from_us};
use super::form::Form;
use super::layout::{Layout, answer};
use super::peer::{peer, too_often};
use super::site::{Shared, Site};

/// The largest form, in bytes.
const FORM_BYTES: usize = 16 << 10;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    /// Where to go after that.
    next: String,
    /// What went wrong the last time.
    mistake: &'static str,
}

/// The form of the login, or, where a proxy asks for names, that it has not.
pub(super) fn login_page(
    site: &Site,
    status: StatusCode,
    (next, mistake): (&str, &'static str),
) -> Response {
    let page = LoginPage {
        layout: Layout::for_nobody(site, "Log in"),
        next: next.to_owned(),
        mistake,
    };
    let mut response = answer(status, &page);
    if status == StatusCode::UNAUTHORIZED && site.door.has_login() {
        let scheme = header::HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// `GET /login`
pub(super) async fn show_login(State(site): State<Shared>) -> Response {
    login_page(&site, StatusCode::OK, ("", ""))
}

/// `POST /login`
pub(super) async fn log_in(State(site): State<Shared>, request: Request) -> Response {
    let from = peer(&request);
    let (parts, body) = request.into_parts();
    // Else a foreign page could log people in as somebody else.
    if !is_from_us(&parts.headers) {
        return login_page(&site, StatusCode::FORBIDDEN, ("", FOREIGN));
    }
    let Ok(body) = to_bytes(body, FORM_BYTES).await else {
        return login_page(&site, StatusCode::PAYLOAD_TOO_LARGE, ("", WRONG));
    };
    let form = Form::parse(&body);
    let next = form.text("next");
    match site.door.log_in(form.text("token").trim(), from) {
        Ok(cookie) => {
            let place = target(&site, next);
            let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, place)];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(Entrance::TooOften(wait)) => too_often(wait),
        Err(_) => login_page(&site, StatusCode::UNAUTHORIZED, (next, WRONG)),
    }
}

/// `POST /logout`
pub(super) async fn log_out(State(site): State<Shared>, headers: HeaderMap) -> Response {
    if !is_from_us(&headers) {
        return login_page(&site, StatusCode::FORBIDDEN, ("", FOREIGN));
    }
    let place = format!("{}/login", site.base);
    let headers = [
        (header::SET_COOKIE, site.door.log_out()),
        (header::LOCATION, place),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// A path of ours, or else the first page: a link to the login must not lead anywhere else.
fn target(site: &Site, next: &str) -> String {
    let below = next.strip_prefix(&site.base).unwrap_or_default();
    let is_path = below.starts_with('/') && !below.starts_with("//");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_path && is_plain {
        true => next.to_owned(),
        false => format!("{}/", site.base),
    }
}

const WRONG: &str = "That is not a token of this dashboard.";
const FOREIGN: &str = "This request does not come from a page of this dashboard.";
