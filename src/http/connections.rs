//! Connections to the port of metrics and probes: few, short, and of one small request each.
//!
//! The port has no password, and the process needs its file descriptors for Redis and the bucket. So a client that holds on
//! to its connections takes them from nobody but other such clients: where all places are taken, the oldest connection gives
//! way, and a probe, which is answered within milliseconds, gets through.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// Connections at the same time.
const PLACES: usize = 64;

/// How long a client may take for the head of its request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection may last, until its answer is sent.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// Bytes of a head, and headers in it.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// Pause after the system has refused a connection, for instance as there are too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// The connections of one port.
pub(super) struct Connections {
    routes: Router,
    places: Arc<Semaphore>,
    /// The oldest first.
    open: VecDeque<AbortOnDropHandle<()>>,
}

impl Connections {
    pub(super) fn new(routes: Router) -> Self {
        Self {
            routes,
            places: Arc::new(Semaphore::new(PLACES)),
            open: VecDeque::new(),
        }
    }

    /// Serves until the future is dropped, and with it all connections.
    pub(super) async fn serve(mut self, listener: TcpListener) {
        let mut is_refused = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    is_refused = false;
                    self.open(stream).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_refused, true) {
                        warn!(error = %error, "cannot accept a connection for metrics and probes");
                    }
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn open(&mut self, stream: TcpStream) {
        let place = self.place().await;
        let connection = serve_one(stream, self.routes.clone(), place);
        let task = AbortOnDropHandle::new(tokio::spawn(connection));
        self.open.push_back(task);
    }

    /// A free place; that of the oldest connection if there is none.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.open.retain(|connection| !connection.is_finished());
        if self.places.available_permits() == 0 {
            self.open.pop_front();
        }
        // Until the socket of that connection is closed. No error: the semaphore never is.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

/// Answers the one request of a connection.
async fn serve_one(stream: TcpStream, routes: Router, place: Option<OwnedSemaphorePermit>) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // What is wrong with a client is not worth a line.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, served).await;
    drop(place);
}
