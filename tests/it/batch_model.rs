//! The marks of a batch in random interleavings, with the invariants checked after each step, on a real Redis.
//!
//! A small plan has a grid that is joined in groups, a chain, a stage whose failures hold nobody up, and a barrier. It is fed,
//! worked, failed, requeued, cancelled, paused, repaired and deleted; jobs vanish, outputs are lost, and a Python consumer ends
//! items without counting them. Operators' steps are commands of the program; consumers' are calls of its queue.

use std::collections::{HashMap, HashSet};
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::Config;
use redis_consumer::queue::{Lease, Queue, Settled};
use tokio_util::sync::CancellationToken;

use crate::interleavings::{self, Asker, QUEUE, config, operate};

const PLAN: &str = r#"
plan: 1
name: model
stages:
  - name: grid
    queue: q
    items: {range: {x: 3, y: 2}}
    fields: {x: "{{ x }}"}
    expect: ["{{ stage }}/{{ x }}_{{ y }}"]
    limit: {queue: 4}
    keep: {done: 3}
  - name: joined
    queue: q
    after: {stage: grid, group: {x: 2, y: 2}}
    expect: ["{{ stage }}/{{ x }}_{{ y }}"]
    on_failure: go_on
    limit: {queue: 4, at_once: 1}
  - name: checked
    queue: q
    after: joined
    expect: ["{{ stage }}/{{ x }}_{{ y }}"]
    limit: {queue: 4}
  - name: summary
    queue: q
    items: {list: [all]}
    after: {stage: checked, all: true}
    expect: ["{{ stage }}/{{ item }}"]
"#;

const HEAD: &str = "rc:batch:model";
const SLOTS: usize = 3;
/// The most jobs that the queue gets by feeding.
const LONGEST: usize = 4;

/// Items of each stage.
const TOTALS: [usize; 4] = [6, 2, 2, 1];
/// The stage whose failed items count for those above.
const GOES_ON: usize = 1;
/// The stage that waits for all of the one below.
const BARRIER: usize = 3;

/// Something that happens. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody feeds all batches, and looks for items that have ended unnoticed.
    Feed,
    Claim(usize),
    /// Whatever is held is worked, and the next ones are claimed.
    Work,
    Finish(usize),
    /// A commit whose answer was lost is repeated.
    FinishAgain(usize),
    Fail(usize),
    /// A consumer that is asked to end a job does so.
    Obey(usize),
    Release(usize),
    Requeue(usize, bool),
    RequeueAll,
    Cancel(usize),
    CancelBatch,
    Pause(bool),
    Resume,
    Vanish(usize),
    PythonTakes,
    PythonFinishes(bool),
    LoseOutput(usize),
    /// With failed items, or with those whose outputs are there.
    Repair(bool, bool),
    Delete,
    Submit,
}

fn step() -> impl Strategy<Value = Step> {
    let (slot, pick) = (0..SLOTS, any::<usize>());
    prop_oneof![
        8 => Just(Step::Feed),
        4 => Just(Step::Work),
        10 => slot.clone().prop_map(Step::Claim),
        8 => slot.clone().prop_map(Step::Finish),
        2 => pick.prop_map(Step::FinishAgain),
        4 => slot.clone().prop_map(Step::Fail),
        1 => slot.clone().prop_map(Step::Obey),
        1 => slot.prop_map(Step::Release),
        2 => (pick, any::<bool>()).prop_map(|(job, force)| Step::Requeue(job, force)),
        2 => Just(Step::RequeueAll),
        2 => pick.prop_map(Step::Cancel),
        1 => Just(Step::CancelBatch),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => Just(Step::Resume),
        2 => pick.prop_map(Step::Vanish),
        2 => Just(Step::PythonTakes),
        2 => any::<bool>().prop_map(Step::PythonFinishes),
        3 => pick.prop_map(Step::LoseOutput),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(failed, adopt)| Step::Repair(failed, adopt)),
        1 => Just(Step::Delete),
        1 => Just(Step::Submit),
    ]
}

