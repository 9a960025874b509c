//! A real S3 server with faults on demand, in a thread of its own: it checks signatures and keeps objects as files.
//!
//! Everything but the faults is the s3s project's; it lives as long as the [`S3Server`] and needs nothing installed.

use std::fs;
use std::io;
use std::path::PathBuf;

use futures::{StreamExt as _, TryStreamExt as _, future};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use redis_consumer::storage::Storage;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpStream;

use super::faults::{Fault, Faults};
use super::listening::Listening;
use super::objects;

/// The one bucket of the server.
pub(crate) const BUCKET: &str = "test-bucket";
/// The one access key it knows.
pub(crate) const ACCESS_KEY: &str = "test-access-key";
/// The secret that belongs to it.
pub(crate) const SECRET_KEY: &str = "test-secret-key";

/// The running server; it ends when this is dropped.
pub(crate) struct S3Server {
    listening: Listening,
    root: tempfile::TempDir,
    /// What goes wrong, and what it was asked.
    pub(crate) faults: Faults,
}

impl S3Server {
    /// Starts a server with an empty bucket on a free port of the loopback interface.
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().expect("a folder for the objects");
        fs::create_dir(root.path().join(BUCKET)).expect("a folder for the bucket");
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a store"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (service, faults) = (builder.build(), Faults::default());
        let known = faults.clone();
        let serve = move |socket| serve(socket, service.clone(), known.clone());
        Self {
            listening: Listening::start(serve),
            root,
            faults,
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.listening.address)
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

    /// A client of this server with these variables as well.
    pub(crate) fn client(&self, pairs: &[(&str, &str)]) -> Storage {
        objects::client(&self.environment(), pairs)
    }

    /// The folder whose files are the objects of the bucket.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// Puts an object into the bucket, in one step for those who read it meanwhile.
    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        let path = self.folder().join(key);
        fs::create_dir_all(path.parent().expect("it lies in the bucket")).expect("a folder");
        let new = self.root.path().join("new");
        fs::write(&new, body).expect("an object");
        fs::rename(new, path).expect("an object in its place");
    }

    /// An object of the bucket.
    pub(crate) fn object(&self, key: &str) -> Vec<u8> {
        fs::read(self.folder().join(key)).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    /// Files of uploads in parts that are neither put together nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        let names = fs::read_dir(self.root.path())
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(".upload"))
            .count()
    }
}

async fn serve(socket: TcpStream, service: S3Service, faults: Faults) {
    let answer = service_fn(|request: Request<Incoming>| {
        let fault = faults.meet(&request);
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
