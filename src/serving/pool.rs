//! The connections to all servers behind one name.
//!
//! The name is looked up again and again, so that servers may come and go. Each call goes to the server that has least
//! to do; one that failed gets a new connection and rests for a while if there are others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tonic::transport::{Channel, Endpoint, Uri};

use super::settings::ServingSettings;

/// Time between two look-ups of the name.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);

/// Time between two looks for a server while all are away.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Time for one look-up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// How long a server that failed is avoided.
const REST: Duration = Duration::from_secs(5);

/// Time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Time for the answer to a sign of life.
const ALIVE_LIMIT: Duration = Duration::from_secs(20);

/// Shortest silence after which a sign of life is asked for.
const MIN_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes that may be under way to us: whole answers of usual size, so that no server waits for permission to go on.
const WINDOW: u32 = 16 << 20;

/// All servers behind the name.
pub(super) struct Pool {
    settings: ServingSettings,
    peers: Mutex<Peers>,
    trouble: Notify,
    down: watch::Sender<bool>,
}

#[derive(Default)]
struct Peers {
    list: Vec<Arc<Peer>>,
    turn: usize,
}

struct Peer {
    address: SocketAddr,
    channel: Channel,
    calls: AtomicUsize,
    rests_until: Option<Instant>,
}

/// The right to make one call to one server.
pub(super) struct Lease(Arc<Peer>);

impl Lease {
    /// The connection to the server.
    pub(super) fn channel(&self) -> Channel {
        self.0.channel.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool that knows no server yet.
    pub(super) fn new(settings: ServingSettings) -> Self {
        Self {
            settings,
            peers: Mutex::default(),
            trouble: Notify::new(),
            down: watch::Sender::new(false),
        }
    }

    /// The server that has least to do; waits for the first look-up of the name.
    ///
    /// # Errors
    /// Why no address is known.
    pub(super) async fn pick(&self) -> Result<Lease, String> {
        if let Some(lease) = self.least_busy() {
            return Ok(lease);
        }
        self.look_up().await?;
        self.least_busy()
            .ok_or_else(|| format!("`{}` has no address", self.settings.host))
    }

    /// Whether there is a server that has not failed lately.
    pub(super) fn has_rested(&self) -> bool {
        let now = Instant::now();
        self.peers().list.iter().any(|peer| !peer.rests(now))
    }

    /// Takes a server that failed out of the way for a while; its next call has a connection of its own.
    pub(super) fn retire(&self, lease: &Lease) {
        let mut peers = self.peers();
        if let Some(place) = peers
            .list
            .iter_mut()
            .find(|peer| Arc::ptr_eq(peer, &lease.0))
            && let Ok(peer) = self.connect(lease.0.address, Some(Instant::now() + REST))
        {
            *place = peer;
        }
        self.trouble.notify_one();
    }

    /// Keeps the addresses up to date for as long as it is polled.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let interval = if self.is_down() {
                PROBE_INTERVAL
            } else {
                LOOKUP_INTERVAL
            };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.trouble.notified() => {}
            }
            if let Err(message) = self.look_up().await {
                tracing::debug!(message, "the last known model servers stay in use");
            }
            if self.is_down() && self.probe().await {
                self.mark_down(false);
            }
        }
    }

    /// Whether all servers were away when last asked.
    pub(super) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Waits until a server is not known to be away.
    pub(super) async fn is_up(&self) {
        // The sender lives as long as the pool.
        let _ = self.down.subscribe().wait_for(|down| !down).await;
    }

    /// Takes note of whether a call has found any server.
    pub(super) fn mark_down(&self, down: bool) {
        let changed = self
            .down
            .send_if_modified(|before| std::mem::replace(before, down) != down);
        match (changed, down) {
            (true, true) => {
                tracing::warn!("no model server is there: no new jobs are taken until one is")
            }
            (true, false) => tracing::info!("a model server is there again"),
            (false, _) => {}
        }
    }

    /// Whether any server takes a connection.
    async fn probe(&self) -> bool {
        let addresses: Vec<_> = self.peers().list.iter().map(|peer| peer.address).collect();
        for address in addresses {
            let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
            if connected.is_ok_and(|connected| connected.is_ok()) {
                return true;
            }
        }
        false
    }

    fn least_busy(&self) -> Option<Lease> {
        let mut peers = self.peers();
        let now = Instant::now();
        let (count, turn) = (peers.list.len(), peers.turn);
        let in_turn = (0..count).map(|step| &peers.list[(turn + step) % count]);
        let peer = Arc::clone(
            in_turn.min_by_key(|peer| (peer.rests(now), peer.calls.load(Ordering::Relaxed)))?,
        );
        peers.turn = (turn + 1) % count;
        peer.calls.fetch_add(1, Ordering::Relaxed);
        Some(Lease(peer))
    }

    async fn look_up(&self) -> Result<(), String> {
        let (host, port) = (bare(&self.settings.host), self.settings.port);
        let failed = |cause: String| format!("`{host}` cannot be looked up: {cause}");
        let answer = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, port)));
        let found = answer.await.map_err(|_| failed("no answer".to_owned()))?;
        let addresses: BTreeSet<_> = found.map_err(|error| failed(error.to_string()))?.collect();
        if addresses.is_empty() {
            Err(failed("no address".to_owned()))
        } else {
            self.replace(addresses)
        }
    }

    /// Drops the servers that are gone and adds those that are new.
    pub(super) fn replace(&self, mut addresses: BTreeSet<SocketAddr>) -> Result<(), String> {
        let mut peers = self.peers();
        peers.list.retain(|peer| addresses.remove(&peer.address));
        for address in addresses {
            tracing::debug!(%address, "a model server was found");
            peers.list.push(self.connect(address, None)?);
        }
        Ok(())
    }

    fn connect(
        &self,
        address: SocketAddr,
        rests_until: Option<Instant>,
    ) -> Result<Arc<Peer>, String> {
        let channel = endpoint(&self.settings, address)
            .map_err(|error| error.to_string())?
            .connect_lazy();
        Ok(Arc::new(Peer {
            address,
            channel,
            calls: AtomicUsize::new(0),
            rests_until,
        }))
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }
}