/// What a step consists of.
fn parts(step: &Step) -> Vec<Step> {
    match step {
        Step::Work => (0..SLOTS)
            .flat_map(|slot| [Step::Finish(slot), Step::Claim(slot)])
            .collect(),
        step => vec![step.clone()],
    }
}

/// Items below one, by stage and number; nothing if it waits for none of its own.
fn children(stage: usize, item: usize) -> Vec<(usize, usize)> {
    match stage {
        1 => {
            // Both lie in the one row of groups.
            let is_child = |child: &usize| child / 2 / 2 == item;
            let grid = (0..TOTALS[0]).filter(is_child);
            grid.map(|child| (0, child)).collect()
        }
        2 => vec![(1, item)],
        _ => Vec::new(),
    }
}

fn is_gathered(stage: usize) -> bool {
    stage == 1 || stage == 2
}

/// What is known of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Item {
    done: bool,
    out: bool,
    failed: bool,
    ready: bool,
    again: bool,
    counted: bool,
    seen: usize,
}

/// Whether an item has a mark.
type Has = fn(&Item) -> bool;

impl Item {
    fn has_mark(self) -> bool {
        self.done || self.out || self.failed || self.ready || self.again
    }
}

/// What is known of the batch.
#[derive(Clone, Debug, Default)]
struct State {
    head: HashMap<String, String>,
    stages: Vec<Vec<Item>>,
    waiting: usize,
}

impl State {
    fn of(redis: &Asker) -> Self {
        let head = redis.hash(HEAD);
        let stages = match head.is_empty() {
            true => Vec::new(),
            false => (0..TOTALS.len())
                .map(|stage| items(redis, stage, &head))
                .collect(),
        };
        Self {
            head,
            stages,
            waiting: redis.ask(&["LLEN", QUEUE]),
        }
    }

    fn number(&self, stage: usize, what: &str) -> usize {
        let found = self.head.get(&format!("{stage}:{what}"));
        found.map_or(0, |text| text.parse().expect("a number"))
    }

    fn is(&self, state: &str) -> bool {
        self.head.get("state").is_some_and(|is| is == state)
    }

    fn item(&self, (stage, item): (usize, usize)) -> Item {
        let items = self.stages.get(stage);
        items.map_or(Item::default(), |items| items[item])
    }

    /// Whether stages above were told of an item.
    fn counts(&self, at: (usize, usize)) -> bool {
        let item = self.item(at);
        item.done || (at.0 == GOES_ON && (item.failed || item.counted))
    }

    /// Whether all that an item waits for is there.
    fn may_run(&self, stage: usize, item: usize) -> bool {
        let all = match stage {
            BARRIER => (0..TOTALS[2]).map(|item| (2, item)).collect(),
            _ => children(stage, item),
        };
        all.iter().all(|&child| self.counts(child))
    }
}

/// The first bits of a text.
fn bits(redis: &Asker, key: &str, bits: usize) -> Vec<bool> {
    let bytes: Vec<u8> = redis.ask(&["GET", key]);
    let bit = |at: usize| {
        bytes
            .get(at / 8)
            .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
    };
    (0..bits).map(bit).collect()
}

fn items(redis: &Asker, stage: usize, head: &HashMap<String, String>) -> Vec<Item> {
    let total = TOTALS[stage];
    let bits = |what: &str| bits(redis, &format!("{HEAD}:{stage}:{what}"), total);
    let [done, out, failed] = ["done", "out", "failed"].map(bits);
    let [ready, again, counted] = ["ready", "again", "counted"].map(bits);
    let width = format!("u{}", head[&format!("{stage}:bits")]);
    let seen = |item: usize| {
        let (key, at) = (format!("{HEAD}:{stage}:seen"), format!("#{item}"));
        redis.ask::<Vec<usize>>(&["BITFIELD", &key, "GET", &width, &at])[0]
    };
    let item = |item: usize| Item {
        done: done[item],
        out: out[item],
        failed: failed[item],
        ready: ready[item],
        again: again[item],
        counted: counted[item],
        seen: if is_gathered(stage) { seen(item) } else { 0 },
    };
    (0..total).map(item).collect()
}

