//! The API of a Kiosk's frontend, so that its clients work with this program as they are. Everything below `/api` is answered
//! with JSON, whatever it is.

mod answer;
mod gate;
mod lists;
mod models;
mod predict;
pub(super) mod state;
mod upload;
mod v1;
mod values;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use self::answer::wrong_method;
pub(super) use self::answer::{Refusal, absent, done};
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
        .route("/models", get(models::models))
        .merge(changes)
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(site.clone(), gate::let_in));
    // An ingress that asks for the health of the program has no token.
    Router::new()
        .route("/health-check", get(lists::health))
        .method_not_allowed_fallback(wrong_method)
        .merge(inside)
        .nest("/v1", v1::v1(site.clone()))
        .layer(from_fn_with_state(site, gate::admit))
}
