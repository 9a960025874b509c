//! Which page is where.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, get, post};

use super::fault::Fault;
use super::guard::{guard, guard_files, guard_forms_with_files, with_headers};
use super::site::Shared;
use super::visit::Visit;
use super::{actions, api, assets, drop, files, live, login, pages, submitting};

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
        .route(&at("/assets/{name}"), get(assets::asset))
        .route(&at("/files/{*key}"), get(files::file));
    let open = open
        .nest(&at("/api"), api::api(site.clone()))
        .route(&at("/api/"), any(api::absent));
    let all = guarded.merge(uploads(&at, &site)).merge(open);
    let all = all.with_state(site.clone());
    all.layer(from_fn_with_state(site, with_headers))
}

/// What changes nothing.
fn looks(at: &dyn Fn(&str) -> String) -> Router<Shared> {
    Router::new()
        .route(&at("/"), get(pages::overview))
        .route(&at("/queues"), get(pages::queues))
        .route(&at("/queues/{queue}"), get(pages::queue))
        .route(&at("/queues/{queue}/save"), get(pages::save))
        .route(&at("/failed"), get(pages::failed))
        .route(&at("/failed.jsonl"), get(pages::failures))
        .route(&at("/jobs/{job}"), get(pages::job))
        .route(&at("/jobs/{job}/preview.png"), get(pages::preview))
        .route(&at("/jobs/{job}/image.json"), get(pages::scene))
        .route(
            &at("/jobs/{job}/tile/{frame}/{level}/{tile}"),
            get(pages::tile),
        )
        .route(
            &at("/jobs/{job}/labels/{layer}/{frame}/{level}/{tile}"),
            get(pages::label_tile),
        )
        .route(
            &at("/jobs/{job}/spots/{frame}/{level}/{tile}"),
            get(pages::spot_tile),
        )
        .route(&at("/jobs/{job}/label"), get(pages::label))
        .route(&at("/jobs/{job}/cells"), get(pages::cells))
        .route(&at("/jobs/{job}/cells.csv"), get(pages::cells_csv))
        .route(&at("/batches"), get(pages::batches))
        .route(&at("/batches/{batch}"), get(pages::batch))
        .route(&at("/batches/{batch}/cells.csv"), get(pages::batch_cells))
        .route(&at("/search"), get(pages::search))
        .route(&at("/workers"), get(pages::workers))
        .route(&at("/system"), get(pages::system))
        .route(&at("/help"), get(pages::help))
        .route(
            &at("/submit"),
            get(submitting::options).post(submitting::submit),
        )
        .route(&at("/inspect"), post(submitting::inspect))
        .route(&at("/mine"), get(submitting::mine))
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
        .route(&at("/system/check"), post(actions::check))
        .route(&at("/act/requeue"), post(actions::requeue))
        .route(&at("/act/cancel"), post(actions::cancel))
        .route(&at("/act/forget"), post(actions::forget))
        .route(&at("/act/bump"), post(actions::bump))
        .route(&at("/batches/{batch}/pause"), post(actions::pause_batch))
        .route(&at("/batches/{batch}/resume"), post(actions::resume_batch))
        .route(&at("/batches/{batch}/cancel"), post(actions::cancel_batch))
        .route(&at("/batches/{batch}/start"), post(actions::start_stage))
        .route(&at("/batches/{batch}/set"), post(actions::set_limits))
        .route(&at("/batches/{batch}/repair"), post(actions::repair_batch))
}

/// What takes files.
fn uploads(at: &dyn Fn(&str) -> String, site: &Shared) -> Router<Shared> {
    let files = get(drop::channel).head(drop::there).put(drop::put);
    let files = Router::new().route(&at("/upload/{*file}"), files);
    let files = files.layer(from_fn_with_state(site.clone(), guard_files));
    let forms = Router::new().route(&at("/upload"), post(drop::take_form));
    let forms = forms.layer(from_fn_with_state(site.clone(), guard_forms_with_files));
    files.merge(forms)
}

async fn absent(visit: Visit) -> Response {
    let fault = Fault::Absent("there is no such page".to_owned());
    fault.answer(&visit.site, &visit.user)
}
