//! Whether the invariants of the queue hold over a whole Redis, and what to do where they do not.
//!
//! Nothing is locked: jobs move while they are looked at. So a finding counts only if a second look, a moment later, finds
//! it again and the job untouched, and every repair asks once more, in the same step in which it repairs.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script};

use super::admin::Admin;
use super::error::Error;
use crate::wire::{self, JobKey, Keys, PROCESSING, field};

static REPAIR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/repair.lua")));

/// Time between the two looks.
const PAUSE: Duration = Duration::from_millis(1500);
/// A lease that expired this long ago has been overlooked.
const OVERLOOKED: Duration = Duration::from_secs(60);
/// A key that is never there.
const NOWHERE: &[u8] = b"rc:nowhere";

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// A job that is not final is in a queue, in a processing list, delayed or parked.
    Kept,
    /// Who may write to a job also has it in a list.
    OneOwner,
    /// A job that is final is not claimed.
    Final,
    /// Done, failed and pending children are all children.
    Children,
    /// A lease that has expired is reclaimed.
    Leases,
    /// What is over is in no list and no set.
    Clean,
}

impl Invariant {
    /// Its number in the documents.
    pub fn number(self) -> &'static str {
        match self {
            Self::Kept => "I1",
            Self::OneOwner => "I2",
            Self::Final => "I3",
            Self::Children => "I4",
            Self::Leases => "I5",
            Self::Clean => "I6",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What does not hold.
    pub invariant: Invariant,
    /// The job it is about.
    pub job: JobKey,
    /// What was found, for an operator.
    pub what: String,
    remedy: Remedy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Remedy {
    /// Queue the job.
    Queue(String),
    /// Take the claim off the job.
    ClearToken,
    /// Take the job out of this list or set.
    Remove(Vec<u8>),
    /// Reclaim the expired leases of this queue.
    Reclaim(String),
    /// A person has to decide.
    None,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant.number(), self.job, self.what)
    }
}

/// All that was read in one look.
#[derive(Default)]
struct Snapshot {
    jobs: HashMap<Vec<u8>, Fields>,
    lists: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    sorted: HashMap<Vec<u8>, Vec<(Vec<u8>, f64)>>,
    sets: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    now: f64,
}

/// What is looked at of a job's hash.
#[derive(Clone, Default, PartialEq)]
struct Fields {
    status: Option<Vec<u8>>,
    updated_at: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    owner: Option<Vec<u8>>,
    children: Option<Counts>,
}

/// How many children a job has, and how many of them are final.
#[derive(Clone, Copy, PartialEq)]
struct Counts {
    total: u64,
    done: u64,
    failed: u64,
}

impl Fields {
    const NAMES: [&'static str; 7] = [
        field::STATUS,
        field::UPDATED_AT,
        field::TOKEN,
        field::OWNER,
        field::CHILDREN_TOTAL,
        field::CHILDREN_DONE,
        field::CHILDREN_FAILED,
    ];

    /// From the values of [`Self::NAMES`]; nothing for a hash that is not a job's, such as the metadata of a model.
    fn read(mut values: Vec<Option<Vec<u8>>>) -> Option<Self> {
        values.resize(Self::NAMES.len(), None);
        let [status, updated_at, token, owner, total, done, failed] = values.try_into().ok()?;
        if status.is_none() && updated_at.is_none() {
            return None;
        }
        let children = number(total).map(|total| Counts {
            total,
            done: number(done).unwrap_or(0),
            failed: number(failed).unwrap_or(0),
        });
        Some(Self {
            status,
            updated_at,
            token,
            owner,
            children,
        })
    }

    fn is_final(&self) -> bool {
        wire::is_final(self.status.as_deref())
    }
}

fn number(value: Option<Vec<u8>>) -> Option<u64> {
    String::from_utf8(value?).ok()?.parse().ok()
}

