//! The API of a Kiosk's frontend, so that its clients work with this program as they are. Everything below `/api` is answered
//! with JSON, whatever it is.

mod answer;
mod gate;
mod lists;
mod predict;
pub(super) mod state;
mod upload;
mod values;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

pub(super) use self::answer::{Refusal, done};
pub(super) use self::lists::known_types;
pub(super) use self::upload::NO_BUCKET;
use super::site::Shared;

/// What is below `/api`.
pub(super) fn api(site: Shared) -> Router<Shared> {
    let changes = Router::new()
        .route("/upload", post(upload::upload))
        .route("/predict", post(predict::predict))
        .route("/redis/expire", post(values::expire))
        .route_layer(from_fn_with_state(site.clone(), gate::operators_only));
    let inside = Router::new()
        .route("/redis", post(values::values))
        .route("/status", post(values::status))
        .route("/jobtypes", get(lists::job_types))
        .route("/models", get(lists::models))
        .merge(changes)
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(site.clone(), gate::let_in));
    // An ingress that asks for the health of the program has no token.
    Router::new()
        .route("/health-check", get(lists::health))
        .method_not_allowed_fallback(wrong_method)
        .merge(inside)
        .layer(from_fn_with_state(site, gate::admit))
}

/// What is no call.
pub(super) async fn absent() -> Response {
    let text = "there is no such call; docs/dashboard.md lists those of this API";
    Refusal::new(StatusCode::NOT_FOUND, text).into_response()
}

async fn wrong_method() -> Refusal {
    let text = "this call goes by another method; docs/dashboard.md lists the calls of this API";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
}
