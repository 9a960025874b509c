//! Queues, batches and workers.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::window::{Window, in_time};
use crate::queue::control::status_to_json;

/// `GET queues`
pub(super) async fn queues(visit: Visit) -> Result<Response, Refusal> {
    let (window, admin) = (Window::of(&visit.form)?, &visit.site.admin);
    let names = in_time(admin.known_queues(false)).await?;
    let (names, next) = window.part(names);
    let overviews = match names.as_slice() {
        [] => Vec::new(),
        names => in_time(admin.overviews_of(names, false)).await?,
    };
    let mut batches = in_time(admin.all_batches()).await?;
    batches.retain(|(_, state)| state.is_open());
    batches.truncate(window.limit);
    let mut told = status_to_json(&overviews, &batches);
    told["next"] = next.into();
    Ok(done(&told))
}

/// `GET batches`
pub(super) async fn batches(visit: Visit) -> Result<Response, Refusal> {
    let (window, admin) = (Window::of(&visit.form)?, &visit.site.admin);
    let count = in_time(admin.count_batches()).await?;
    let found = in_time(admin.some_batches((window.from, window.limit))).await?;
    let end = window.from + window.limit;
    let told: Vec<_> = found.iter().map(|(name, it)| it.to_json(name)).collect();
    let next = (count > end as u64).then_some(end);
    Ok(done(&json!({ "batches": told, "next": next })))
}

/// `GET workers`
pub(super) async fn workers(visit: Visit) -> Result<Response, Refusal> {
    let window = Window::of(&visit.form)?;
    let named: Vec<_> = visit.form.all("queue").map(str::to_owned).collect();
    let look = visit.site.admin.all_workers(&named, false);
    let (found, has_looked) = in_time(look).await?;
    let (found, next) = window.part(found);
    let told: Vec<Value> = found.iter().map(|worker| worker.to_json()).collect();
    Ok(done(
        &json!({ "workers": told, "next": next, "python": has_looked }),
    ))
}
