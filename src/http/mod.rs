//! What Prometheus and Kubernetes see of the process over HTTP: `/metrics`, `/livez`, `/readyz` and `/startupz`;
//! and the connections of every port of ours.

mod connections;
mod metrics;
mod observed;
mod probes;
mod server;

pub(crate) use self::connections::{Bounds, Connections, Peer, Reuse};
pub(crate) use self::observed::Observed;
pub(crate) use self::server::{HttpSettings, Server};
