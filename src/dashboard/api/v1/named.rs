//! Names in addresses.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::super::super::site::Shared;
use super::super::answer::Refusal;

/// The name of a queue or a batch, or a job's key as addresses have it.
pub(super) struct Named(pub(super) String);

impl FromRequestParts<Shared> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Shared) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, site).await;
        // Refusals of the framework are plain text.
        path.map(|Path(name)| Self(name))
            .map_err(|error| Refusal::mistake(error.body_text()))
    }
}
