//! A TCP proxy that can be cut and slowed down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    target: SocketAddr,
    closed: AtomicBool,
    delay_ms: AtomicU64,
    /// Changes when all connections have to end.
    generation: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let generation = watch::Sender::new(0);
        let state = State {
            target,
            closed: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            generation,
        };
        let state = Arc::new(state);
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if !accepting.closed.load(Ordering::Relaxed) {
                    tokio::spawn(connect(socket, Arc::clone(&accepting)));
                }
            }
        });
        Self { port, state }
    }

    /// Ends all connections and lets none come up until it is opened again.
    pub(crate) fn close(&self) {
        self.state.closed.store(true, Ordering::Relaxed);
        self.state
            .generation
            .send_modify(|generation| *generation += 1);
    }

    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::Relaxed);
    }

    /// Every piece of data waits so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state
            .delay_ms
            .store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn connect(client: TcpStream, state: Arc<State>) {
    let mut ends = state.generation.subscribe();
    let Ok(server) = TcpStream::connect(state.target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = copy(from_client, to_server, &state) => {}
        () = copy(from_server, to_client, &state) => {}
        _ = ends.changed() => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let delay = state.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
