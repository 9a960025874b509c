//! One request, and who makes it.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::auth::User;
use super::fault::Fault;
use super::form::Form;
use super::layout::{Layout, answer};
use super::site::Shared;

/// A request of somebody whom the guard has let in.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) site: Shared,
    pub(super) user: User,
    /// What follows the question mark of the address, or what the form says.
    pub(super) form: Form,
}

impl Visit {
    /// A page, or what went wrong with it.
    pub(super) fn answer(&self, page: Result<impl Template, Fault>) -> Response {
        match page {
            Ok(page) => answer(StatusCode::OK, &page),
            Err(fault) => fault.answer(&self.site, &self.user),
        }
    }

    /// Records what was changed: the command, what it was about, and what came of it.
    pub(super) async fn record(&self, verb: &str, about: &str, result: &str) -> Result<(), Fault> {
        let admin = &self.site.admin;
        Ok(admin.record(&self.user.name, verb, about, result).await?)
    }

    /// What is around a page with this title, below one of the places.
    pub(super) fn layout(&self, title: &str, place: &str) -> Layout {
        Layout::new(&self.site, &self.user, (title, place))
    }
}

/// The guard has put it there.
impl FromRequestParts<Shared> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Self::Rejection> {
        let visit = parts.extensions.get().cloned();
        // Whoever forgets the guard serves nobody.
        visit.ok_or(StatusCode::FORBIDDEN)
    }
}
