//! What is wrong with a job, by its hash and where it is.

use super::fields::{Counts, Fields};
use super::places::{Census, Fingerprints, Places};
use super::{Finding, Invariant, Remedy, lossy};
use crate::wire;

/// What is known of all jobs that are judged.
pub(super) struct Evidence<'a> {
    pub(super) places: &'a Places,
    pub(super) marks: &'a Fingerprints,
    pub(super) census: &'a Census,
}

impl Evidence<'_> {
    /// What is wrong with a job, given how many of its children are pending.
    pub(super) fn judge(&self, key: &[u8], job: &Fields, pending: u64) -> Vec<Finding> {
        let findings = [
            self.claim(key, job),
            self.lists(key, job),
            children(key, job, pending),
        ];
        findings.into_iter().flatten().collect()
    }

    /// Whether a job is kept, and claimed only by a consumer that has it.
    fn claim(&self, key: &[u8], job: &Fields) -> Option<Finding> {
        let Some(status) = &job.status else {
            let what = "has time stamps but no status (nobody's job)";
            return Some(Finding::new(Invariant::Clean, key, what, Remedy::None));
        };
        let status = lossy(status);
        if job.is_final() {
            let what = format!("is {status} and still claimed");
            let finding = Finding::new(Invariant::Final, key, what, Remedy::ClearToken);
            return job.token.is_some().then_some(finding);
        }
        let mark = self.marks.of(key);
        if !self.census.keeps(mark) {
            return Some(self.lost(key, job, &status));
        }
        let has = |owner: &Vec<u8>| self.census.has(self.marks.of(owner), mark);
        let is_owned = job.owner.as_ref().is_some_and(has);
        if job.token.is_some() && !is_owned && !self.census.is_delayed(mark) {
            let what = "is claimed by a consumer that does not have it";
            let remedy = Remedy::ClearToken;
            return Some(Finding::new(Invariant::OneOwner, key, what, remedy));
        }
        None
    }

    fn lost(&self, key: &[u8], job: &Fields, status: &str) -> Finding {
        let (what, remedy) = match self.queue_of(key, job) {
            Some(queue) => (
                format!("is {status} and in no list: it belongs to the queue `{queue}`"),
                Remedy::Queue {
                    queue,
                    updated_at: job.updated_at.clone().unwrap_or_default(),
                },
            ),
            None => (
                format!("is {status} and in no list, and nothing tells its queue"),
                Remedy::None,
            ),
        };
        Finding::new(Invariant::Kept, key, what, remedy)
    }

    /// No job is in two processing lists.
    fn lists(&self, key: &[u8], job: &Fields) -> Option<Finding> {
        let [one, other] = self.census.held_twice(self.marks.of(key))?;
        let what = format!("is in `{}` and in `{}`", lossy(one), lossy(other));
        let finding = Finding::new(Invariant::OneOwner, key, what, Remedy::None);
        (!job.is_final()).then_some(finding)
    }

    /// The queue of a job that is in none: of the consumer that claimed it, else the one whose name its key begins with.
    fn queue_of(&self, key: &[u8], job: &Fields) -> Option<String> {
        let owner = job.owner.as_deref().map(lossy);
        if let Some(claimed) = owner.as_deref().and_then(wire::queue_of_processing) {
            return Some(claimed.to_owned());
        }
        let is_its = |queue: &str| {
            let rest = key.strip_prefix(queue.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b":"))
        };
        let lists = self.places.lists.iter().map(|list| lossy(list));
        let queues = self.places.queues.iter().cloned().chain(lists);
        queues.filter(|queue| is_its(queue)).max_by_key(String::len)
    }
}

/// All children of a job are done, failed or pending.
fn children(key: &[u8], job: &Fields, pending: u64) -> Option<Finding> {
    let Counts {
        total,
        done,
        failed,
    } = job.children?;
    if job.is_final() || done + failed + pending == total {
        return None;
    }
    let what = format!("has {total} children: {done} done, {failed} failed, {pending} pending");
    Some(Finding::new(Invariant::Children, key, what, Remedy::None))
}