struct Model<'r> {
    redis: &'r Asker,
    folder: tempfile::TempDir,
    queue: Queue,
    leases: [Option<Lease>; SLOTS],
    /// Leases whose jobs were committed.
    spent: Vec<Lease>,
    before: State,
    /// Items below which something was repaired, or that were counted as done though nobody had worked them: what is below them
    /// need not be there any more.
    repaired: HashSet<(usize, usize)>,
    /// Items that were counted as done because their outputs were there: an operator may have their jobs worked all the same.
    adopted: HashSet<(usize, usize)>,
    stop: CancellationToken,
}

impl<'r> Model<'r> {
    fn new(redis: &'r Asker) -> Self {
        let stop = CancellationToken::new();
        // Claims do not wait for jobs that are not there.
        stop.cancel();
        let model = Self {
            redis,
            folder: tempfile::tempdir().expect("a folder"),
            queue: redis.queue("pod-1", SLOTS),
            leases: [const { None }; SLOTS],
            spent: Vec::new(),
            before: State::default(),
            repaired: HashSet::new(),
            adopted: HashSet::new(),
            stop,
        };
        fs::write(model.folder.path().join("plan.yaml"), PLAN).expect("a file");
        fs::create_dir(model.folder.path().join("bucket")).expect("a folder");
        model
    }

    /// Runs the program as an operator does, and gives its status.
    fn operate(&self, words: &[&str]) -> i32 {
        self.ask(words).0
    }