impl Admin {
    /// Looks over everything, and gives what two looks agree on. Waits until Redis answers.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        let first = self.look().await?;
        let suspects: HashSet<_> = first.findings().into_iter().collect();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(PAUSE).await;
        let second = self.look().await?;
        let mut findings = second.findings();
        findings.retain(|found| {
            let job = &found.job.0;
            suspects.contains(found) && first.jobs.get(job) == second.jobs.get(job)
        });
        Ok(findings)
    }

    /// Repairs what was found. False if it was not so any more, or is for a person to decide.
    pub async fn repair(&self, finding: &Finding, lease: Duration) -> Result<bool, Error> {
        let (what, queue, place) = match &finding.remedy {
            Remedy::Queue(queue) => ("lost", queue.as_str(), NOWHERE),
            Remedy::ClearToken => ("token", "", NOWHERE),
            Remedy::Remove(place) => ("member", "", place.as_slice()),
            Remedy::Reclaim(queue) => {
                let reclaimed = self.reclaim_expired(queue, lease).await?;
                let mut requeued = reclaimed.requeued.iter();
                return Ok(requeued.any(|job| job.key == finding.job));
            }
            Remedy::None => return Ok(false),
        };
        let keys = Keys::new(queue);
        let mut call = REPAIR.key(&finding.job.0);
        call.key(queue)
            .key(keys.leases())
            .key(keys.delayed())
            .key(keys.parked())
            .key(place);
        if what == "lost" {
            for list in self.processing_lists(queue).await? {
                call.key(list);
            }
        }
        call.arg(what);
        Ok(self.script::<u64>("repair", &call).await? > 0)
    }

    async fn look(&self) -> Result<Snapshot, Error> {
        let time = redis::cmd("TIME");
        let (seconds, _): (u64, u64) = self.command("ask for the time", &time).await?;
        let keys = self.scan("*").await?;
        let kinds = self
            .ask_each::<String>(&keys, |key| redis::cmd("TYPE").arg(key).to_owned())
            .await?;
        let mut by_kind: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        for (key, kind) in keys.into_iter().zip(kinds) {
            by_kind
                .entry(kind.unwrap_or_default())
                .or_default()
                .push(key);
        }
        let mut keys_of = |kind: &str| by_kind.remove(kind).unwrap_or_default();
        // Lists first: a job that moves from one to another meanwhile may be seen twice, but hardly missed.
        let lists = keys_of("list");
        let entries = self.ask_each(&lists, |key| Cmd::lrange(key, 0, -1)).await?;
        let sorted = ours(keys_of("zset"));
        let scored = self
            .ask_each(&sorted, |key| Cmd::zrange_withscores(key, 0, -1))
            .await?;
        let sets = ours(keys_of("set"));
        let members = self.ask_each(&sets, |key| Cmd::smembers(key)).await?;
        let hashes = keys_of("hash");
        let values = self
            .ask_each(&hashes, |key| Cmd::hmget(key, &Fields::NAMES))
            .await?;
        let jobs = present(hashes, values).into_iter();
        Ok(Snapshot {
            jobs: jobs
                .filter_map(|(key, values)| Some((key, Fields::read(values)?)))
                .collect(),
            lists: present(lists, entries),
            sorted: present(sorted, scored),
            sets: present(sets, members),
            now: seconds as f64 * 1e3,
        })
    }
}

/// Those keys that are ours alone.
fn ours(mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keys.retain(|key| wire::split_ours(key).is_some());
    keys
}

