//! The ways of the consumers to Redis: each has its own, so that one can be cut off while the others go on.

use std::time::{Duration, Instant};

use super::peers::proxy::Proxy;

/// How a way is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Connections end, and none is made.
    Closed,
    /// Connections stay, and nothing passes: what was sent arrives when the way is mended.
    Silent,
}

/// The proxies of one consumer.
pub(crate) struct Way {
    /// Of the servers, in their order.
    nodes: Vec<Proxy>,
    /// Of a Sentinel. It names the proxies in place of the servers.
    sentinel: Option<Proxy>,
    broken_until: Option<Instant>,
    slow_until: Option<Instant>,
}

impl Way {
    pub(crate) async fn start(nodes: &[u16], sentinel: Option<u16>) -> Self {
        let mut proxies = Vec::new();
        for &port in nodes {
            proxies.push(Proxy::start(([127, 0, 0, 1], port).into()).await);
        }
        let names = nodes
            .iter()
            .zip(&proxies)
            .map(|(&port, proxy)| (named(port), named(proxy.port)));
        let sentinel = match sentinel {
            None => None,
            Some(port) => {
                let target = ([127, 0, 0, 1], port).into();
                Some(Proxy::start_replacing(target, names.collect()).await)
            }
        };
        Self {
            nodes: proxies,
            sentinel,
            broken_until: None,
            slow_until: None,
        }
    }

    /// Where the consumer begins.
    pub(crate) fn port(&self) -> u16 {
        self.sentinel.as_ref().unwrap_or(&self.nodes[0]).port
    }

    pub(crate) fn break_for(&mut self, how: Break, time: Duration) {
        for proxy in self.proxies() {
            match how {
                Break::Closed => proxy.close(),
                Break::Silent => proxy.silence(),
            }
        }
        self.broken_until = self.broken_until.max(Some(Instant::now() + time));
    }

    pub(crate) fn slow_for(&mut self, time: Duration) {
        self.delay(Duration::from_millis(60));
        self.slow_until = self.slow_until.max(Some(Instant::now() + time));
    }

    /// Mends what was broken for long enough.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        if self.broken_until.take_if(|until| *until <= now).is_some() {
            self.proxies().for_each(Proxy::open);
        }
        if self.slow_until.take_if(|until| *until <= now).is_some() {
            self.delay(Duration::ZERO);
        }
    }

    /// Mends everything.
    pub(crate) fn calm(&mut self) {
        (self.broken_until, self.slow_until) = (None, None);
        self.proxies().for_each(Proxy::open);
        self.delay(Duration::ZERO);
    }

    fn delay(&self, delay: Duration) {
        self.proxies().for_each(|proxy| proxy.delay(delay));
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().chain(&self.sentinel)
    }
}

/// A port in an answer of a Sentinel. All that are used have five digits.
fn named(port: u16) -> Vec<u8> {
    format!("$5\r\n{port}\r\n").into_bytes()
}