    /// The same, with what it printed.
    fn ask(&self, words: &[&str]) -> (i32, String) {
        let bucket = self.folder.path().join("bucket");
        let mut command = self.redis.program(words);
        command
            .current_dir(self.folder.path())
            .env("STORAGE_BUCKET", format!("file://{}", bucket.display()));
        operate(command)
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Feed => _ = self.operate(&["feed", "--once"]),
            Step::Claim(slot) if self.leases[slot].is_none() => {
                let claimed = self.queue.claim(slot, &self.stop).await;
                self.leases[slot] = claimed.expect("redis answers").map(|(lease, _)| lease);
            }
            Step::Claim(_) => {}
            Step::Finish(slot) => self.finish(slot).await?,
            Step::FinishAgain(pick) => {
                if !self.spent.is_empty() {
                    let lease = &self.spent[pick % self.spent.len()];
                    lease.ack(&[]).await.expect("redis answers");
                }
            }
            Step::Fail(slot) => self.fail(slot, "invalid_input").await,
            Step::Obey(slot) => {
                if let Some(lease) = &self.leases[slot] {
                    let key = lease.key().to_string();
                    let asked: Option<String> = self.redis.ask(&["HGET", &key, "rc_cancel"]);
                    if asked.is_some() {
                        self.fail(slot, "cancelled").await;
                    }
                }
            }
            Step::Release(slot) => {
                if let Some(lease) = self.leases[slot].take() {
                    lease.release().await.expect("redis answers");
                }
            }
            _ => self.take_from_outside(step),
        }
        Ok(())
    }

    /// What operators, Python consumers and chance do.
    fn take_from_outside(&mut self, step: &Step) {
        match *step {
            Step::Requeue(pick, force) => {
                if let Some(job) = self.pick(pick) {
                    let mut words = vec!["requeue", &job, "--queue", QUEUE];
                    words.extend(force.then_some("--force"));
                    self.operate(&words);
                }
            }
            Step::RequeueAll => _ = self.operate(&["requeue", "--batch", "model", "--yes"]),
            Step::Cancel(pick) => {
                if let Some(job) = self.pick(pick) {
                    self.operate(&["cancel", &job, "--queue", QUEUE]);
                }
            }
            Step::CancelBatch => _ = self.operate(&["batch", "cancel", "model", "--yes"]),
            Step::Pause(now) => {
                let mut words = vec!["batch", "pause", "model"];
                words.extend(now.then_some("--now"));
                self.operate(&words);
            }
            Step::Resume => _ = self.operate(&["batch", "resume", "model"]),
            Step::Vanish(pick) => {
                if let Some(job) = self.pick(pick) {
                    let _: u32 = self.redis.ask(&["DEL", &job]);
                }
            }
            Step::PythonTakes => self.redis.take_as_python(),
            Step::PythonFinishes(fails) => self.finish_as_python(fails),
            Step::LoseOutput(pick) => self.lose_output(pick),
            Step::Repair(failed, adopt) => self.repair(failed, adopt),
            Step::Delete => {
                if self.operate(&["batch", "delete", "model", "--yes"]) == 0 {
                    self.repaired.clear();
                }
            }
            Step::Submit => _ = self.operate(&["submit", "--plan", "plan.yaml"]),
            _ => unreachable!("a consumer does it"),
        }
    }

    fn pick(&self, pick: usize) -> Option<String> {
        let mut jobs = self.redis.keys("q:*");
        (!jobs.is_empty()).then(|| jobs.swap_remove(pick % jobs.len()))
    }

    /// Writes what the item of a job is to leave.
    fn leave_output(&self, job: &str) {
        let expected: Option<String> = self.redis.ask(&["HGET", job, "rc_expect"]);
        if let Some(key) = expected {
            let path = self.folder.path().join("bucket").join(key);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, "x").expect("an object");
        }
    }

    async fn finish(&mut self, slot: usize) -> Result<(), TestCaseError> {
        let Some(lease) = self.leases[slot].take() else {
            return Ok(());
        };
        let key = lease.key().to_string();
        let place: Option<String> = self.redis.ask(&["HGET", &key, "rc_item"]);
        self.leave_output(&key);
        if lease.ack(&[]).await.expect("redis answers") == Settled::Committed {
            let place = place.expect("it is an item");
            let (stage, item) = place.split_once(':').expect("a place");
            let at = (
                stage.parse().expect("a stage"),
                item.parse().expect("an item"),
            );
            let was_done = self.before.item(at).done;
            let is_twice = was_done && !self.adopted.contains(&at);
            prop_assert!(!is_twice, "{key} was done twice");
            self.spent.push(lease);
        }
        Ok(())
    }

    async fn fail(&mut self, slot: usize, class: &str) {
        if let Some(lease) = self.leases[slot].take() {
            let fields = [
                ("error_class", class.to_owned()),
                ("rc_why", class.to_owned()),
            ];
            lease.fail(&fields).await.expect("redis answers");
        }
    }

    fn finish_as_python(&self, fails: bool) {
        self.redis.finish_as_python(|job| match fails {
            true => "failed",
            false => {
                self.leave_output(job);
                "done"
            }
        });
    }

    fn outputs(&self) -> Vec<std::path::PathBuf> {
        let folders = ["grid", "joined", "checked", "summary"].map(|stage| {
            let folder = self.folder.path().join("bucket").join(stage);
            fs::read_dir(folder).into_iter().flatten().flatten()
        });
        let mut all: Vec<_> = folders.into_iter().flatten().map(|it| it.path()).collect();
        all.sort();
        all
    }

    fn lose_output(&self, pick: usize) {
        let all = self.outputs();
        if !all.is_empty() {
            fs::remove_file(&all[pick % all.len()]).expect("it was there");
        }
    }

    fn repair(&mut self, failed: bool, adopt: bool) {
        let mut words = vec!["repair", "--batch", "model", "--apply"];
        words.extend(failed.then_some("--failed"));
        words.extend(adopt.then_some("--adopt"));
        self.operate(&words);
        let after = State::of(self.redis);
        for (stage, total) in TOTALS.iter().enumerate() {
            for item in 0..*total {
                let is = after.item((stage, item));
                if is.has_mark() && !after.may_run(stage, item) {
                    self.repaired.insert((stage, item));
                }
                if is.done && !self.before.item((stage, item)).done {
                    self.adopted.insert((stage, item));
                }
            }
        }
    }

    /// Holds the batch to all that must be true of it at any time, and to what may have changed in this step.
    fn check(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let after = State::of(self.redis);
        let before = std::mem::replace(&mut self.before, after.clone());
        if after.head.is_empty() {
            let left = self.redis.keys("rc:batch*");
            prop_assert!(
                left.is_empty(),
                "of a batch that was deleted there is {left:?}"
            );
            return Ok(());
        }
        prop_assert!(
            !matches!(step, Step::Feed | Step::Submit)
                || after.waiting <= before.waiting.max(LONGEST),
            "the queue is too long: {}",
            after.waiting
        );
        for (stage, items) in after.stages.iter().enumerate() {
            self.check_counters(&after, stage)?;
            for (item, is) in items.iter().enumerate() {
                check_marks(*is, (stage, item))?;
                self.check_children(&after, stage, item)?;
                self.check_order(&before, &after, (stage, item))?;
            }
        }
        self.repaired.retain(|&(stage, item)| {
            after.item((stage, item)).has_mark() && !after.may_run(stage, item)
        });
        self.check_end(&after)
    }

    fn check_counters(&self, after: &State, stage: usize) -> Result<(), TestCaseError> {
        let items = &after.stages[stage];
        let count = |has: Has| items.iter().filter(|item| has(item)).count();
        let marks: [(&str, Has); 5] = [
            ("done", |item| item.done),
            ("out", |item| item.out),
            ("failed", |item| item.failed),
            ("ready", |item| item.ready),
            ("again", |item| item.again),
        ];
        for (what, has) in marks {
            let (counter, marked) = (after.number(stage, what), count(has));
            let text = format!("{stage}:{what} is {counter}, and {marked} are marked");
            prop_assert_eq!(counter, marked, "{}", text);
            let bits: usize = self
                .redis
                .ask(&["BITCOUNT", &format!("{HEAD}:{stage}:{what}")]);
            prop_assert_eq!(bits, marked, "{}: marks of no item", text);
        }
        let is_over = count(|item| item.done || item.failed) == TOTALS[stage];
        let has_ended = after.head.contains_key(&format!("{stage}:ended"));
        prop_assert_eq!(has_ended, is_over, "the end of stage {}", stage);
        // What was passed by is somewhere.
        let passed = items.iter().take(after.number(stage, "next"));
        let lost = passed.clone().position(|item| !item.has_mark());
        prop_assert!(
            lost.is_none(),
            "item {lost:?} of stage {stage} was passed over"
        );
        Ok(())
    }

    fn check_children(
        &self,
        after: &State,
        stage: usize,
        item: usize,
    ) -> Result<(), TestCaseError> {
        if !is_gathered(stage) {
            return Ok(());
        }
        let (is, children) = (after.item((stage, item)), children(stage, item));
        let counted = children
            .iter()
            .filter(|&&child| after.counts(child))
            .count();
        let text = format!(
            "{stage}:{item} {is:?}, {counted} of {} children",
            children.len()
        );
        prop_assert_eq!(is.seen, counted, "{}", text);
        let is_complete = counted == children.len();
        prop_assert!(
            !is_complete || is.has_mark(),
            "it is not released: {}",
            text
        );
        prop_assert!(
            is_complete || !is.has_mark() || self.repaired.contains(&(stage, item)),
            "it was released early: {}",
            text
        );
        Ok(())
    }

    /// Nothing becomes a job before all that it waits for is there.
    fn check_order(
        &self,
        before: &State,
        after: &State,
        at: (usize, usize),
    ) -> Result<(), TestCaseError> {
        let (was, is) = (before.item(at), after.item(at));
        let has_begun = (is.out && !was.out) || (is.ready && !was.ready);
        let is_exempt = was.has_mark() && self.repaired.contains(&at);
        prop_assert!(
            !has_begun || is_exempt || after.may_run(at.0, at.1),
            "{at:?} is early: {was:?}, {is:?}"
        );
        Ok(())
    }

    fn check_end(&self, after: &State) -> Result<(), TestCaseError> {
        let stages = 0..TOTALS.len();
        let ended = stages.filter(|stage| after.head.contains_key(&format!("{stage}:ended")));
        let ended = ended.count();
        let counter = after.head.get("ended").map_or("0", String::as_str);
        prop_assert_eq!(counter, ended.to_string());
        let is_over = ended == TOTALS.len();
        prop_assert_eq!(after.is("finished"), is_over, "{:?}", after.head);
        let score: Option<String> = self.redis.ask(&["ZSCORE", "rc:feed:q", "model"]);
        prop_assert_eq!(score.is_none(), is_over, "whether it is fed");
        let life: i64 = self.redis.ask(&["TTL", HEAD]);
        prop_assert_eq!(life > 0, is_over, "it expires in {} s", life);
        Ok(())
    }

    async fn act(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.take(step).await?;
        self.check(step)
    }

    /// Nothing goes wrong any more: all is worked, and all outputs are there.
    async fn settle(&mut self) -> Result<(), TestCaseError> {
        self.act(&Step::Submit).await?;
        self.act(&Step::Resume).await?;
        for round in 0.. {
            prop_assert!(round < 40, "it does not come to an end: {:?}", self.before);
            self.act(&Step::PythonFinishes(false)).await?;
            self.act(&Step::Feed).await?;
            let worked = self.work().await?;
            if worked > 0 {
                continue;
            }
            if self.before.stages.iter().flatten().any(|item| item.failed) {
                self.act(&Step::RequeueAll).await?;
                self.act(&Step::Repair(true, true)).await?;
            } else if self.before.is("finished") {
                if self.operate(&["repair", "--batch", "model"]) == 0 {
                    break;
                }
                self.act(&Step::Repair(false, false)).await?;
            }
        }
        for (stage, total) in TOTALS.iter().enumerate() {
            prop_assert_eq!(self.before.number(stage, "done"), *total);
        }
        prop_assert_eq!(self.outputs().len(), TOTALS.iter().sum::<usize>());
        let (status, said) = self.ask(&["fsck"]);
        prop_assert_eq!(status, 0, "{}", said);
        Ok(())
    }

    /// Works all that waits, and gives how many jobs that were.
    async fn work(&mut self) -> Result<usize, TestCaseError> {
        let mut worked = 0;
        loop {
            for set in ["rc:lease:q", "rc:delayed:q"] {
                self.redis.set_scores(set);
            }
            for slot in 0..SLOTS {
                self.act(&Step::Claim(slot)).await?;
            }
            let held = self.leases.iter().flatten().count();
            worked += held;
            for slot in 0..SLOTS {
                self.act(&Step::Finish(slot)).await?;
            }
            if held == 0 {
                // What was left by leases of jobs that had vanished is found when these have ended.
                let _: u32 = self.redis.ask(&["DEL", "rc:rlock:q"]);
                self.queue.reclaim_expired().await.expect("redis answers");
                return Ok(worked);
            }
        }
    }
}

/// An item is in one place only.
fn check_marks(is: Item, at: (usize, usize)) -> Result<(), TestCaseError> {
    let marks = [is.done, is.out, is.failed, is.ready, is.again];
    let set = marks.iter().filter(|mark| **mark).count();
    prop_assert!(set <= 1, "{at:?} has several marks: {is:?}");
    Ok(())
}

#[test]
fn no_interleaving_breaks_the_marks_of_a_batch() {
    let config = Config {
        max_shrink_iters: 200,
        ..config(12)
    };
    interleavings::run(config, step(), async |redis, steps| {
        let mut model = Model::new(redis);
        model.act(&Step::Submit).await?;
        for step in steps.iter().flat_map(parts) {
            model.act(&step).await?;
        }
        model.settle().await
    });
}
