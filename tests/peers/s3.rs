//! A real S3 server with faults on demand, in a thread of its own: it checks signatures and keeps objects as files.
//!
//! Everything but the faults is the s3s project's; it lives as long as the [`S3Server`] and needs nothing installed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, future};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The one bucket of the server.
pub(crate) const BUCKET: &str = "test-bucket";
/// The one access key it knows.
pub(crate) const ACCESS_KEY: &str = "test-access-key";
/// The secret that belongs to it.
pub(crate) const SECRET_KEY: &str = "test-secret-key";

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An error answer with this status.
    Status(u16),
    /// The connection ends without an answer.
    HangUp,
    /// The same, but what was asked for is done.
    LoseAnswer,
    /// Nothing, for ever.
    Silence,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, still encoded.
    pub(crate) target: String,
    /// Header values by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
}

/// The running server; it ends when this is dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Fault>,
    until: Option<(Instant, Fault)>,
    rule: Option<(Rule, Fault)>,
    seen: Vec<Seen>,
}

type Rule = Box<dyn FnMut(&Seen) -> bool + Send>;

impl Seen {
    /// Whether it has this method and this in its path or query.
    pub(crate) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target.contains(target)
    }
}

impl S3Server {
    /// Starts a server with an empty bucket on a free port of the loopback interface.
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().expect("a folder for the objects");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a folder for the bucket");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a non-blocking socket");
        let address = listener.local_addr().expect("an address");
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a store"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (service, state) = (builder.build(), Arc::<Mutex<State>>::default());
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, service, Arc::clone(&state));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! { _ = stopped => {}, () = accepting => {} }
            });
        });
        Self {
            address,
            root,
            state,
            _stop: stop,
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables that make a program use this server.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("STORAGE_BUCKET", format!("s3://{BUCKET}")),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The folder whose files are the objects of the bucket.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// The next `count` requests meet this fault.
    pub(crate) fn fail_next(&self, count: usize, fault: Fault) {
        self.state
            .lock()
            .expect("no poison")
            .next
            .extend(std::iter::repeat_n(fault, count));
    }

    /// Requests meet this fault until the time is over.
    pub(crate) fn fail_for(&self, time: Duration, fault: Fault) {
        self.state.lock().expect("no poison").until = Some((Instant::now() + time, fault));
    }

    /// Requests for which this holds meet this fault, until [`heal`](Self::heal).
    pub(crate) fn fail_if(&self, fault: Fault, rule: impl FnMut(&Seen) -> bool + Send + 'static) {
        self.state.lock().expect("no poison").rule = Some((Box::new(rule), fault));
    }

    /// Ends what [`fail_if`](Self::fail_if) began.
    pub(crate) fn heal(&self) {
        self.state.lock().expect("no poison").rule = None;
    }

    /// Files of uploads in parts that are neither put together nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        let names = std::fs::read_dir(self.root.path())
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(".upload"))
            .count()
    }

    /// Every request so far, those that met a fault included.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.lock().expect("no poison").seen.clone()
    }
}

impl State {
    fn meet(&mut self, request: &Request<Incoming>) -> Option<Fault> {
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let seen = Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
        };
        let lasting = self
            .until
            .filter(|(end, _)| Instant::now() < *end)
            .map(|(_, fault)| fault);
        let ruled = self
            .rule
            .as_mut()
            .and_then(|(rule, fault)| rule(&seen).then_some(*fault));
        self.seen.push(seen);
        self.next.pop_front().or(lasting).or(ruled)
    }
}

async fn accept(listener: std::net::TcpListener, service: S3Service, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).expect("a listening socket");
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, service.clone(), Arc::clone(&state)));
    }
}

async fn serve(socket: TcpStream, service: S3Service, state: Arc<Mutex<State>>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let fault = state.lock().expect("no poison").meet(&request);
        let service = service.clone();
        async move {
            match fault {
                None => {
                    let answer = service.call(request.map(s3s::Body::from)).await.map(ended);
                    answer.map_err(|error| io::Error::other(format!("{error:?}")))
                }
                Some(Fault::Status(status)) => Ok(refusal(status)),
                Some(Fault::LoseAnswer) => {
                    drop(service.call(request.map(s3s::Body::from)).await);
                    Err(io::Error::other("hung up on purpose"))
                }
                Some(Fault::HangUp) => Err(io::Error::other("hung up on purpose")),
                Some(Fault::Silence) => std::future::pending().await,
            }
        }
    });
    // Answers come in several pieces, which must not wait for each other's acknowledgement.
    let _ = socket.set_nodelay(true);
    // An error here is a client that left, or a fault.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(socket), answer)
        .await;
}

/// The same answer, which ends where it says. The store would go on to read its file after the end of a range.
fn ended(answer: Response<s3s::Body>) -> Response<s3s::Body> {
    let length = answer
        .headers()
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(mut left): Option<usize> = length else {
        return answer;
    };
    answer.map(|body| {
        let chunks = body.take_while(move |chunk| {
            let goes_on = left > 0;
            left = left.saturating_sub(chunk.as_ref().map_or(0, |chunk| chunk.len()));
            future::ready(goes_on)
        });
        s3s::Body::http_body_unsync(StreamBody::new(chunks.map_ok(Frame::data)))
    })
}

fn refusal(status: u16) -> Response<s3s::Body> {
    let body = s3s::Body::from(
        "<Error><Code>InjectedFault</Code><Message>on purpose</Message></Error>".to_owned(),
    );
    Response::builder()
        .status(status)
        .body(body)
        .expect("a response")
}
