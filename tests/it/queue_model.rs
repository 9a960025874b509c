//! The scripts of the queue in random interleavings, with the invariants checked after each step, on a real Redis.
//!
//! Consumers claim, send heartbeats, finish, retry, release, die and come back; one job creates children in two steps and waits for
//! them; leases expire; a Python janitor moves entries away under them; a Python consumer takes some; hashes expire; an
//! operator requeues, cancels, pauses, purges and puts back, with the commands of the program. Time passes by setting scores, so
//! that nothing waits.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use redis_consumer::Status;
use redis_consumer::queue::{ChildSet, ChildSpec, ChildWait, JobKey, Lease, Queue, RunAt, Settled};
use tokio_util::sync::CancellationToken;

use crate::interleavings::{self, Asker, QUEUE, config, operate};

const CONSUMERS: usize = 3;
const SLOTS: usize = 2;
const JOBS: usize = 4;
/// The one of them that has children.
const PARENT: usize = 0;
const CHILDREN: usize = 3;

/// Something that happens. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Submit(usize),
    Push(usize),
    Claim(usize, usize),
    Heartbeat(usize),
    Finish(usize, usize, bool),
    Retry(usize, usize),
    Postpone(usize, usize),
    Release(usize, usize),
    /// A part of the children is created.
    Create(usize, usize, usize),
    /// All are, and the job waits for them.
    Wait(usize, usize, bool),
    Restart(usize),
    Vanish(usize),
    Reclaim(usize),
    LeasesEnd,
    DelaysEnd,
    Sweep(usize),
    JanitorMoves(usize),
    PythonTakes,
    PythonFinishes,
    /// An operator has a job worked once more: from its beginning or by its failed children, by force or not.
    Requeue(usize, bool, bool),
    Cancel(usize),
    Pause(bool),
    Purge,
    Untrash,
    Bump(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (consumer, slot, job) = (0..CONSUMERS, 0..SLOTS, 0..JOBS);
    prop_oneof![
        3 => job.clone().prop_map(Step::Submit),
        1 => job.clone().prop_map(Step::Push),
        8 => (consumer.clone(), slot.clone()).prop_map(|(c, s)| Step::Claim(c, s)),
        2 => consumer.clone().prop_map(Step::Heartbeat),
        4 => (consumer.clone(), slot.clone(), any::<bool>()).prop_map(|(c, s, dead)| Step::Finish(c, s, dead)),
        3 => (consumer.clone(), slot.clone()).prop_map(|(c, s)| Step::Retry(c, s)),
        1 => (consumer.clone(), slot.clone()).prop_map(|(c, s)| Step::Postpone(c, s)),
        2 => (consumer.clone(), slot.clone()).prop_map(|(c, s)| Step::Release(c, s)),
        3 => (consumer.clone(), slot.clone(), 1..CHILDREN).prop_map(|(c, s, n)| Step::Create(c, s, n)),
        3 => (consumer.clone(), slot.clone(), any::<bool>()).prop_map(|(c, s, fast)| Step::Wait(c, s, fast)),
        2 => consumer.clone().prop_map(Step::Restart),
        1 => consumer.clone().prop_map(Step::Sweep),
        1 => job.prop_map(Step::Vanish),
        3 => consumer.prop_map(Step::Reclaim),
        3 => Just(Step::LeasesEnd),
        2 => Just(Step::DelaysEnd),
        2 => any::<usize>().prop_map(Step::JanitorMoves),
        1 => Just(Step::PythonTakes),
        1 => Just(Step::PythonFinishes),
        3 => (any::<usize>(), any::<bool>(), any::<bool>()).prop_map(|(j, all, force)| Step::Requeue(j, all, force)),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => Just(Step::Purge),
        1 => Just(Step::Untrash),
        1 => any::<usize>().prop_map(Step::Bump),
    ]
}

struct Consumer {
    queue: Queue,
    leases: [Option<Lease>; SLOTS],
}

struct Model<'r> {
    redis: &'r Asker,
    consumers: Vec<Consumer>,
    /// What our commits left behind, by the [life](Self::life) of the job.
    committed: HashMap<String, String>,
    /// Keys of the children, as soon as they have been seen.
    children: HashSet<String>,
    stop: CancellationToken,
}

fn key(job: usize) -> String {
    format!("q:image, {job}:uuid")
}

