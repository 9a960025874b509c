//! What Kubernetes and Prometheus see of the process: `/metrics`, `/livez`, `/readyz` and `/startupz`.
//!
//! One small HTTP server; what it says is in `gauges` and `probes`. `deletion_cost` tells Kubernetes of its own accord.

pub(crate) mod deletion_cost;
mod gauges;
mod probes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::gauges::Gauges;
use self::probes::Probes;
use crate::memory::Memory;
use crate::queue::Queue;
use crate::serving;
use crate::settings::Loader;
use crate::storage::Storage;
use crate::worker::Signs;

crate::settings! {
    /// Metrics and probes.
    struct MonitorVariables {
        /// Port for `/metrics`, `/livez`, `/readyz` and `/startupz`; 0 serves none of them.
        metrics_port: u16 = 0,
        /// Address of this machine on which they are served.
        metrics_host: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// Where metrics and probes are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonitorSettings {
    address: Option<SocketAddr>,
}

/// What is watched.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) queue: Queue,
    pub(crate) storage: Storage,
    pub(crate) serving: serving::Client,
    pub(crate) memory: Memory,
    pub(crate) signs: Signs,
    /// Cancelled when the process is to end.
    pub(crate) stop: CancellationToken,
}

/// The server.
pub(crate) struct Monitor {
    gauges: Gauges,
    probes: Probes,
}

impl MonitorSettings {
    /// Loads `METRICS_PORT` and `METRICS_HOST`.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let MonitorVariables {
            metrics_port: port,
            metrics_host: host,
        } = loader.load();
        Self {
            address: (port > 0).then_some(SocketAddr::new(host, port)),
        }
    }
}

impl Monitor {
    /// A server of these metrics, with labels for the queue and the kind of its jobs.
    pub(crate) fn new(watched: &Watched, registry: Registry) -> Self {
        Self {
            gauges: Gauges::new(watched.clone(), registry),
            probes: Probes::new(watched.clone()),
        }
    }

    /// Serves until the future is dropped, if there is an address.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub(crate) async fn serve(self, settings: MonitorSettings) -> anyhow::Result<()> {
        let Some(address) = settings.address else {
            return std::future::pending().await;
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .with_context(|| format!("cannot serve metrics on {address} (METRICS_PORT)"))?;
        info!(%address, "serving metrics and probes");
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route(
                "/livez",
                get(async |State(monitor): State<Arc<Self>>| answer(monitor.probes.live().await)),
            )
            .route(
                "/readyz",
                get(async |State(monitor): State<Arc<Self>>| answer(monitor.probes.ready().await)),
            )
            .route("/startupz", get(async || answer(Ok(()))));
        Ok(axum::serve(listener, routes.with_state(Arc::new(self))).await?)
    }
}

async fn metrics(State(monitor): State<Arc<Monitor>>) -> Response {
    let text = monitor.gauges.text().await;
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// 200, or 503 and why.
fn answer(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
