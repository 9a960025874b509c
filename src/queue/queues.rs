//! The queues of one process.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claim::claim_first;
use super::client::Queue;
use super::error::Error;
use super::held::Paused;
use super::lease::Lease;
use super::settings::QueueSettings;
use super::stats::QueueStats;
use crate::metrics::LastTime;
use crate::wire::RawFields;

/// The queues of one process, in the order of preference. They share slots and connections, and each has lists and leases of its
/// own. Clones are the same queues.
#[derive(Clone)]
pub(crate) struct Queues {
    /// At least one.
    all: Vec<Queue>,
}

impl Queues {
    /// The queue of the settings, and others after it.
    pub(crate) fn new(settings: QueueSettings, others: &[String]) -> Self {
        let first = Queue::new(settings);
        let mut names = BTreeSet::from([first.name().to_owned()]);
        let others = others.iter().filter(|name| names.insert((*name).clone()));
        let others: Vec<_> = others.map(|name| first.beside(name)).collect();
        let mut all = vec![first];
        all.extend(others);
        Self { all }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.all.iter()
    }

    /// The queue that is preferred.
    pub(crate) fn first(&self) -> &Queue {
        &self.all[0]
    }

    /// Their names, separated by commas.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.iter().map(Queue::name).collect();
        names.join(",")
    }

    /// Takes the next job of the first queue that has one into a slot, as [`Queue::claim`] does.
    pub(crate) async fn claim(
        &self,
        slot: usize,
        stop: &CancellationToken,
    ) -> Result<Option<(Lease, RawFields)>, Error> {
        claim_first(&self.all, slot, stop).await
    }

    /// Renews the leases of all queues at the same time.
    pub(crate) async fn heartbeat(&self) {
        let renewed = join_all(self.iter().map(Queue::heartbeat)).await;
        for (queue, renewed) in self.iter().zip(renewed) {
            if let Err(error) = renewed {
                warn!(error = %error, queue = queue.name(), "could not renew the leases of running jobs");
            }
        }
    }

    /// Ends the jobs whose deadline has passed, as [`Queue::enforce_deadlines`] does.
    pub(crate) fn enforce_deadlines(&self, passed: Duration, paused: Paused) {
        self.iter()
            .for_each(|queue| queue.enforce_deadlines(passed, paused));
    }

    /// Whether a slot is free.
    pub(crate) fn have_free_slots(&self) -> bool {
        self.busy_slots() < self.first().slots()
    }

    /// How many jobs this process holds.
    pub(crate) fn busy_slots(&self) -> usize {
        self.iter().map(Queue::busy_slots).sum()
    }

    /// How long this process has held jobs of one queue without a break, if it holds any.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        self.iter().filter_map(Queue::busy_for).max()
    }

    /// How long ago a lease of this process ended.
    pub(crate) fn freed(&self) -> Option<Duration> {
        self.iter()
            .filter_map(|queue| queue.last_freed().age())
            .min()
    }

    /// When Redis last answered a claim: that of the queue for which it did so last.
    pub(crate) fn last_claim(&self) -> &LastTime {
        let times = self.iter().map(Queue::last_claim);
        let last = times.min_by_key(|time| time.age().unwrap_or(Duration::MAX));
        last.unwrap_or(self.first().last_claim())
    }

    /// What Redis said to the last claim of any queue, if it refused it.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.iter().find_map(Queue::refusal)
    }

    /// How many jobs wait, asked on connections of their own, as [`Queue::stats_afresh`] does.
    pub(crate) async fn waiting_afresh(&self, limit: Duration) -> Result<u64, Error> {
        let mut waiting = 0;
        for queue in self.iter() {
            waiting += queue.stats_afresh(limit).await?.waiting;
        }
        Ok(waiting)
    }

    /// How many jobs are where, in each queue.
    pub(crate) async fn stats(&self) -> Result<Vec<QueueStats>, Error> {
        let stats = join_all(self.iter().map(Queue::stats)).await;
        stats.into_iter().collect()
    }
}
