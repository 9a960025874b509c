//! What pages show and do, for scripts: `/api/v1`. Answers are the objects that commands print with `--json`, bodies are their
//! selectors; who may do what is as on pages.

mod batches;
mod changes;
mod events;
mod failed;
mod gate;
mod jobs;
mod lists;
mod named;
mod queues;
mod submit;
mod window;

use axum::Router;
use axum::http::HeaderMap;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};

use super::super::assets::DESCRIPTION;
use super::super::site::Shared;
use super::answer::{absent, wrong_method};

/// What is below `/api/v1`.
pub(super) fn v1(site: Shared) -> Router<Shared> {
    Router::new()
        .route("/openapi.json", get(description))
        .route("/queues", get(lists::queues))
        .route("/queues/{queue}", get(queues::queue))
        .route("/queues/{queue}/pause", post(queues::pause))
        .route("/queues/{queue}/resume", post(queues::resume))
        .route("/queues/{queue}/purge", post(queues::purge))
        .route("/queues/{queue}/untrash", post(queues::untrash))
        .route("/queues/{queue}/move", post(queues::move_jobs))
        .route("/jobs", get(jobs::jobs))
        .route("/jobs/{job}", get(jobs::job))
        .route("/jobs/{job}/result", get(jobs::result))
        .route("/jobs/{job}/cells.csv", get(jobs::cells))
        .route("/events", get(events::events))
        .route("/failed", get(failed::failed))
        .route("/submit", post(submit::submit))
        .route("/requeue", post(changes::requeue))
        .route("/cancel", post(changes::cancel))
        .route("/batches", get(lists::batches))
        .route("/batches/{batch}", get(batches::batch))
        .route("/batches/{batch}/start", post(batches::start))
        .route("/batches/{batch}/pause", post(batches::pause))
        .route("/batches/{batch}/resume", post(batches::resume))
        .route("/batches/{batch}/cancel", post(batches::cancel))
        .route("/batches/{batch}/repair", post(batches::repair))
        .route("/workers", get(lists::workers))
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(site, gate::gate))
}

async fn description(headers: HeaderMap) -> Response {
    DESCRIPTION.answer(&headers)
}