fn present<T>(keys: Vec<Vec<u8>>, values: Vec<Option<T>>) -> HashMap<Vec<u8>, T> {
    keys.into_iter()
        .zip(values)
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

impl Snapshot {
    fn findings(&self) -> Vec<Finding> {
        let queues = self.queues();
        let kept = self.kept();
        let mut found = Vec::new();
        for (key, job) in &self.jobs {
            found.extend(self.check_claim(key, job, &kept, &queues));
            found.extend(self.check_children(key, job));
        }
        self.check_lists(&mut found);
        self.check_sorted_sets(&mut found);
        self.check_pending(&mut found);
        found.sort_by_cached_key(|finding| (finding.invariant.number(), finding.job.0.clone()));
        found
    }

    /// Every name that is known to be a queue's: from lists, processing lists and our own keys.
    fn queues(&self) -> Vec<String> {
        let mut queues = HashSet::new();
        for list in self.lists.keys() {
            let name = String::from_utf8_lossy(list);
            let queue = wire::queue_of_processing(&name).unwrap_or(&name);
            queues.insert(queue.to_owned());
        }
        for key in self.sorted.keys() {
            queues.extend(wire::split_ours(key).map(|(_, queue)| lossy(queue)));
        }
        let mut queues: Vec<_> = queues.into_iter().collect();
        // The longest first, so that `predict-zip` is not taken for `predict`.
        queues.sort_by_key(|name| std::cmp::Reverse(name.len()));
        queues
    }

    /// Every job that is in a list, delayed or parked.
    fn kept(&self) -> HashSet<&[u8]> {
        let mut kept: HashSet<_> = self.lists.values().flatten().map(Vec::as_slice).collect();
        for (key, members) in &self.sorted {
            if is_ours(key, "delayed") || is_ours(key, "parked") {
                kept.extend(members.iter().map(|(job, _)| job.as_slice()));
            }
        }
        kept
    }

    /// Whether a job is kept, and claimed only by a consumer that has it.
    fn check_claim(
        &self,
        key: &[u8],
        job: &Fields,
        kept: &HashSet<&[u8]>,
        queues: &[String],
    ) -> Option<Finding> {
        let Some(status) = &job.status else {
            let what = "has time stamps but no status (nobody's job)".to_owned();
            return Some(Finding::new(Invariant::Clean, key, what, Remedy::None));
        };
        let status = lossy(status);
        if job.is_final() {
            let what = format!("is {status} and still claimed");
            let finding = Finding::new(Invariant::Final, key, what, Remedy::ClearToken);
            return job.token.is_some().then_some(finding);
        }
        if !kept.contains(key) {
            let queue = queue_of(key, job, queues);
            let what = match &queue {
                Some(queue) => {
                    format!("is {status} and in no list: it belongs to the queue `{queue}`")
                }
                None => format!("is {status} and in no list, and nothing tells its queue"),
            };
            let remedy = queue.map_or(Remedy::None, Remedy::Queue);
            return Some(Finding::new(Invariant::Kept, key, what, remedy));
        }
        if job.token.is_some() && !self.is_owned(key, job) && !self.is_delayed(key) {
            let what = "is claimed by a consumer that does not have it".to_owned();
            return Some(Finding::new(
                Invariant::OneOwner,
                key,
                what,
                Remedy::ClearToken,
            ));
        }
        None
    }

    fn check_children(&self, key: &[u8], job: &Fields) -> Option<Finding> {
        let Counts {
            total,
            done,
            failed,
        } = job.children?;
        let set = wire::pending(&JobKey(key.to_vec()));
        let pending = self.sets.get(&set).map_or(0, Vec::len);
        if job.is_final() || done + failed + pending as u64 == total {
            return None;
        }
        let what = format!("has {total} children: {done} done, {failed} failed, {pending} pending");
        Some(Finding::new(Invariant::Children, key, what, Remedy::None))
    }

    /// What is over leaves the lists, and no job is in two processing lists.
    fn check_lists(&self, found: &mut Vec<Finding>) {
        let mut seen: HashMap<&Vec<u8>, &Vec<u8>> = HashMap::new();
        for (list, entries) in &self.lists {
            for job in entries {
                if self.is_over(job) {
                    found.push(Finding::left_over(job, list));
                } else if list.starts_with(PROCESSING.as_bytes())
                    && let Some(other) = seen.insert(job, list)
                {
                    let what = format!("is in `{}` and in `{}`", lossy(other), lossy(list));
                    found.push(Finding::new(Invariant::OneOwner, job, what, Remedy::None));
                }
            }
        }
    }

    /// What is over leaves the sorted sets, and expired leases are reclaimed.
    fn check_sorted_sets(&self, found: &mut Vec<Finding>) {
        let overlooked = self.now - OVERLOOKED.as_millis() as f64;
        for (key, members) in &self.sorted {
            if is_ours(key, "dead") || is_ours(key, "workers") {
                continue;
            }
            let queue = wire::split_ours(key).map_or_else(String::new, |(_, queue)| lossy(queue));
            for (job, score) in members {
                if self.is_over(job) {
                    found.push(Finding::left_over(job, key));
                } else if is_ours(key, "lease") && *score < overlooked {
                    let what = "has a lease that expired more than a minute ago".to_owned();
                    let remedy = Remedy::Reclaim(queue.clone());
                    found.push(Finding::new(Invariant::Leases, job, what, remedy));
                }
            }
        }
    }

    /// What is over is not pending any more.
    fn check_pending(&self, found: &mut Vec<Finding>) {
        for (key, members) in &self.sets {
            let over = members.iter().filter(|job| self.is_over(job));
            if is_ours(key, "pending") {
                found.extend(over.map(|job| Finding::left_over(job, key)));
            }
        }
    }

    fn is_over(&self, job: &Vec<u8>) -> bool {
        self.jobs.get(job).is_none_or(Fields::is_final)
    }

    /// Whether the consumer that has claimed a job has it in its list.
    fn is_owned(&self, key: &[u8], job: &Fields) -> bool {
        let list = job.owner.as_ref().and_then(|owner| self.lists.get(owner));
        list.is_some_and(|list| list.iter().any(|entry| entry == key))
    }

    fn is_delayed(&self, job: &[u8]) -> bool {
        self.sorted
            .iter()
            .filter(|(key, _)| is_ours(key, "delayed"))
            .flat_map(|(_, members)| members)
            .any(|(member, _)| member == job)
    }
}

impl Finding {
    fn new(invariant: Invariant, job: &[u8], what: String, remedy: Remedy) -> Self {
        Self {
            invariant,
            job: JobKey(job.to_vec()),
            what,
            remedy,
        }
    }

    fn left_over(job: &[u8], place: &[u8]) -> Self {
        let what = format!("is over and still in `{}`", lossy(place));
        Self::new(Invariant::Clean, job, what, Remedy::Remove(place.to_vec()))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_ours(key: &[u8], what: &str) -> bool {
    wire::split_ours(key).is_some_and(|(kind, _)| kind == what.as_bytes())
}

/// The queue of a job that is in none: of the consumer that claimed it, else the one whose name its key begins with.
fn queue_of(key: &[u8], job: &Fields, queues: &[String]) -> Option<String> {
    let owner = job.owner.as_deref().map(lossy);
    if let Some(claimed) = owner.as_deref().and_then(wire::queue_of_processing) {
        return Some(claimed.to_owned());
    }
    let mut queues = queues.iter();
    let found = queues.find(|queue| {
        let rest = key.strip_prefix(queue.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b":"))
    });
    found.cloned()
}
