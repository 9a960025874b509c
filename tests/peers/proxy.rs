//! A TCP proxy that can be cut, silenced and slowed down, and counts round trips.

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
    trips: AtomicU64,
    /// While it is so, nothing passes, and no end of it is told.
    silent: watch::Sender<bool>,
    /// What answers are changed to, byte for byte.
    replaced: Vec<(Vec<u8>, Vec<u8>)>,
    /// Changes when all connections have to end.
    generation: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        Self::start_replacing(target, Vec::new()).await
    }

    /// Starts one that changes what the server answers: the first of a pair to the second, which is as long.
    pub(crate) async fn start_replacing(
        target: SocketAddr,
        replaced: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let generation = watch::Sender::new(0);
        let state = State {
            target,
            closed: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            trips: AtomicU64::new(0),
            silent: watch::Sender::new(false),
            replaced,
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

    /// Passes nothing on from now on, and hangs up on nobody. What was sent meanwhile arrives when it is opened again.
    pub(crate) fn silence(&self) {
        self.state.silent.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::Relaxed);
        self.state.silent.send_replace(false);
    }

    /// Every piece of data waits so long, and takes along what comes meanwhile.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state
            .delay_ms
            .store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// How often something was asked after an answer. With a delay, what is sent at once is one trip, however long.
    pub(crate) fn trips(&self) -> u64 {
        self.state.trips.load(Ordering::Relaxed)
    }
}

async fn connect(client: TcpStream, state: Arc<State>) {
    let mut ends = state.generation.subscribe();
    state.until_audible().await;
    let Ok(server) = TcpStream::connect(state.target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let is_answered = AtomicBool::new(true);
    let ask = || {
        let is_trip = is_answered.swap(false, Ordering::Relaxed);
        state.trips.fetch_add(is_trip.into(), Ordering::Relaxed);
    };
    let answer = || is_answered.store(true, Ordering::Relaxed);
    tokio::select! {
        () = copy((from_client, to_server), &state, &[], ask) => {}
        () = copy((from_server, to_client), &state, &state.replaced, answer) => {}
        _ = ends.changed() => {}
    }
}

async fn copy(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    state: &State,
    replaced: &[(Vec<u8>, Vec<u8>)],
    note: impl Fn(),
) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(mut read @ 1..) = from.read(&mut buffer).await {
        let delay = state.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            read += from.try_read(&mut buffer[read..]).unwrap_or(0);
        }
        state.until_audible().await;
        note();
        let data = &mut buffer[..read];
        for (old, new) in replaced {
            replace(data, old, new);
        }
        if to.write_all(data).await.is_err() {
            return;
        }
    }
}

fn replace(data: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len(), "lengths of strings stand before them");
    for at in 0..(data.len() + 1).saturating_sub(old.len()) {
        if data[at..].starts_with(old) {
            data[at..at + old.len()].copy_from_slice(new);
        }
    }
}

impl State {
    async fn until_audible(&self) {
        let mut silent = self.silent.subscribe();
        // No error: the sender is here.
        let _ = silent.wait_for(|silent| !silent).await;
    }
}
