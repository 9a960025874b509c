//! What has failed, one by one or by cause.

use axum::response::Response;
use serde_json::json;

use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::window::{Window, in_time, selector};

/// `GET failed`
pub(super) async fn failed(visit: Visit) -> Result<Response, Refusal> {
    let (window, admin) = (Window::of(&visit.form)?, &visit.site.admin);
    let mut selector = selector(&visit.form, &["group"])?;
    if selector.names_jobs() {
        let text = "failures are chosen by queue, batch, cause and time; GET jobs/K shows a job";
        return Err(Refusal::mistake(text));
    }
    if visit.form.text("group") == "true" {
        let groups = in_time(selector.groups(admin)).await?;
        let groups = groups.iter().enumerate();
        let told: Vec<_> = groups.map(|(at, it)| it.to_json(at + 1)).collect();
        let (told, next) = window.part(told);
        return Ok(done(&json!({ "causes": told, "next": next })));
    }
    selector.limit = Some(window.wanted());
    let mut found = Vec::new();
    let look = selector.each_failure(admin, |queue, failure| {
        found.push(failure.to_json(queue));
        Ok(())
    });
    in_time(look).await?;
    let (told, next) = window.part(found);
    Ok(done(&json!({ "failed": told, "next": next })))
}
