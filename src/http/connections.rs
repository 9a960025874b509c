//! Connections to a port of ours: few, with small heads, and none that lasts.
//!
//! The process needs its file descriptors for Redis and the bucket. So a client that holds on to its connections takes them
//! from nobody but other such clients: where all places are taken, the oldest connection gives way, and a probe, which is
//! answered within milliseconds, gets through.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// How long a client may take for the head of its request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a head, and headers in it.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// Pause after the system has refused a connection, for instance as there are too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// How many connections there are, and how long they last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at the same time.
    pub(crate) places: usize,
    /// Whether a connection may bring more than one request.
    pub(crate) reuse: Reuse,
    /// How long a connection may last, until its last answer is sent.
    pub(crate) lifetime: Duration,
}

/// How many requests a connection brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    One,
    Many,
}

/// The other end of a connection, among the extensions of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The connections of one port.
pub(crate) struct Connections {
    routes: Router,
    bounds: Bounds,
    places: Arc<Semaphore>,
    /// Ends connections as soon as they have answered.
    closing: CancellationToken,
    /// The oldest first.
    open: VecDeque<AbortOnDropHandle<()>>,
}

impl Connections {
    pub(crate) fn new(routes: Router, bounds: Bounds) -> Self {
        Self {
            routes,
            bounds,
            places: Arc::new(Semaphore::new(bounds.places)),
            closing: CancellationToken::new(),
            open: VecDeque::new(),
        }
    }

    /// Serves until the future is dropped, and with it all connections.
    pub(crate) async fn serve(&mut self, listener: &TcpListener) {
        let mut is_refused = false;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    is_refused = false;
                    self.open(stream, Peer(peer.ip())).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_refused, true) {
                        warn!(error = %error, "cannot accept a connection");
                    }
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    /// Waits until what was asked is answered, or so long.
    pub(crate) async fn finish(self, grace: Duration) {
        self.closing.cancel();
        let answered = futures::future::join_all(self.open);
        // Whoever is not answered by then is cut off.
        let _ = tokio::time::timeout(grace, answered).await;
    }

    async fn open(&mut self, stream: TcpStream, peer: Peer) {
        let place = self.place().await;
        let connection = Connection {
            routes: TowerToHyperService::new(self.routes.clone()),
            bounds: self.bounds,
            closing: self.closing.clone(),
            peer,
        };
        let task = tokio::spawn(connection.serve(stream, place));
        self.open.push_back(AbortOnDropHandle::new(task));
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

/// One connection.
struct Connection {
    routes: TowerToHyperService<Router>,
    bounds: Bounds,
    closing: CancellationToken,
    peer: Peer,
}

impl Connection {
    /// Answers its requests.
    async fn serve(self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let (routes, peer) = (self.routes, self.peer);
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            routes.call(request)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .keep_alive(self.bounds.reuse == Reuse::Many)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut served = std::pin::pin!(served);
        let until_closing = async {
            tokio::select! {
                // What is wrong with a client is not worth a line.
                _ = &mut served => return,
                () = self.closing.cancelled() => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        };
        let _ = tokio::time::timeout(self.bounds.lifetime, until_closing).await;
        drop(place);
    }
}
