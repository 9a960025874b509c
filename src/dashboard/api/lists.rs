//! What there is: job types, and whether anything works.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::site::{Shared, Site};
use super::answer::{Refusal, done};
use crate::queue::{self, control::type_of};

/// `GET /api/jobtypes`
pub(super) async fn job_types(State(site): State<Shared>) -> Result<Response, Refusal> {
    let types = known_types(&site).await?;
    Ok(done(&json!({ "jobTypes": types })))
}

/// What can be submitted: what the settings name, else what is worked at present.
pub(in super::super) async fn known_types(site: &Site) -> Result<Vec<String>, queue::Error> {
    let named = &site.api.settings.job_types;
    if !named.is_empty() {
        return Ok(named.clone());
    }
    let queues = site.admin.served_queues().await?;
    let types: BTreeSet<_> = queues.iter().map(|queue| type_of(queue)).collect();
    Ok(types.into_iter().map(str::to_owned).collect())
}

/// `GET /api/health-check`
pub(super) async fn health(State(site): State<Shared>) -> Result<Response, Refusal> {
    site.admin.survey().await?;
    let body: Value = json!({ "message": "success" });
    Ok(done(&body))
}
