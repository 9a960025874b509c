//! How often somebody may be wrong.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens from one address within the window.
const WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered.
const MOST: usize = 10_000;

/// Counts wrong tokens by address.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<IpAddr, Count>>);

struct Count {
    since: Instant,
    wrong: u32,
}

impl Throttle {
    /// How long somebody has to wait who was wrong too often; nothing if they may try.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&network(address))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(count.since))?;
        (count.wrong >= WRONG && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong token.
    pub(super) fn count(&self, address: IpAddr, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST {
            counts.retain(|_, count| !count.is_over(now));
        }
        // Whoever has so many addresses is not held up by one more that is remembered.
        if counts.len() >= MOST {
            counts.clear();
        }
        let count = counts.entry(network(address)).or_insert(Count {
            since: now,
            wrong: 0,
        });
        if count.is_over(now) {
            *count = Count {
                since: now,
                wrong: 0,
            };
        }
        count.wrong += 1;
    }
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
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

    #[test]
    fn whoever_is_wrong_too_often_waits_and_others_do_not() {
        let throttle = Throttle::default();
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
        let throttle = Throttle::default();
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
        assert!(throttle.0.lock().expect("no panic").len() <= MOST);
    }
}
