//! The web page: the same binary, beside the consumers. It keeps nothing: everything is in Redis and the bucket.
//!
//! Requests go through `guard` to a page or an action. Pages show what `queue::control` and `batch` tell; actions call the same
//! functions as commands.

mod actions;
mod advice;
mod api;
mod assets;
mod auth;
mod body;
mod chart;
mod command;
mod download;
mod drop;
mod elsewhere;
mod fault;
mod files;
mod form;
mod guard;
mod jobs_table;
mod keys;
mod layout;
mod live;
mod login;
mod looks;
mod pages;
mod peer;
mod pieces;
mod range;
mod routes;
mod settings;
mod shown;
mod site;
mod submitting;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::live::hub::{Hub, MOST_STREAMS};
use self::looks::Looks;
use self::settings::DashboardSettings;
use self::site::{PublicBucket, Site};
use crate::consumer::Registry;
use crate::http::{Bounds, Connections, Reuse};
use crate::logging::LogSettings;
use crate::memory::MemoryBudget;
use crate::queue::{Admin, RedisSettings};
use crate::settings::{Env, Loader, Owner, Problems};
use crate::storage::{Storage, StorageSettings};
use crate::traces::Traces;

/// How long a page waits for a Redis that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What names a bucket.
const BUCKETS: [&str; 4] = [
    "STORAGE_BUCKET",
    "AWS_S3_BUCKET",
    "GKE_BUCKET",
    "GCLOUD_STORAGE_BUCKET",
];

/// How long what was asked may take to be answered after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Actions on a million jobs take minutes, uploads of gigabytes an hour. Connections that wait are ended sooner.
const BOUNDS: Bounds = Bounds {
    // As many beside the streams, which last as long as somebody looks.
    places: 512 + MOST_STREAMS,
    reuse: Reuse::Many,
    lifetime: Duration::from_secs(3600),
};

#[derive(Args)]
pub(crate) struct DashboardArguments {
    /// Address and port, in place of `DASHBOARD_LISTEN`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Serves the page until it is told to stop.
pub(crate) async fn dashboard(
    registry: Registry,
    arguments: DashboardArguments,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (site, listen) = open(registry, &arguments, &stop)?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot serve the dashboard on {listen} (DASHBOARD_LISTEN)"))?;
    let address = listener.local_addr()?;
    info!(address = %format!("http://{address}{}/", site.base), "serving the dashboard");
    let storage = site.storage.clone();
    let routes = routes::routes(Arc::new(site));
    let mut connections = Connections::new(routes, BOUNDS);
    stop.run_until_cancelled(connections.serve(&listener)).await;
    drop(listener);
    connections.finish(GRACE).await;
    if let Some(storage) = storage {
        // Uploads that were cut off leave nothing behind.
        storage.close().await;
    }
    Ok(())
}

/// The settings that only the page has, for the reference.
pub(crate) fn dashboard_settings() -> Vec<Owner> {
    let env = Env::default();
    let mut loader = Loader::new(&env);
    DashboardSettings::load(&mut loader, None);
    loader.owners().to_vec()
}

/// Reads the environment. Logs go where they belong from then on.
fn open(
    registry: Registry,
    arguments: &DashboardArguments,
    stop: &CancellationToken,
) -> Result<(Site, SocketAddr), anyhow::Error> {
    let env = Env::from_process();
    let mut loader = Loader::new(&env);
    let server = RedisSettings::load(&mut loader);
    let settings = DashboardSettings::load(&mut loader, arguments.listen);
    let memory = MemoryBudget::load(&mut loader);
    let log = LogSettings::load(&mut loader);
    let loaded = loader.finish()?;
    log.start(&Traces::default());
    loaded
        .warnings
        .iter()
        .for_each(|warning| warn!("{warning}"));
    let bucket = bucket(&env)?;
    if bucket.is_none() {
        info!(
            "without a bucket (STORAGE_BUCKET) no pictures, cells, sizes and addresses of results are shown, and nothing is uploaded"
        );
    }
    let listen = settings.listen;
    let admin = Admin::new(&server).with_patience(PATIENCE);
    let looks = bucket.as_ref().map(|bucket| {
        let storage = bucket.storage.clone();
        Looks::new(storage, memory, settings.max_preview_pixels)
    });
    let hub = Hub::new(admin.clone(), &settings.base, stop.clone());
    let site = Site::new(
        settings,
        (admin, bucket, looks),
        (registry, hub, loaded.settings),
    )?;
    Ok((site, listen))
}

/// The bucket, if the settings name one; one that is named wrongly is a mistake like any other.
fn bucket(env: &Env) -> Result<Option<PublicBucket>, Problems> {
    let mut loader = Loader::new(env);
    let settings = StorageSettings::load(&mut loader);
    let is_named = BUCKETS.iter().any(|name| loader.is_set(name));
    let loaded = loader.finish();
    if !is_named {
        return Ok(None);
    }
    loaded?;
    match Storage::open(&settings) {
        Ok(storage) => Ok(Some(PublicBucket {
            storage,
            address: settings.public_url,
        })),
        Err(error) => {
            warn!(%error, "the bucket cannot be used");
            Ok(None)
        }
    }
}
