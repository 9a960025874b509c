//! Peers that cost next to nothing and take as long as they are told: they stand before real ones and repeat what those answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1 as client1, http2 as client2};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::peers::listening::Listening;

/// Bytes that may be under way on a connection to a model server.
const WINDOW: u32 = 16 << 20;

/// One such peer. It ends with this value.
pub(crate) struct Replay {
    listening: Listening,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    version: Version,
    repeats: AtomicBool,
    delay_us: AtomicU64,
    known: Mutex<HashMap<Asked, Answer>>,
}

/// What requests are told apart by: results have another name each time, and answers of models depend on all that is sent.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    method: Method,
    path: String,
    body: u32,
}

#[derive(Clone)]
struct Answer {
    head: http::response::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// A request that the real peer gets, and who waits for the answer.
type Forwarded = (Request<Full<Bytes>>, oneshot::Sender<Answer>);

impl Replay {
    /// Before a server of HTTP/1.1, such as an object store.
    pub(crate) fn of_store(upstream: SocketAddr) -> Self {
        Self::start(upstream, Version::HTTP_11)
    }

    /// Before a server of HTTP/2 without TLS, such as a model server.
    pub(crate) fn of_models(upstream: SocketAddr) -> Self {
        Self::start(upstream, Version::HTTP_2)
    }

    /// Whether it repeats what it knows, or asks the real one in any case.
    pub(crate) fn repeat(&self, does: bool) {
        self.shared.repeats.store(does, Ordering::Relaxed);
    }

    /// How long it takes for an answer that it repeats.
    pub(crate) fn take(&self, delay: Duration) {
        let micros = delay.as_micros() as u64;
        self.shared.delay_us.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address
    }

    fn start(upstream: SocketAddr, version: Version) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            version,
            repeats: AtomicBool::default(),
            delay_us: AtomicU64::default(),
            known: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let serve = move |socket| serve(socket, Arc::clone(&serving));
        Self {
            listening: Listening::start(serve),
            shared,
        }
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let (upstream, forwarded) = mpsc::channel(64);
    tokio::spawn(hand_on(Arc::clone(&shared), forwarded));
    let version = shared.version;
    let service = service_fn(move |request| {
        let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
        async move { Ok::<_, hyper::Error>(shared.answer(request, &upstream).await?.into_response()) }
    });
    let socket = TokioIo::new(socket);
    // Whoever hangs up has had enough.
    let _ = if version == Version::HTTP_2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        server.serve_connection(socket, service).await
    } else {
        http1::Builder::new()
            .serve_connection(socket, service)
            .await
    };
}

/// Connects to the real peer as soon as there is something to ask.
async fn hand_on(shared: Arc<Shared>, mut forwarded: mpsc::Receiver<Forwarded>) {
    let Some(first) = forwarded.recv().await else {
        return;
    };
    let socket = TcpStream::connect(shared.upstream).await;
    let socket = TokioIo::new(socket.expect("a server"));
    if shared.version == Version::HTTP_2 {
        let mut client = client2::Builder::new(TokioExecutor::new());
        client
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let (mut sender, connection) = client.handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        carry(first, forwarded, |request| sender.send_request(request)).await;
    } else {
        let (mut sender, connection) = client1::handshake(socket).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        carry(first, forwarded, |request| sender.send_request(request)).await;
    }
}

/// Carries requests to the real peer, one after the other.
async fn carry<F>(
    first: Forwarded,
    mut forwarded: mpsc::Receiver<Forwarded>,
    mut send: impl FnMut(Request<Full<Bytes>>) -> F,
) where
    F: Future<Output = hyper::Result<Response<Incoming>>>,
{
    let mut next = Some(first);
    while let Some((request, asker)) = next {
        let response = send(request).await.expect("an answer");
        let _ = asker.send(Answer::of(response).await);
        next = forwarded.recv().await;
    }
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        upstream: &mpsc::Sender<Forwarded>,
    ) -> hyper::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let asked = Asked::of(&head, &body);
        let known = self.known.lock().expect("no panic").get(&asked).cloned();
        if let Some(answer) = known.filter(|_| self.repeats.load(Ordering::Relaxed)) {
            let delay = self.delay_us.load(Ordering::Relaxed);
            if delay > 0 {
                tokio::time::sleep(Duration::from_micros(delay)).await;
            }
            return Ok(answer);
        }
        let (asker, answer) = oneshot::channel();
        let request = Request::from_parts(head, Full::new(body));
        upstream.send((request, asker)).await.expect("a peer");
        let answer = answer.await.expect("an answer");
        let mut known = self.known.lock().expect("no panic");
        known.insert(asked, answer.clone());
        Ok(answer)
    }
}

impl Asked {
    fn of(head: &http::request::Parts, body: &[u8]) -> Self {
        let method = head.method.clone();
        if method == Method::PUT {
            return Self {
                method,
                path: String::new(),
                body: 0,
            };
        }
        Self {
            method,
            path: head.uri.to_string(),
            body: crc32fast::hash(body),
        }
    }
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let collected = body.collect().await.expect("a body");
        let trailers = collected.trailers().cloned();
        Self {
            head,
            body: collected.to_bytes(),
            trailers,
        }
    }

    fn into_response(self) -> Response<impl Body<Data = Bytes, Error = hyper::Error>> {
        let data = (!self.body.is_empty()).then(|| Frame::data(self.body));
        let frames = data.into_iter().chain(self.trailers.map(Frame::trailers));
        Response::from_parts(self.head, StreamBody::new(stream::iter(frames.map(Ok))))
    }
}
