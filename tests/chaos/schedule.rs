//! What goes wrong and when: the same for the same seed.

use std::time::Duration;

use super::servers::Topology;

/// How long a consumer may be silent in this run.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Kill(u64),
    /// SIGSTOP for longer than the lease.
    Pause(u64, Duration),
    Terminate(u64),
    RestartRedis(Duration),
    FailOver,
    /// Connections to Redis end, and none is made.
    Cut(Duration),
    /// Everything to and from Redis takes longer.
    Slow(Duration),
    Storage(u16, Duration),
    Models(Duration),
}

pub(crate) struct Next {
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

pub(crate) struct Schedule {
    random: fastrand::Rng,
    at: Duration,
    topology: Topology,
}

impl Schedule {
    pub(crate) fn new(seed: u64, topology: Topology) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            at: Duration::from_millis(500),
            topology,
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        self.at += Duration::from_millis(self.random.u64(150..500));
        let millis =
            |random: &mut fastrand::Rng, from, to| Duration::from_millis(random.u64(from..to));
        let (random, lease) = (&mut self.random, LEASE.as_millis() as u64);
        let event = match random.u32(0..1000) {
            0..600 => Event::Kill(random.u64(..)),
            600..700 => Event::Pause(random.u64(..), millis(random, lease * 5 / 4, lease * 2)),
            700..830 => Event::Terminate(random.u64(..)),
            830..860 if self.topology == Topology::Sentinel => Event::FailOver,
            830..860 => Event::RestartRedis(millis(random, 50, 1500)),
            860..890 => Event::Cut(millis(random, 10, 3000)),
            890..920 => Event::Slow(millis(random, 200, 2000)),
            920..970 => Event::Storage(
                if random.bool() { 500 } else { 503 },
                millis(random, 100, 2500),
            ),
            _ => Event::Models(millis(random, 100, 2500)),
        };
        Next { at: self.at, event }
    }
}
