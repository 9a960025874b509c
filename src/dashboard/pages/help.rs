//! Words, and what to do about failures.

use askama::Template;
use axum::response::Response;

use super::super::advice::ADVICE;
use super::super::layout::Layout;
use super::super::visit::Visit;

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    layout: Layout,
    advice: &'static [(&'static str, &'static str)],
    version: &'static str,
}

/// `GET /help`
pub(in super::super) async fn help(visit: Visit) -> Response {
    visit.answer(Ok(HelpPage {
        layout: visit.layout("Help", "/help"),
        advice: &ADVICE,
        version: env!("CARGO_PKG_VERSION"),
    }))
}
