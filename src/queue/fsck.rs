//! Whether the invariants of the queue hold over a whole Redis, and what to do where they do not.
//!
//! Nothing is locked: jobs move while they are looked at. So a finding counts only if a second look, a moment later, finds
//! it again and the job untouched, and every repair asks once more, in the same step in which it mends.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script};

use super::{Error, JobKey, Keyspace};
use crate::job::{self, OWNER, STATUS, TOKEN, UPDATED_AT};

static REPAIR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/repair.lua")));

/// Time between the two looks.
const PAUSE: Duration = Duration::from_millis(1500);
/// A lease that ended this long ago has been overlooked.
const OVERLOOKED: Duration = Duration::from_secs(60);
const PROCESSING: &str = "processing-";

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// A job that is not final is in a queue, in a processing list, delayed or parked.
    Kept,
    /// Who may write to a job also has it in a list.
    OneOwner,
    /// A job that is final is claimed by nobody.
    Final,
    /// Done, failed and pending children are all children.
    Children,
    /// A lease that has ended is looked after.
    Leases,
    /// What is over is in no list and no set.
    Clean,
}

impl Invariant {
    /// Its number in the design.
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
    /// Have the leases of this queue looked at.
    Rescue(String),
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

#[derive(Clone, Default, PartialEq)]
struct Fields {
    status: Option<Vec<u8>>,
    updated_at: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    owner: Option<Vec<u8>>,
    children: [Option<u64>; 3],
}

impl Fields {
    fn is_final(&self) -> bool {
        job::is_final(self.status.as_deref())
    }
}

impl Keyspace {
    /// Looks over everything, and gives what two looks agree on. Waits until Redis answers.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        let first = self.look().await?;
        let suspects: HashSet<_> = first.findings().into_iter().collect();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(PAUSE).await;
        let second = self.look().await?;
        let untouched =
            |finding: &Finding| first.jobs.get(&finding.job.0) == second.jobs.get(&finding.job.0);
        Ok(second
            .findings()
            .into_iter()
            .filter(|found| suspects.contains(found) && untouched(found))
            .collect())
    }

    /// Mends what was found. False if it was not so any more, or is for a person to decide.
    pub async fn repair(&self, finding: &Finding, lease: Duration) -> Result<bool, Error> {
        let nowhere = b"rc:nowhere".to_vec();
        let (what, queue, place) = match &finding.remedy {
            Remedy::Queue(queue) => ("lost", queue.clone(), nowhere),
            Remedy::ClearToken => ("token", String::new(), nowhere),
            Remedy::Remove(place) => ("member", String::new(), place.clone()),
            Remedy::Rescue(queue) => {
                let rescued = self.rescue(queue, lease).await?;
                return Ok(rescued.restored.iter().any(|job| job.key == finding.job));
            }
            Remedy::None => return Ok(false),
        };
        let mut call = REPAIR.key(&finding.job.0);
        call.key(&queue);
        ["lease", "delayed", "parked"].iter().for_each(|name| {
            call.key(format!("rc:{name}:{queue}"));
        });
        call.key(place);
        if what == "lost" {
            self.processing_lists(&queue)
                .await?
                .into_iter()
                .for_each(|list| {
                    call.key(list);
                });
        }
        call.arg(what);
        Ok(self.script::<u64>("mend what is wrong", &call).await? > 0)
    }

