//! How often somebody may be wrong, or may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered.
const MOST: usize = 10_000;

/// Counts by address.
pub(in super::super) struct Throttle {
    /// So often within the window.
    limit: u32,
    window: Duration,
    counts: Mutex<HashMap<IpAddr, Count>>,
}

struct Count {
    since: Instant,
    times: u32,
}

impl Throttle {
    pub(in super::super) fn new(limit: u32, window: Duration) -> Self {
        Self {
            limit,
            window,
            counts: Mutex::default(),
        }
    }

    /// How long somebody has to wait who came too often; nothing if they may go on.
    pub(in super::super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&network(address))?;
        let age = now.saturating_duration_since(count.since);
        let left = self.window.checked_sub(age)?;
        (count.times >= self.limit && !left.is_zero()).then_some(left)
    }

    /// Counts once more.
    pub(in super::super) fn count(&self, address: IpAddr, now: Instant) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST {
            counts.retain(|_, count| !count.is_over(self.window, now));
        }
        // Whoever has so many addresses is not held up by one more that is remembered.
        if counts.len() >= MOST {
            counts.clear();
        }
        let count = counts.entry(network(address)).or_insert(Count {
            since: now,
            times: 0,
        });
        if count.is_over(self.window, now) {
            *count = Count {
                since: now,
                times: 0,
            };
        }
        count.times += 1;
    }
}

impl Count {
    fn is_over(&self, window: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= window
    }
}

/// What one household has: an address, or the half of one of version 6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: u32 = 10;
    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn whoever_is_wrong_too_often_waits_and_others_do_not() {
        let throttle = Throttle::new(WRONG, WINDOW);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
        let now = Instant::now();
        for _ in 0..WRONG {
            assert_eq!(throttle.wait(one, now), None);
            throttle.count(one, now);
        }
        assert_eq!(throttle.wait(one, now), Some(WINDOW));
        assert_eq!(throttle.wait(other, now), None);
        assert_eq!(throttle.wait(one, now + WINDOW), None);
        throttle.count(one, now + WINDOW);
        assert_eq!(throttle.wait(one, now + WINDOW), None, "a new window");
    }

    #[test]
    fn addresses_of_one_network_count_together_and_are_forgotten_when_there_are_too_many() {
        let throttle = Throttle::new(WRONG, WINDOW);
        let now = Instant::now();
        for host in 0..u128::from(WRONG) {
            throttle.count(Ipv6Addr::from((0x2001 << 112) | host).into(), now);
        }
        assert!(
            throttle
                .wait(Ipv6Addr::from((0x2001 << 112) | 99).into(), now)
                .is_some()
        );
        for network in 0..MOST as u128 + 1 {
            throttle.count(Ipv6Addr::from(network << 64).into(), now);
        }
        assert!(throttle.counts.lock().expect("no panic").len() <= MOST);
    }
}
