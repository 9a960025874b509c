//! The connections to all servers behind one name.
//!
//! The name is resolved again and again, so that servers may come and go. Each call goes to the server that has least to
//! do; one that failed is ejected for a while if there are others, and gets a new connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tonic::transport::Channel;

use super::endpoint::{CONNECT_TIMEOUT, Target};

/// Time between two resolutions of the name.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);

/// Time between two looks for a server while all are away.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Time for one resolution.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server that failed is avoided.
const EJECTION: Duration = Duration::from_secs(5);

/// All servers behind the name.
pub(super) struct Pool {
    target: Target,
    deadline: Duration,
    backends: Mutex<Backends>,
    refresh_now: Notify,
    down: watch::Sender<bool>,
}

#[derive(Default)]
struct Backends {
    list: Vec<Arc<Backend>>,
    next: usize,
}

struct Backend {
    address: SocketAddr,
    channel: Channel,
    calls: AtomicUsize,
    ejected_until: Option<Instant>,
}

/// A call to one server; it counts as the server's until it is dropped.
pub(super) struct InFlight(Arc<Backend>);

impl InFlight {
    fn begin(backend: &Arc<Backend>) -> Self {
        backend.calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }

    /// The connection to the server.
    pub(super) fn channel(&self) -> Channel {
        self.0.channel.clone()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool that knows no server yet. A call takes up to `deadline`.
    pub(super) fn new(target: Target, deadline: Duration) -> Self {
        Self {
            target,
            deadline,
            backends: Mutex::default(),
            refresh_now: Notify::new(),
            down: watch::Sender::new(false),
        }
    }

    /// The server that has least to do, for an attempt that began then; waits for the first resolution of the name.
    ///
    /// # Errors
    /// Why no address is known.
    pub(super) async fn pick(&self, began: Instant) -> Result<InFlight, String> {
        if let Some(call) = self.least_busy(began) {
            return Ok(call);
        }
        self.resolve().await?;
        self.least_busy(began)
            .ok_or_else(|| format!("`{}` has no address", self.target.host))
    }

    /// Whether there is a server that may still be asked in an attempt that began then: one that was not ejected before it and
    /// has not failed within it. The time of the call would not do: servers whose connections time out come back one after
    /// the other, and the attempt would have no end.
    pub(super) fn has_healthy(&self, began: Instant) -> bool {
        let backends = self.backends();
        let mut healthy = backends.list.iter();
        healthy.any(|backend| !backend.is_ejected(began))
    }

    /// Takes the server of a failed call out of the way for a while; its next call has a connection of its own.
    pub(super) fn eject(&self, call: &InFlight) {
        let mut backends = self.backends();
        // It may have been ejected by another call, or be gone.
        let place = backends
            .list
            .iter_mut()
            .find(|backend| Arc::ptr_eq(backend, &call.0));
        if let Some(place) = place
            && let Ok(backend) = self.connect(call.0.address, Some(Instant::now() + EJECTION))
        {
            *place = backend;
        }
        self.refresh_now.notify_one();
    }

    /// Keeps the addresses up to date for as long as it is polled.
    pub(super) async fn refresh_loop(self: Arc<Self>) {
        loop {
            let interval = if self.is_down() {
                PROBE_INTERVAL
            } else {
                RESOLVE_INTERVAL
            };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.refresh_now.notified() => {}
            }
            if let Err(message) = self.resolve().await {
                tracing::debug!(message, "keeping the last known model servers");
            }
            if self.is_down() && self.probe().await {
                self.mark_up();
            }
        }
    }

    /// Whether all servers were away when last asked.
    pub(super) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Waits until a server is not known to be away.
    pub(super) async fn until_up(&self) {
        // The sender lives as long as the pool.
        let _ = self.down.subscribe().wait_for(|down| !down).await;
    }

    /// Takes note that a call has found no server.
    pub(super) fn mark_down(&self) {
        let was_up = self
            .down
            .send_if_modified(|down| !std::mem::replace(down, true));
        if was_up {
            tracing::warn!("no model server is reachable; claiming no new jobs until one is");
        }
    }

    /// Takes note that a server is there.
    pub(super) fn mark_up(&self) {
        let was_down = self.down.send_if_modified(std::mem::take);
        if was_down {
            tracing::info!("a model server is reachable again");
        }
    }

    /// Whether any server takes a connection.
    async fn probe(&self) -> bool {
        let addresses: Vec<_> = self
            .backends()
            .list
            .iter()
            .map(|backend| backend.address)
            .collect();
        for address in addresses {
            let connected =
                tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            if connected.is_ok_and(|connected| connected.is_ok()) {
                return true;
            }
        }
        false
    }

    fn least_busy(&self, began: Instant) -> Option<InFlight> {
        let mut backends = self.backends();
        let (count, next) = (backends.list.len(), backends.next);
        // Equally busy ones take turns.
        let in_turn = (0..count).map(|step| &backends.list[(next + step) % count]);
        let backend = in_turn.min_by_key(|backend| backend.load(began))?;
        let call = InFlight::begin(backend);
        backends.next = (next + 1) % count;
        Some(call)
    }