    async fn look(&self) -> Result<Snapshot, Error> {
        let (seconds, _): (u64, u64) = self
            .command("ask for the time", &redis::cmd("TIME"))
            .await?;
        let mut snapshot = Snapshot {
            now: seconds as f64 * 1e3,
            ..Snapshot::default()
        };
        let keys = self.scan("*").await?;
        let kinds = self
            .ask_each::<String>(&keys, |key| redis::cmd("TYPE").arg(key).to_owned())
            .await?;
        let of_kind = |wanted: &str| -> Vec<Vec<u8>> {
            let of_kind = keys
                .iter()
                .zip(&kinds)
                .filter(|(_, kind)| kind.as_deref() == Some(wanted));
            of_kind.map(|(key, _)| key.clone()).collect()
        };
        // Lists first: a job that moves from one to another meanwhile may be seen twice, but hardly missed.
        let lists = of_kind("list");
        let entries = self.ask_each(&lists, |key| Cmd::lrange(key, 0, -1)).await?;
        snapshot.lists = present(lists, entries);
        let sorted: Vec<_> = of_kind("zset")
            .into_iter()
            .filter(|key| key.starts_with(b"rc:"))
            .collect();
        let members = self
            .ask_each(&sorted, |key| Cmd::zrange_withscores(key, 0, -1))
            .await?;
        snapshot.sorted = present(sorted, members);
        let sets: Vec<_> = of_kind("set")
            .into_iter()
            .filter(|key| key.starts_with(b"rc:"))
            .collect();
        let members = self.ask_each(&sets, |key| Cmd::smembers(key)).await?;
        snapshot.sets = present(sets, members);
        let hashes = of_kind("hash");
        let names = [
            STATUS,
            UPDATED_AT,
            TOKEN,
            OWNER,
            "children_total",
            "children_done",
            "children_failed",
        ];
        let fields = self
            .ask_each::<Vec<Option<Vec<u8>>>>(&hashes, |key| Cmd::hmget(key, &names))
            .await?;
        for (key, mut fields) in hashes
            .into_iter()
            .zip(fields)
            .filter_map(|(key, fields)| Some((key, fields?)))
        {
            let number = |field: Option<Vec<u8>>| String::from_utf8(field?).ok()?.parse().ok();
            let mut take = |index: usize| fields.get_mut(index).and_then(Option::take);
            let children = [number(take(4)), number(take(5)), number(take(6))];
            let job = Fields {
                status: take(0),
                updated_at: take(1),
                token: take(2),
                owner: take(3),
                children,
            };
            // Metadata of models are hashes too.
            if job.status.is_some() || job.updated_at.is_some() {
                snapshot.jobs.insert(key, job);
            }
        }
        Ok(snapshot)
    }
}

