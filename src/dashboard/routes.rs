//! Which page is where.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};

use super::fault::Fault;
use super::guard::{guard, with_headers};
use super::site::Shared;
use super::visit::Visit;
use super::{actions, api, assets, live, login, pages};

/// All of them, below the path that the settings give.
pub(super) fn routes(site: Shared) -> Router {
    let at = |path: &str| format!("{}{path}", site.base);
    let mut looks = looks(&at);
    if !site.base.is_empty() {
        looks = looks.route(&site.base, get(pages::overview));
    }
    let guarded = looks.merge(changes(&at)).fallback(absent);
    let guarded = guarded.layer(from_fn_with_state(site.clone(), guard));
    let open = Router::new()
        .route(&at("/login"), get(login::show_login).post(login::log_in))
        .route(&at("/logout"), post(login::log_out))
        .route(&at("/assets/{name}"), get(assets::asset));
    let open = open
        .nest(&at("/api"), api::api(site.clone()))
        .route(&at("/api/"), any(api::absent));
    let all = guarded.merge(open).with_state(site.clone());
    all.layer(from_fn(with_headers))
}

/// What changes nothing.
fn looks(at: &dyn Fn(&str) -> String) -> Router<Shared> {
    Router::new()
        .route(&at("/"), get(pages::overview))
        .route(&at("/queues"), get(pages::queues))
        .route(&at("/queues/{queue}"), get(pages::queue))
        .route(&at("/failed"), get(pages::failed))
        .route(&at("/jobs/{job}"), get(pages::job))
        .route(&at("/jobs/{job}/preview.png"), get(pages::preview))
        .route(&at("/jobs/{job}/cells"), get(pages::cells))
        .route(&at("/jobs/{job}/cells.csv"), get(pages::cells_csv))
        .route(&at("/batches"), get(pages::batches))
        .route(&at("/batches/{batch}"), get(pages::batch))
        .route(&at("/search"), get(pages::search))
        .route(&at("/workers"), get(pages::workers))
        .route(&at("/system"), get(pages::system))
        .route(&at("/help"), get(pages::help))
        .route(&at("/events"), get(live::stream::events))
}

/// What asks, and then changes something.
fn changes(at: &dyn Fn(&str) -> String) -> Router<Shared> {
    Router::new()
        .route(&at("/queues/{queue}/pause"), post(actions::pause))
        .route(&at("/queues/{queue}/resume"), post(actions::resume))
        .route(&at("/queues/{queue}/purge"), post(actions::purge))
        .route(&at("/queues/{queue}/untrash"), post(actions::untrash))
        .route(&at("/queues/{queue}/move"), post(actions::move_jobs))
        .route(&at("/act/requeue"), post(actions::requeue))
        .route(&at("/act/cancel"), post(actions::cancel))
        .route(&at("/act/forget"), post(actions::forget))
        .route(&at("/act/bump"), post(actions::bump))
        .route(&at("/batches/{batch}/pause"), post(actions::pause_batch))
        .route(&at("/batches/{batch}/resume"), post(actions::resume_batch))
        .route(&at("/batches/{batch}/cancel"), post(actions::cancel_batch))
        .route(&at("/batches/{batch}/start"), post(actions::start_stage))
}

async fn absent(visit: Visit) -> Response {
    let fault = Fault::Absent("there is no such page".to_owned());
    fault.answer(&visit.site, &visit.user)
}
