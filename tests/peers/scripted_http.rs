//! A server that answers with prepared bytes and remembers what it was asked: for peers nobody can run in a test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One prepared answer, raw bytes of HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes; then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes; then the connection stays open and nothing comes.
    ThenSilence(Vec<u8>),
}

/// The running server. Answers are used up in order; the last one is repeated.
pub(crate) struct ScriptedHttp {
    /// `http://127.0.0.1:<port>`.
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl ScriptedHttp {
    /// Starts a server on the runtime of the caller.
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(serve(listener, answers, Arc::clone(&seen)));
        Self { endpoint, seen }
    }

    /// The head of every request so far: request line and headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("no poison").clone()
    }
}

/// An answer with a status, extra header lines and a body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    Answer::Bytes((head + body).into_bytes())
}

async fn serve(listener: TcpListener, answers: Vec<Answer>, seen: Arc<Mutex<Vec<String>>>) {
    let mut open = Vec::new();
    for place in 0.. {
        let Ok((mut socket, _)) = listener.accept().await else {
            return;
        };
        let Some(head) = read_request(&mut socket).await else {
            continue;
        };
        seen.lock().expect("no poison").push(head);
        match &answers[place.min(answers.len() - 1)] {
            Answer::Bytes(bytes) => {
                // The client may have left.
                let _ = socket.write_all(bytes).await;
            }
            Answer::ThenSilence(bytes) => {
                let _ = socket.write_all(bytes).await;
                open.push(socket);
            }
        }
    }
}

/// The head of a request, its body read as well.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        read_some(socket, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    while bytes.len() < end + 4 + length.unwrap_or(0) {
        read_some(socket, &mut bytes).await?;
    }
    Some(head)
}

async fn read_some(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_buf(bytes))
        .await
        .ok()?
        .ok()?;
    (read > 0).then_some(())
}