impl<'r> Model<'r> {
    fn new(redis: &'r Asker) -> Self {
        let consumers = (0..CONSUMERS).map(|n| Consumer {
            queue: queue(redis, n),
            leases: [const { None }; SLOTS],
        });
        let stop = CancellationToken::new();
        // Claims do not wait for jobs that are not there.
        stop.cancel();
        Self {
            redis,
            consumers: consumers.collect(),
            committed: HashMap::new(),
            children: HashSet::new(),
            stop,
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let redis = self.redis;
        match *step {
            Step::Submit(job) => {
                let key = key(job);
                if redis.ask::<u32>(&["EXISTS", &key]) == 0 {
                    self.forget(&key);
                    let _: u32 = redis.ask(&[
                        "HSET",
                        &key,
                        "status",
                        "new",
                        "updated_at",
                        "2023-07-12T16:31:13.123Z",
                    ]);
                    let _: u32 = redis.ask(&["LPUSH", QUEUE, &key]);
                }
            }
            Step::Push(job) => {
                let _: u32 = redis.ask(&["LPUSH", QUEUE, &key(job)]);
            }
            Step::Claim(consumer, slot) => {
                let consumer = &mut self.consumers[consumer];
                if consumer.leases[slot].is_none() {
                    let claimed = consumer
                        .queue
                        .claim(slot, &self.stop)
                        .await
                        .expect("redis answers");
                    consumer.leases[slot] = claimed.map(|(lease, _)| lease);
                }
            }
            Step::Heartbeat(consumer) => self.consumers[consumer]
                .queue
                .heartbeat()
                .await
                .expect("redis answers"),
            Step::Finish(consumer, slot, dead) => {
                let Some(lease) = self.consumers[consumer].leases[slot].take() else {
                    return Ok(());
                };
                let by = format!("{consumer} {slot} {}", lease.token());
                let settled = finish(&lease, &by, dead).await;
                if settled == Settled::Committed {
                    let life = self.life(&lease.key().to_string());
                    let before = self.committed.insert(life.clone(), by.clone());
                    prop_assert!(before.is_none(), "{life} was finished twice: {before:?}");
                    let again = finish(&lease, &by, dead).await;
                    prop_assert_eq!(
                        again,
                        Settled::Committed,
                        "a repeated commit is the same commit"
                    );
                }
            }
            Step::Retry(consumer, slot) => {
                self.nack(consumer, slot, RunAt::After(Duration::from_secs(60)))
                    .await
            }
            Step::Postpone(consumer, slot) => {
                self.nack(consumer, slot, RunAt::Time(4_000_000_000_000))
                    .await
            }
            Step::Release(consumer, slot) => {
                if let Some(lease) = self.consumers[consumer].leases[slot].take() {
                    lease.release().await.expect("redis answers");
                }
            }
            Step::Create(consumer, slot, count) => {
                if let Some(lease) = self.held_parent(consumer, slot) {
                    let some = match self.children_to_try_again() {
                        None => ChildSet::New(specs().split_off(count)),
                        Some(keys) => ChildSet::Again(keys),
                    };
                    lease.create_children(&some).await.expect("redis answers");
                    self.know_children();
                }
            }
            Step::Wait(consumer, slot, fail_fast) => {
                let Some(lease) = self.held_parent(consumer, slot) else {
                    return Ok(());
                };
                let children = match self.children_to_try_again() {
                    None => ChildSet::New(specs()),
                    Some(keys) => ChildSet::Again(keys),
                };
                let wait = ChildWait {
                    children,
                    status: Status::Waiting,
                    fail_fast,
                    progress: 100,
                };
                lease.wait_for_children(&wait).await.expect("redis answers");
                self.know_children();
                self.consumers[consumer].leases[slot] = None;
            }
            Step::Sweep(consumer) => {
                redis.set_scores("rc:parked:q");
                let queue = &self.consumers[consumer].queue;
                queue.sweep().await.expect("redis answers");
            }
            Step::Restart(consumer) => {
                let fresh = queue(redis, consumer);
                fresh.recover().await.expect("redis answers");
                self.consumers[consumer] = Consumer {
                    queue: fresh,
                    leases: [const { None }; SLOTS],
                };
            }
            Step::Vanish(job) => {
                self.forget(&key(job));
                let _: u32 = redis.ask(&["DEL", &key(job)]);
            }
            Step::Reclaim(consumer) => {
                let _: u32 = redis.ask(&["DEL", "rc:rlock:q"]);
                self.consumers[consumer]
                    .queue
                    .reclaim_expired()
                    .await
                    .expect("redis answers");
            }
            Step::LeasesEnd => redis.set_scores("rc:lease:q"),
            Step::DelaysEnd => redis.set_scores("rc:delayed:q"),
            Step::JanitorMoves(pick) => {
                let lists = redis.keys("processing-q:*");
                if let Some(list) = lists.get(pick % lists.len().max(1)) {
                    let entry = redis.list(list)[0].clone();
                    let _: u32 = redis.ask(&["LREM", list, "1", &entry]);
                    let _: u32 = redis.ask(&["LPUSH", QUEUE, &entry]);
                }
            }
            Step::PythonTakes => redis.take_as_python(),
            Step::PythonFinishes => redis.finish_as_python(|_| "done"),
            Step::Requeue(pick, all, force) => {
                let job = self.pick(pick);
                let mut words = vec!["requeue", &job, "--queue", QUEUE];
                words.extend(all.then_some("--all-children"));
                words.extend(force.then_some("--force"));
                self.operate(&words);
            }
            Step::Cancel(pick) => {
                let job = self.pick(pick);
                let before = redis.hash(&job);
                let said = self.operate(&["cancel", &job, "--queue", QUEUE]);
                let hash = redis.hash(&job);
                let is_asked = hash.contains_key("rc_cancel") && before.contains_key("rc_token");
                let is_over = hash
                    .get("error_class")
                    .is_some_and(|class| class == "cancelled");
                prop_assert!(
                    !said.starts_with("1 cancelled") || is_asked || is_over,
                    "{job} is said to be cancelled: {hash:?}"
                );
            }
            Step::Pause(is_paused) => {
                let what = if is_paused { "pause" } else { "resume" };
                self.operate(&["queue", what, QUEUE]);
            }
            Step::Purge => _ = self.operate(&["queue", "purge", QUEUE, "--yes"]),
            Step::Untrash => _ = self.operate(&["queue", "untrash", QUEUE]),
            Step::Bump(pick) => {
                _ = self.operate(&["job", "bump", &self.pick(pick), "--queue", QUEUE])
            }
        }
        Ok(())
    }

    /// Runs the program as an operator does, and gives what it says.
    fn operate(&self, words: &[&str]) -> String {
        operate(self.redis.program(words)).1
    }

    fn pick(&self, pick: usize) -> String {
        let mut jobs: Vec<_> = self.jobs().collect();
        jobs.sort();
        jobs.swap_remove(pick % jobs.len())
    }

    /// The children of the parent, if an operator wants those that have failed to be tried again.
    fn children_to_try_again(&self) -> Option<Vec<JobKey>> {
        let hash = self.redis.hash(&key(PARENT));
        hash.get("rc_again")?;
        let children = hash["children"].split(',');
        Some(children.map(|child| JobKey(child.into())).collect())
    }

    /// What was committed of a job is over.
    fn forget(&mut self, job: &str) {
        let lives = format!("{job} ");
        self.committed.retain(|life, _| !life.starts_with(&lives));
    }

    async fn nack(&mut self, consumer: usize, slot: usize, run_at: RunAt) {
        if let Some(lease) = self.consumers[consumer].leases[slot].take() {
            let fields = [("status", "new".to_owned())];
            lease.nack(run_at, &fields).await.expect("redis answers");
        }
    }

    /// A job, each time an operator has it worked; a child also under each claim of its parent that has created it, as a parent
    /// that starts over creates it anew.
    fn life(&self, job: &str) -> String {
        let (birth, requeued): (Option<String>, Option<String>) =
            self.redis.ask(&["HMGET", job, "rc_birth", "rc_requeued"]);
        let birth = birth.filter(|_| self.children.contains(job));
        let (birth, requeued) = (birth.unwrap_or_default(), requeued.unwrap_or_default());
        format!("{job} {birth} {requeued}")
    }

    fn held_parent(&self, consumer: usize, slot: usize) -> Option<Lease> {
        let lease = self.consumers[consumer].leases[slot].clone();
        lease.filter(|lease| lease.key().to_string() == key(PARENT))
    }

    fn know_children(&mut self) {
        self.children.extend(self.redis.keys("q:child*"));
    }

    fn jobs(&self) -> impl Iterator<Item = String> {
        (0..JOBS).map(key).chain(self.children.iter().cloned())
    }

    /// I4: every child of a parent that waits is counted once.
    fn check_children(&self, hash: &HashMap<String, String>) -> Result<(), TestCaseError> {
        let counts = ["children_total", "children_done", "children_failed"]
            .map(|name| hash.get(name).map_or(0, |count| count.parse().unwrap_or(0)));
        let pending: usize = self
            .redis
            .ask(&["SCARD", &format!("rc:pending:{}", key(PARENT))]);
        let [total, done, failed] = counts;
        let is_complete = !hash.contains_key("rc_creating");
        let waits = hash.get("status").is_some_and(|status| status == "waiting");
        prop_assert!(
            !waits || !is_complete || done + failed + pending == total,
            "I4: {total} children: {done} done, {failed} failed, {pending} pending"
        );
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let redis = self.redis;
        let mut kept: HashSet<String> = redis.list(QUEUE).into_iter().collect();
        kept.extend(
            redis
                .keys("processing-q:*")
                .iter()
                .chain(&redis.keys("rc:trash:q:*"))
                .flat_map(|list| redis.list(list)),
        );
        for set in ["rc:delayed:q", "rc:parked:q"] {
            kept.extend(redis.ask::<Vec<String>>(&["ZRANGE", set, "0", "-1"]));
        }
        self.check_children(&redis.hash(&key(PARENT)))?;
        for job in self.jobs() {
            let hash = redis.hash(&job);
            let Some(status) = hash.get("status") else {
                prop_assert!(hash.is_empty(), "{job} is a stub: {hash:?}");
                continue;
            };
            let is_final = status == "done" || status == "failed";
            prop_assert!(
                is_final || kept.contains(&job),
                "I1: {job} is lost: {hash:?}"
            );
            let leases = self
                .consumers
                .iter()
                .flat_map(|consumer| consumer.leases.iter().flatten());
            let tokens: Vec<_> = leases
                .filter(|lease| lease.key().to_string() == job)
                .map(Lease::token)
                .collect();
            let holders = tokens
                .iter()
                .filter(|token| hash.get("rc_token").is_some_and(|held| held == **token))
                .count();
            prop_assert!(holders <= 1, "I2: {job} has {holders} holders");
            if let Some(by) = self.committed.get(&self.life(&job)) {
                prop_assert_eq!(hash.get("by"), Some(by), "I3: a final status was changed");
            }
        }
        Ok(())
    }

    /// Nobody dies any more: everything comes to its end.
    async fn settle(&mut self) -> Result<(), TestCaseError> {
        self.take(&Step::Pause(false)).await?;
        while !self.redis.keys("rc:trash:q:*").is_empty() {
            self.take(&Step::Untrash).await?;
            self.check()?;
        }
        for round in 0.. {
            prop_assert!(round < 20, "it does not come to an end");
            self.take(&Step::PythonFinishes).await?;
            let slots: Vec<_> = (0..CONSUMERS)
                .flat_map(|c| (0..SLOTS).map(move |s| (c, s)))
                .collect();
            for &(consumer, slot) in &slots {
                self.take(&Step::Finish(consumer, slot, false)).await?;
            }
            for step in [
                Step::LeasesEnd,
                Step::DelaysEnd,
                Step::Reclaim(0),
                Step::DelaysEnd,
                Step::Sweep(0),
            ] {
                self.take(&step).await?;
                self.check()?;
            }
            for &(consumer, slot) in &slots {
                self.take(&Step::Claim(consumer, slot)).await?;
                self.check()?;
            }
            let idle = self
                .consumers
                .iter()
                .all(|consumer| consumer.leases.iter().all(Option::is_none));
            let left = ["q", "rc:lease:q", "rc:delayed:q", "rc:parked:q"]
                .iter()
                .any(|key| self.redis.ask::<u32>(&["EXISTS", key]) == 1);
            if idle && !left {
                break;
            }
        }
        let lists = self.redis.keys("processing-q:*");
        let left: Vec<_> = lists
            .iter()
            .map(|list| (list, self.redis.list(list)))
            .collect();
        prop_assert!(left.is_empty(), "I6: {left:?}");
        let unfinished = self
            .jobs()
            .filter_map(|job| self.redis.hash(&job).remove("status"));
        for status in unfinished {
            prop_assert!(
                status == "done" || status == "failed",
                "a job is still {status}"
            );
        }
        Ok(())
    }
}

fn specs() -> Vec<ChildSpec> {
    let names = (0..CHILDREN).map(|number| format!("child {number}"));
    names
        .map(|name| ChildSpec {
            queue: QUEUE.to_owned(),
            name,
            fields: vec![("input_file_name".to_owned(), b"a.tif".to_vec())],
        })
        .collect()
}

async fn finish(lease: &Lease, by: &str, dead: bool) -> Settled {
    let fields = [("by", by.to_owned())];
    let settled = if dead {
        lease.dead_letter(&fields).await
    } else {
        lease.ack(&fields).await
    };
    settled.expect("redis answers")
}

fn queue(redis: &Asker, consumer: usize) -> Queue {
    redis.queue(&format!("pod-{consumer}"), SLOTS)
}

#[test]
fn no_interleaving_breaks_an_invariant() {
    interleavings::run(config(150), step(), async |redis, steps| {
        let mut model = Model::new(redis);
        for step in steps {
            model.take(step).await?;
            model.check()?;
        }
        model.settle().await
    });
}
