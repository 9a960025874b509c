//! The HTTP server: which page is at which path. What the pages say is in `metrics` and `probes`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::info;

use super::connections::{Bounds, Connections, Reuse};
use super::metrics::Metrics;
use super::observed::Observed;
use super::probes::Probes;
use crate::settings::Loader;

/// The port has no password.
const BOUNDS: Bounds = Bounds {
    places: 64,
    reuse: Reuse::One,
    lifetime: Duration::from_secs(15),
};

crate::settings! {
    /// Metrics and probes.
    struct HttpVariables {
        /// Port for `/metrics`, `/livez`, `/readyz` and `/startupz`; 0 serves none of them.
        metrics_port: u16 = 0,
        /// Address of this machine on which they are served.
        metrics_host: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// Where metrics and probes are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpSettings {
    address: Option<SocketAddr>,
}

impl HttpSettings {
    /// Loads `METRICS_PORT` and `METRICS_HOST`.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let HttpVariables {
            metrics_port: port,
            metrics_host: host,
        } = loader.load();
        Self {
            address: (port > 0).then_some(SocketAddr::new(host, port)),
        }
    }
}

/// Serves metrics and probes.
pub(crate) struct Server {
    metrics: Metrics,
    probes: Probes,
}

impl Server {
    /// A server for what is observed and for the metrics that others have registered.
    pub(crate) fn new(observed: &Observed, registry: Registry) -> Self {
        Self {
            metrics: Metrics::new(observed.clone(), registry),
            probes: Probes::new(observed.clone()),
        }
    }

    /// Serves until the future is dropped, if there is an address.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub(crate) async fn serve(self, settings: HttpSettings) -> anyhow::Result<()> {
        let Some(address) = settings.address else {
            return std::future::pending().await;
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot serve metrics on {address} (METRICS_PORT)"))?;
        info!(%address, "serving metrics and probes");
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(liveness))
            .route("/readyz", get(readiness))
            .route("/startupz", get(startup))
            .with_state(Arc::new(self));
        Connections::new(routes, BOUNDS).serve(&listener).await;
        Ok(())
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let text = server.metrics.text().await;
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn liveness(State(server): State<Arc<Server>>) -> Response {
    answer(server.probes.live().await)
}

async fn readiness(State(server): State<Arc<Server>>) -> Response {
    answer(server.probes.ready().await)
}

/// That the process has started shows in that it answers.
async fn startup() -> Response {
    answer(Ok(()))
}

/// 200, or 503 and why.
fn answer(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
