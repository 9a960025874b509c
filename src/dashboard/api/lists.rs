//! What there is: job types, models, and whether anything works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::site::{Shared, Site};
use super::answer::{Refusal, done};
use crate::queue::{self, control::type_of};
use crate::storage::Storage;

/// Where models are in the bucket of a Kiosk: `models/NAME/VERSION/…`.
const MODELS: &str = "models/";

/// How long a look at them is worth something.
const FRESH: Duration = Duration::from_secs(60);

/// Pages of a listing that are looked at.
const PAGES: usize = 20;

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

/// `GET /api/models`
pub(super) async fn models(State(site): State<Shared>) -> Result<Response, Refusal> {
    let mut known = site.api.models.lock().await;
    if let Some((_, models)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(done(models));
    }
    let models = match &site.storage {
        Some(storage) => models_of(storage).await?,
        None => BTreeMap::new(),
    };
    let models = json!({ "models": models });
    let answer = done(&models);
    *known = Some((Instant::now(), models));
    Ok(answer)
}

/// Versions by names.
async fn models_of(storage: &Storage) -> Result<BTreeMap<String, BTreeSet<String>>, Refusal> {
    let (mut listing, mut found) = (storage.listing(MODELS), BTreeMap::new());
    for _ in 0..PAGES {
        let Some(page) = listing.next_page().await? else {
            break;
        };
        for object in page {
            let mut parts = object.key[MODELS.len()..].split('/');
            if let (Some(name), Some(version), Some(_)) = (parts.next(), parts.next(), parts.next())
                && version.parse::<u64>().is_ok()
            {
                let versions: &mut BTreeSet<_> = found.entry(name.to_owned()).or_default();
                versions.insert(version.to_owned());
            }
        }
    }
    Ok(found)
}

/// `GET /api/health-check`
pub(super) async fn health(State(site): State<Shared>) -> Result<Response, Refusal> {
    site.admin.survey().await?;
    let body: Value = json!({ "message": "success" });
    Ok(done(&body))
}
