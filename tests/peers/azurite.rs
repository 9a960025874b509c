//! A real server of Azure's blobs, behind a proxy with faults on demand.
//!
//! The server is azurite, which checks signatures; `scripts/need-azurite` brings it. It keeps everything in memory, and ends
//! with the [`Azurite`].

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::header::HeaderValue;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequest;
use redis_consumer::storage::Storage;
use tokio::net::{TcpListener, TcpStream};

use super::faults::{Fault, Faults};
use super::objects;

/// The account that every such server has.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// Its key, which is no secret.
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A container of the server. Anybody may read its blobs.
pub(crate) const CONTAINER: &str = "test-container";
/// Another one, of which that is not so.
pub(crate) const PRIVATE: &str = "private-container";

type Body = BoxBody<Bytes, hyper::Error>;

/// The running server and its proxy.
pub(crate) struct Azurite {
    process: Child,
    folder: tempfile::TempDir,
    /// Of the server itself.
    address: SocketAddr,
    /// Of the proxy.
    proxy: SocketAddr,
    /// What goes wrong, and what it was asked.
    pub(crate) faults: Faults,
}

impl Azurite {
    /// Starts a server with two empty containers; the proxy runs on the runtime of the caller.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = start(&folder);
        let address = address_in(&mut process);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let started = Self {
            process,
            folder,
            address,
            proxy: listener.local_addr().expect("an address"),
            faults: Faults::default(),
        };
        tokio::spawn(accept(listener, address, started.faults.clone()));
        started.create_container(CONTAINER, Some("blob")).await;
        started.create_container(PRIVATE, None).await;
        started
    }

    /// The address of the account, by way of the proxy.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.proxy)
    }

    /// The variables that make a program use this server.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("STORAGE_BUCKET", format!("az://{CONTAINER}")),
            ("AZURE_STORAGE_ENDPOINT", self.endpoint()),
            ("AZURE_STORAGE_ACCOUNT", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_KEY", KEY.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// A client of this server with these variables as well.
    pub(crate) fn client(&self, pairs: &[(&str, &str)]) -> Storage {
        objects::client(&self.environment(), pairs)
    }

    /// What anybody gets who asks for this URL of the server: status, content type and body.
    pub(crate) async fn get(&self, url: &str) -> (u16, String, Bytes) {
        let target = url.splitn(4, '/').nth(3).expect("a URL with a path");
        let request = Request::get(format!("/{target}"))
            .header("host", self.address.to_string())
            .body(no_body())
            .expect("a request");
        let answer = send(self.address, request).await.expect("an answer");
        let kind = answer.headers().get("content-type");
        let kind = kind.map(|kind| kind.to_str().expect("plain").to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body");
        (status, kind.unwrap_or_default(), body.to_bytes())
    }

    async fn create_container(&self, name: &str, public_access: Option<&str>) {
        let url = format!("http://{}/{ACCOUNT}/{name}?restype=container", self.address);
        let (mut head, body) = HttpRequest::new(Vec::new().into()).into_parts();
        head.method = "PUT".parse().expect("a method");
        head.uri = url.parse().expect("a URL");
        head.headers
            .insert("content-length", HeaderValue::from_static("0"));
        if let Some(level) = public_access {
            let level = level.parse().expect("plain");
            head.headers.insert("x-ms-blob-public-access", level);
        }
        let mut request = HttpRequest::from_parts(head, body);
        let key = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("a key"));
        AzureAuthorizer::new(&key, ACCOUNT)
            .try_authorize(&mut request)
            .expect("a signature");
        // Signed as a whole; the server itself is asked for the path alone.
        let target = request.uri().path_and_query().expect("a path").clone();
        *request.uri_mut() = target.into();
        let host = self.address.to_string().parse().expect("plain");
        request.headers_mut().insert("host", host);
        let answer = send(self.address, request.map(|_| no_body())).await;
        assert_eq!(answer.expect("an answer").status(), 201);
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program: `AZURITE` names another one.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn program() -> PathBuf {
    let brought = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/azurite/node_modules/.bin/azurite-blob"
    );
    let program = std::env::var_os("AZURITE").map_or_else(|| PathBuf::from(brought), PathBuf::from);
    assert!(
        program.exists(),
        "azurite is missing ({}): run scripts/need-azurite, which needs Node.js and npm",
        program.display()
    );
    program
}

fn start(folder: &tempfile::TempDir) -> Child {
    Command::new(program())
        .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
        .args(["--inMemoryPersistence", "--silent", "--disableTelemetry"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("azurite starts: Node.js is on the path")
}

/// Where the server says that it listens.
fn address_in(process: &mut Child) -> SocketAddr {
    let output = process.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("text");
        let (_, address) = line.split_once("successfully listens on http://")?;
        Some(address.trim().parse().expect("an address"))
    });
    // Whatever it says later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("azurite has ended before it listened")
}

async fn accept(listener: TcpListener, server: SocketAddr, faults: Faults) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, server, faults.clone()));
    }
}

async fn serve(socket: TcpStream, address: SocketAddr, faults: Faults) {
    let answer = service_fn(|request: Request<Incoming>| {
        let fault = faults.meet(&request);
        async move {
            match fault {
                None => send(address, request).await,
                Some(Fault::Status(status)) => Ok(refusal(status)),
                Some(Fault::LoseAnswer) => {
                    drop(send(address, request).await?.into_body().collect().await);
                    Err(io::Error::other("hung up on purpose"))
                }
                Some(Fault::HangUp) => Err(io::Error::other("hung up on purpose")),
                Some(Fault::Silence) => std::future::pending().await,
            }
        }
    });
    let _ = socket.set_nodelay(true);
    // An error here is a client that left, or a fault.
    let _ = server::Builder::new()
        .serve_connection(TokioIo::new(socket), answer)
        .await;
}

/// The server's answer, over a connection of its own.
async fn send<B>(server: SocketAddr, request: Request<B>) -> io::Result<Response<Body>>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let socket = TcpStream::connect(server).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(socket))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    answer
        .map(|answer| answer.map(|body| body.boxed()))
        .map_err(io::Error::other)
}

fn no_body() -> Full<Bytes> {
    Full::new(Bytes::new())
}

fn refusal(status: u16) -> Response<Body> {
    let body = "<?xml version=\"1.0\"?><Error><Code>InjectedFault</Code></Error>";
    Response::builder()
        .status(status)
        .header("x-ms-error-code", "InjectedFault")
        .body(
            Full::new(Bytes::from_static(body.as_bytes()))
                .map_err(|never| match never {})
                .boxed(),
        )
        .expect("a response")
}