/// How to connect to one address of the server. Nothing is sent yet.
///
/// # Errors
/// If the name of the server or the certificate authority cannot be used.
pub(super) fn endpoint(
    settings: &ServingSettings,
    address: SocketAddr,
) -> Result<Endpoint, tonic::transport::Error> {
    let scheme = scheme(settings);
    // gRPC servers hang up on a client that asks for a third sign of life while they compute.
    let alive_interval = (settings.deadline / 2).max(MIN_ALIVE_INTERVAL);
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(CONNECT_LIMIT)
        .tcp_keepalive(Some(MIN_ALIVE_INTERVAL))
        .http2_keep_alive_interval(alive_interval)
        .keep_alive_timeout(ALIVE_LIMIT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    if let Ok(origin) = origin(settings) {
        endpoint = endpoint.origin(origin);
    }
    match &settings.tls {
        Some(tls) => endpoint.tls_config(tls.clone()),
        None => Ok(endpoint),
    }
}

/// The server by its name, as it is told which of its names was meant.
///
/// # Errors
/// If the name is no name.
pub(super) fn origin(
    settings: &ServingSettings,
) -> Result<Uri, tonic::codegen::http::uri::InvalidUri> {
    let (host, port) = (bare(&settings.host), settings.port);
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!("{}://{host}:{port}", scheme(settings)).parse()
}

fn scheme(settings: &ServingSettings) -> &'static str {
    if settings.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

/// The host without the brackets that an IPv6 address has in a URL.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Loader};

    fn pool(ports: &[u16]) -> Pool {
        let env: Env = [("TF_HOST", "127.0.0.1")].into_iter().collect();
        let pool = Pool::new(ServingSettings::load(&mut Loader::new(&env)));
        pool.replace(addresses(ports)).expect("addresses are fine");
        pool
    }

    fn addresses(ports: &[u16]) -> BTreeSet<SocketAddr> {
        ports
            .iter()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)))
            .collect()
    }

    fn port(lease: &Lease) -> u16 {
        lease.0.address.port()
    }

    #[tokio::test]
    async fn calls_go_round_all_servers() {
        let pool = pool(&[1, 2, 3]);
        let mut ports: Vec<_> = (0..6)
            .map(|_| port(&pool.least_busy().expect("three")))
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 1, 2, 2, 3, 3]);
    }

    #[tokio::test]
    async fn a_call_goes_to_the_server_that_has_least_to_do() {
        let pool = pool(&[1, 2]);
        let (first, second) = (
            pool.least_busy().expect("two"),
            pool.least_busy().expect("two"),
        );
        assert_ne!(port(&first), port(&second));
        let free = port(&first);
        drop(first);
        assert_eq!(port(&pool.least_busy().expect("two")), free);
    }

    #[tokio::test]
    async fn a_server_that_failed_is_avoided_while_there_are_others() {
        let pool = pool(&[1, 2]);
        let failed = pool.least_busy().expect("two");
        pool.retire(&failed);
        assert!(pool.has_rested());
        assert!((0..4).all(|_| port(&pool.least_busy().expect("two")) != port(&failed)));
        pool.retire(&pool.least_busy().expect("two"));
        assert!(!pool.has_rested());
        assert!(pool.least_busy().is_some());
    }

    #[tokio::test]
    async fn servers_come_and_go_with_their_addresses() {
        let pool = pool(&[1, 2]);
        let kept = pool
            .peers()
            .list
            .iter()
            .find(|peer| peer.address.port() == 2)
            .map(Arc::clone);
        pool.replace(addresses(&[2, 3]))
            .expect("addresses are fine");
        let peers = pool.peers();
        let ports: Vec<_> = peers.list.iter().map(|peer| peer.address.port()).collect();
        assert_eq!(ports, [2, 3]);
        assert!(
            kept.is_some_and(|kept| Arc::ptr_eq(&kept, &peers.list[0])),
            "its connection stays open"
        );
    }

    #[test]
    fn addresses_of_six_groups_get_their_brackets() {
        for host in ["::1", "[::1]"] {
            let env: Env = [("TF_HOST", host), ("TF_PORT", "9")].into_iter().collect();
            let settings = ServingSettings::load(&mut Loader::new(&env));
            assert_eq!(
                origin(&settings).expect("an address").to_string(),
                "http://[::1]:9/"
            );
        }
    }
}