fn present<T>(keys: Vec<Vec<u8>>, values: Vec<Option<T>>) -> HashMap<Vec<u8>, T> {
    keys.into_iter()
        .zip(values)
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

impl Snapshot {
    fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let queues = self.queues();
        self.check_jobs(&queues, &mut found);
        self.check_members(&mut found);
        found.sort_by(|a, b| {
            (a.invariant.number(), &a.job.0).cmp(&(b.invariant.number(), &b.job.0))
        });
        found
    }

    /// Every name that is known to be a queue's: from lists, processing lists and our own keys.
    fn queues(&self) -> Vec<String> {
        let mut queues = HashSet::new();
        for list in self.lists.keys() {
            let name = String::from_utf8_lossy(list);
            match name.strip_prefix(PROCESSING) {
                Some(rest) => queues.extend(rest.split(':').next().map(str::to_owned)),
                None => {
                    queues.insert(name.into_owned());
                }
            }
        }
        for key in self.sorted.keys() {
            let name = String::from_utf8_lossy(key);
            queues.extend(name.splitn(3, ':').nth(2).map(str::to_owned));
        }
        let mut queues: Vec<_> = queues.into_iter().collect();
        // The longest first, so that `predict-zip` is not taken for `predict`.
        queues.sort_by_key(|name| std::cmp::Reverse(name.len()));
        queues
    }

    fn check_jobs(&self, queues: &[String], found: &mut Vec<Finding>) {
        let mut kept: HashSet<&Vec<u8>> = self.lists.values().flatten().collect();
        let waiting = self
            .sorted
            .iter()
            .filter(|(key, _)| is_aux(key, "delayed") || is_aux(key, "parked"));
        kept.extend(waiting.flat_map(|(_, members)| members.iter().map(|(job, _)| job)));
        for (key, job) in &self.jobs {
            let mut report = |invariant, what: String, remedy| {
                found.push(Finding {
                    invariant,
                    job: JobKey(key.clone()),
                    what,
                    remedy,
                });
            };
            let owned = job
                .owner
                .as_ref()
                .is_some_and(|owner| self.lists.get(owner).is_some_and(|list| list.contains(key)));
            match &job.status {
                None => report(
                    Invariant::Clean,
                    "has time stamps and no status (nobody's job)".to_owned(),
                    Remedy::None,
                ),
                Some(status) if job.is_final() => {
                    if job.token.is_some() {
                        let what =
                            format!("is {} and still claimed", String::from_utf8_lossy(status));
                        report(Invariant::Final, what, Remedy::ClearToken);
                    }
                }
                Some(status) => {
                    let status = String::from_utf8_lossy(status);
                    if !kept.contains(key) {
                        let queue = queue_of(key, job, queues);
                        let what = match &queue {
                            Some(queue) => format!(
                                "is {status} and in no list: it belongs to the queue `{queue}`"
                            ),
                            None => {
                                format!("is {status} and in no list, and nothing tells its queue")
                            }
                        };
                        report(
                            Invariant::Kept,
                            what,
                            queue.map_or(Remedy::None, Remedy::Queue),
                        );
                    } else if job.token.is_some() && !owned && !self.is_delayed(key) {
                        let what = "is claimed by a consumer that does not have it".to_owned();
                        report(Invariant::OneOwner, what, Remedy::ClearToken);
                    }
                }
            }
            if let [Some(total), done, failed] = job.children {
                let pending = self
                    .sets
                    .get([b"rc:pending:", key.as_slice()].concat().as_slice())
                    .map_or(0, Vec::len);
                let (done, failed) = (done.unwrap_or(0), failed.unwrap_or(0));
                if !job.is_final() && done + failed + pending as u64 != total {
                    let what = format!(
                        "has {total} children: {done} done, {failed} failed, {pending} pending"
                    );
                    report(Invariant::Children, what, Remedy::None);
                }
            }
        }
    }

    fn check_members(&self, found: &mut Vec<Finding>) {
        let over = |job: &Vec<u8>| self.jobs.get(job).is_none_or(Fields::is_final);
        let mut report = |invariant, job: &Vec<u8>, what: String, remedy| {
            found.push(Finding {
                invariant,
                job: JobKey(job.clone()),
                what,
                remedy,
            });
        };
        let mut seen: HashMap<&Vec<u8>, &Vec<u8>> = HashMap::new();
        for (list, entries) in &self.lists {
            let name = String::from_utf8_lossy(list);
            for job in entries {
                if over(job) {
                    let what = format!("is over and still in `{name}`");
                    report(Invariant::Clean, job, what, Remedy::Remove(list.clone()));
                } else if name.starts_with(PROCESSING)
                    && let Some(other) = seen.insert(job, list)
                {
                    let what =
                        format!("is in `{}` and in `{name}`", String::from_utf8_lossy(other));
                    report(Invariant::OneOwner, job, what, Remedy::None);
                }
            }
        }
        for (key, members) in &self.sorted {
            let name = String::from_utf8_lossy(key);
            if is_aux(key, "dead") || is_aux(key, "workers") {
                continue;
            }
            for (job, score) in members {
                if over(job) {
                    let what = format!("is over and still in `{name}`");
                    report(Invariant::Clean, job, what, Remedy::Remove(key.clone()));
                } else if is_aux(key, "lease") && *score < self.now - OVERLOOKED.as_millis() as f64
                {
                    let what = "has a lease that ended more than a minute ago".to_owned();
                    let queue = name.splitn(3, ':').nth(2).unwrap_or_default().to_owned();
                    report(Invariant::Leases, job, what, Remedy::Rescue(queue));
                }
            }
        }
        for (key, members) in self.sets.iter().filter(|(key, _)| is_aux(key, "pending")) {
            for job in members.iter().filter(|job| over(job)) {
                let what = format!("is over and still in `{}`", String::from_utf8_lossy(key));
                report(Invariant::Clean, job, what, Remedy::Remove(key.clone()));
            }
        }
    }

    fn is_delayed(&self, job: &Vec<u8>) -> bool {
        let delayed = self.sorted.iter().filter(|(key, _)| is_aux(key, "delayed"));
        delayed
            .flat_map(|(_, members)| members)
            .any(|(member, _)| member == job)
    }
}

fn is_aux(key: &[u8], what: &str) -> bool {
    key.strip_prefix(b"rc:")
        .and_then(|rest| rest.strip_prefix(what.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b":"))
}

/// The queue of a job that is in none: of the consumer that claimed it, else the one whose name its key begins with.
fn queue_of(key: &[u8], job: &Fields, queues: &[String]) -> Option<String> {
    let owner = job
        .owner
        .as_ref()
        .map(|owner| String::from_utf8_lossy(owner).into_owned());
    let claimed = owner.as_deref().and_then(|owner| {
        owner
            .strip_prefix(PROCESSING)?
            .split(':')
            .next()
            .map(str::to_owned)
    });
    claimed.or_else(|| {
        let begins = |queue: &&String| {
            key.strip_prefix(queue.as_bytes())
                .is_some_and(|rest| rest.starts_with(b":"))
        };
        queues.iter().find(begins).cloned()
    })
}