    async fn resolve(&self) -> Result<(), String> {
        let (host, port) = (self.target.bare_host(), self.target.port);
        let lookup = tokio::net::lookup_host((host, port));
        let addresses: BTreeSet<_> = match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return Err(format!("cannot resolve `{host}`: {error}")),
            Err(_) => return Err(format!("cannot resolve `{host}`: no answer")),
        };
        if addresses.is_empty() {
            return Err(format!("cannot resolve `{host}`: no address"));
        }
        self.replace(addresses)
    }

    /// Drops the servers that are gone and adds those that are new.
    pub(super) fn replace(&self, mut addresses: BTreeSet<SocketAddr>) -> Result<(), String> {
        let mut backends = self.backends();
        backends
            .list
            .retain(|backend| addresses.remove(&backend.address));
        for address in addresses {
            tracing::debug!(%address, "found a model server");
            backends.list.push(self.connect(address, None)?);
        }
        Ok(())
    }

    fn connect(
        &self,
        address: SocketAddr,
        ejected_until: Option<Instant>,
    ) -> Result<Arc<Backend>, String> {
        let endpoint = self.target.endpoint(address, self.deadline);
        let channel = endpoint.map_err(|error| error.to_string())?.connect_lazy();
        Ok(Arc::new(Backend {
            address,
            channel,
            calls: AtomicUsize::new(0),
            ejected_until,
        }))
    }

    fn backends(&self) -> MutexGuard<'_, Backends> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend {
    fn is_ejected(&self, at: Instant) -> bool {
        self.ejected_until.is_some_and(|until| until > at)
    }

    /// Smaller for servers that should be asked first.
    fn load(&self, at: Instant) -> (bool, usize) {
        (self.is_ejected(at), self.calls.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ports: &[u16]) -> Pool {
        let target = Target {
            host: "127.0.0.1".to_owned(),
            port: 8500,
            tls: None,
        };
        let pool = Pool::new(target, Duration::from_secs(30));
        pool.replace(addresses(ports)).expect("addresses are fine");
        pool
    }

    fn addresses(ports: &[u16]) -> BTreeSet<SocketAddr> {
        ports
            .iter()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)))
            .collect()
    }

    fn port(call: &InFlight) -> u16 {
        call.0.address.port()
    }

    #[tokio::test]
    async fn calls_go_round_all_servers() {
        let pool = pool(&[1, 2, 3]);
        let mut ports: Vec<_> = (0..6)
            .map(|_| port(&pool.least_busy(Instant::now()).expect("three")))
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 1, 2, 2, 3, 3]);
    }

    #[tokio::test]
    async fn a_call_goes_to_the_server_that_has_least_to_do() {
        let pool = pool(&[1, 2]);
        let (first, second) = (
            pool.least_busy(Instant::now()).expect("two"),
            pool.least_busy(Instant::now()).expect("two"),
        );
        assert_ne!(port(&first), port(&second));
        let free = port(&first);
        drop(first);
        assert_eq!(port(&pool.least_busy(Instant::now()).expect("two")), free);
    }

    #[tokio::test]
    async fn a_server_that_failed_is_avoided_while_there_are_others() {
        let pool = pool(&[1, 2]);
        let failed = pool.least_busy(Instant::now()).expect("two");
        pool.eject(&failed);
        assert!(pool.has_healthy(Instant::now()));
        assert!(
            (0..4).all(|_| port(&pool.least_busy(Instant::now()).expect("two")) != port(&failed))
        );
        pool.eject(&pool.least_busy(Instant::now()).expect("two"));
        assert!(!pool.has_healthy(Instant::now()));
        assert!(pool.least_busy(Instant::now()).is_some());
    }

    #[tokio::test]
    async fn an_attempt_asks_each_server_once_however_long_it_takes() {
        let pool = pool(&[1, 2]);
        let began = Instant::now();
        let first = pool.least_busy(began).expect("two");
        pool.eject(&first);
        // The first is let in again before the second has failed.
        for backend in &mut pool.backends().list {
            if let Some(backend) = Arc::get_mut(backend) {
                let until = backend.ejected_until.as_mut();
                until
                    .into_iter()
                    .for_each(|until| *until = began + Duration::from_nanos(1));
            }
        }
        assert!(pool.has_healthy(began));
        let second = pool.least_busy(began).expect("two");
        assert_ne!(port(&first), port(&second));
        pool.eject(&second);
        assert!(!pool.has_healthy(began));
        let later = began + Duration::from_millis(1);
        assert!(pool.has_healthy(later), "the next attempt asks again");
    }

    #[tokio::test]
    async fn servers_come_and_go_with_their_addresses() {
        let pool = pool(&[1, 2]);
        let kept = pool
            .backends()
            .list
            .iter()
            .find(|backend| backend.address.port() == 2)
            .map(Arc::clone);
        pool.replace(addresses(&[2, 3]))
            .expect("addresses are fine");
        let backends = pool.backends();
        let ports: Vec<_> = backends
            .list
            .iter()
            .map(|backend| backend.address.port())
            .collect();
        assert_eq!(ports, [2, 3]);
        assert!(
            kept.is_some_and(|kept| Arc::ptr_eq(&kept, &backends.list[0])),
            "its connection stays open"
        );
    }
}
