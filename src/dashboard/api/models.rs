//! `GET /api/models`: the models of the bucket; where that has none, those that the model server has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use tracing::{info, warn};

use super::super::site::{Shared, Site};
use super::answer::{Refusal, done};
use crate::consumer::{Clients, Registry};
use crate::memory::MemoryBudget;
use crate::serving::{Client, Served, ServingSettings, Surroundings};
use crate::settings::{Env, Loader};
use crate::storage::Storage;

/// Where models are in the bucket of a Kiosk: `models/NAME/VERSION/…`.
const MODELS: &str = "models/";

/// How long a look at them is worth something.
const FRESH: Duration = Duration::from_secs(60);

/// How long the model server may take to tell what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pages of a listing that are looked at.
const PAGES: usize = 20;

/// `GET /api/models`
pub(super) async fn models(State(site): State<Shared>) -> Result<Response, Refusal> {
    let mut known = site.api.models.lock().await;
    let fresh = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
    if let Some((_, models)) = fresh {
        return Ok(done(&json!({ "models": models })));
    }
    let mut models = match &site.storage {
        Some(storage) => in_bucket(storage).await?,
        None => Served::new(),
    };
    if models.is_empty() {
        // A server that is away for a moment has the same models when it is back.
        let old = known.take().map(|(_, models)| models);
        models = on_server(&site).await.or(old).unwrap_or_default();
    }
    let answer = done(&json!({ "models": models }));
    *known = Some((Instant::now(), models));
    Ok(answer)
}

/// What the bucket has.
async fn in_bucket(storage: &Storage) -> Result<Served, Refusal> {
    let (mut listing, mut found) = (storage.listing(MODELS), Served::new());
    for _ in 0..PAGES {
        let Some(page) = listing.next_page().await? else {
            break;
        };
        for object in page {
            let mut parts = object.key[MODELS.len()..].split('/');
            if let (Some(name), Some(version), Some(_)) = (parts.next(), parts.next(), parts.next())
                && version.parse::<u64>().is_ok()
            {
                let versions = found.entry(name.to_owned()).or_default();
                versions.insert(version.to_owned());
            }
        }
    }
    Ok(found)
}

/// What the model server of these settings has, or the folder of models in its place; nothing if it does not tell.
async fn on_server(site: &Site) -> Option<Served> {
    let env = Env::from_process();
    let mut loader = Loader::new(&env);
    let settings = ServingSettings::load(&mut loader);
    if let Err(problems) = loader.finish() {
        warn!(%problems, "no model server is asked for its models");
        return None;
    }
    let storage = site.storage.as_ref();
    let surroundings = Surroundings {
        cache: None,
        models: storage.map(|storage| Arc::new(storage.clone()) as _),
        memory: MemoryBudget::new(0),
    };
    let serving = Client::within(settings, surroundings);
    // TensorFlow Serving has no list: it says of a name which of its versions can be used.
    let names = storage.map(|storage| names(&site.registry, &env, storage, &serving));
    let names: Vec<_> = names.into_iter().flatten().collect();
    let told = tokio::time::timeout(PATIENCE, serving.served(&names)).await;
    let told = told.unwrap_or_else(|_| Err("no answer".to_owned()));
    let server = serving.place();
    told.inspect_err(|error| info!(server, error, "the model server does not tell its models"))
        .ok()
}

/// The names of the models that job types ask for, by the settings of this process.
fn names(registry: &Registry, env: &Env, storage: &Storage, serving: &Client) -> BTreeSet<String> {
    let clients = Clients {
        storage: storage.clone(),
        serving: serving.clone(),
        memory: MemoryBudget::new(0),
    };
    let models = registry.kinds().iter().filter_map(|kind| {
        let mut loader = Loader::new(env);
        let build = (kind.configure)(&mut loader);
        // Kinds that cannot be built with these settings are not meant by them.
        loader.finish().ok()?;
        Some(build(&clients).models())
    });
    let names = models.flatten().map(|need| need.model.name);
    names.collect()
}
