//! Names of keys.

use super::job_key::JobKey;

/// What the name of a processing list begins with; the queue, a colon and the rest follow.
pub(crate) const PROCESSING: &str = "processing-";

/// What the name of the set of a parent's pending children begins with; the parent's key follows.
const PENDING: &str = "rc:pending:";

/// Set: the names of all queues that consumers of ours have served.
pub(crate) const QUEUES: &str = "rc:queues";
/// Sorted set: lists that were queues until they were purged, by when.
pub(crate) const TRASH: &str = "rc:trash";
/// Sorted set: batches, by when they were created.
pub(crate) const BATCHES: &str = "rc:batches";
/// Stream: what operators have changed.
pub(crate) const AUDIT: &str = "rc:audit";

/// Names of the keys that belong to one queue.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    queue: String,
}

impl Keys {
    pub(crate) fn new(queue: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
        }
    }

    /// The list of waiting jobs, which is the name of the queue.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Sorted set: claimed jobs by the end of their lease, in milliseconds.
    pub(crate) fn leases(&self) -> String {
        self.ours("lease")
    }

    /// Sorted set: jobs that come back at a time, in milliseconds.
    pub(crate) fn delayed(&self) -> String {
        self.ours("delayed")
    }

    /// Sorted set: jobs that wait for their children, by the next look at these.
    pub(crate) fn parked(&self) -> String {
        self.ours("parked")
    }

    /// Sorted set: jobs that were given up, by when.
    pub(crate) fn dead(&self) -> String {
        self.ours("dead")
    }

    /// Sorted set: jobs that have failed, by when; those that were given up among them.
    pub(crate) fn failed(&self) -> String {
        self.ours("failed")
    }

    /// String: there while nothing is to be claimed, and says who wants that and why.
    pub(crate) fn paused(&self) -> String {
        self.ours("paused")
    }

    /// Hash: what a consumer says of itself.
    pub(crate) fn worker(&self, consumer: &str) -> String {
        format!("{}:{consumer}", self.ours("worker"))
    }

    /// Hash: how many jobs have ended in each minute of an hour since 1970.
    pub(crate) fn history(&self, hour: u64) -> String {
        format!("{}:{hour}", self.ours("hist"))
    }

    /// Hash: how many jobs have ended on each day.
    pub(crate) fn days(&self) -> String {
        self.ours("days")
    }

    /// Sorted set: the last jobs that are done, by time.
    pub(crate) fn recent(&self) -> String {
        self.ours("recent")
    }

    /// List: what the queue was when it was purged, at this time in milliseconds since 1970.
    pub(crate) fn trash(&self, purged: u64) -> String {
        format!("{}:{purged}", self.ours("trash"))
    }

    /// List: what the queue was when some of its jobs were being moved to another.
    pub(crate) fn moving(&self) -> String {
        self.ours("moving")
    }

    /// Sorted set: batches that may be fed into the queue, by their priority.
    pub(crate) fn feed(&self) -> String {
        self.ours("feed")
    }

    /// Lock of the consumer that looks for items of batches that have ended unnoticed.
    pub(crate) fn items_lock(&self) -> String {
        self.ours("ilock")
    }

    /// Sorted set: consumers by their last heartbeat.
    pub(crate) fn workers(&self) -> String {
        self.ours("workers")
    }

    /// Consumers that have fallen silent with nothing left in their lists, by when that was seen.
    pub(crate) fn gone(&self) -> String {
        self.ours("gone")
    }

    /// Lock of the consumer that looks for expired leases.
    pub(crate) fn reclaim_lock(&self) -> String {
        self.ours("rlock")
    }

    /// Hash: when somebody looked for expired leases last, by the clock of Redis.
    pub(crate) fn clock(&self) -> String {
        self.ours("clock")
    }

    /// Lock of the consumer that looks through all keys.
    pub(crate) fn scan_lock(&self) -> String {
        self.ours("sweep")
    }

    /// A key that is never written, to try scripts on.
    pub(crate) fn probe(&self) -> String {
        self.ours("check")
    }

    /// A key to try commands on, which is there for a moment; each number has its own.
    pub(crate) fn trial(&self, number: u64) -> String {
        self.ours(&format!("check-{number:x}"))
    }

    /// Every key of the queue that is ours alone.
    pub(crate) fn all_ours(&self) -> [String; 14] {
        [
            self.leases(),
            self.delayed(),
            self.parked(),
            self.dead(),
            self.failed(),
            self.gone(),
            self.paused(),
            self.days(),
            self.recent(),
            self.workers(),
            self.reclaim_lock(),
            self.items_lock(),
            self.clock(),
            self.scan_lock(),
        ]
    }

    /// What the names of the queue's processing lists begin with.
    pub(crate) fn processing_prefix(&self) -> String {
        format!("{PROCESSING}{}:", self.queue)
    }

    /// The processing list of one slot of a consumer. Slot 0 has the list that a Python consumer of this name would have; the
    /// others are named so that the janitor still finds the pod, and the autoscaler counts the slot.
    pub(crate) fn processing(&self, consumer: &str, slot: usize) -> String {
        let prefix = self.processing_prefix();
        match slot {
            0 => format!("{prefix}{consumer}"),
            _ => format!("{prefix}slot{slot}:{consumer}"),
        }
    }

    fn ours(&self, what: &str) -> String {
        format!("rc:{what}:{}", self.queue)
    }
}

/// What a key of ours is for, and the queue or job that it belongs to: `lease` and `q` of `rc:lease:q`.
pub(crate) fn split_ours(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = key.strip_prefix(b"rc:")?;
    let colon = rest.iter().position(|&byte| byte == b':')?;
    Some((&rest[..colon], &rest[colon + 1..]))
}

/// The keys in a list of children.
pub(crate) fn split_keys(list: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    list.split(|&byte| byte == b',')
        .filter(|key| !key.is_empty())
        .map(<[u8]>::to_vec)
}

/// The queue of a processing list.
pub(crate) fn queue_of_processing(list: &str) -> Option<&str> {
    list.strip_prefix(PROCESSING)?.split(':').next()
}

/// The consumer of a processing list.
pub(crate) fn consumer_of_processing(list: &[u8]) -> String {
    let name = String::from_utf8_lossy(list);
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Set: the children of a job that are not final yet.
pub(crate) fn pending(parent: &JobKey) -> Vec<u8> {
    [PENDING.as_bytes(), parent.0.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_has_the_list_of_a_python_consumer() {
        let keys = Keys::new("q");
        assert_eq!(keys.processing("pod-1", 0), "processing-q:pod-1");
        assert_eq!(keys.processing("pod-1", 2), "processing-q:slot2:pod-1");
        assert_eq!(consumer_of_processing(b"processing-q:slot2:pod-1"), "pod-1");
        assert_eq!(queue_of_processing("processing-q:slot2:pod-1"), Some("q"));
        assert_eq!(split_ours(b"rc:lease:q"), Some((&b"lease"[..], &b"q"[..])));
    }
}
