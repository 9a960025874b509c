//! Plans that run: the real program, real consumers, and what goes wrong meanwhile.

/// Stages that wait for all of another.
mod barriers;

/// Batches that operators change.
mod changing;

/// How often and how long items are worked.
mod endings;

/// Files that are uploaded before their batch begins.
mod files;

/// Batches that are followed to their end.
mod following;

/// What a job that gathers others is told of them.
mod gathering;

/// Lists that are read late.
mod late;

/// How much is under way.
mod limits;

/// Images of movies, segmented and then tracked.
mod movies;

/// Batches compared with the bucket, and repaired.
mod repair;

/// Batches that Redis has lost.
mod restoring;

/// Sessions of scans through roles.
mod scans;

/// Rules that are held against what is there before a batch is written.
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::operators::run;
use crate::peers::cluster::{Cluster, Pod, PodSettings, eventually};
use crate::peers::redis::Redis;

/// A grid with odd edges, and layers up to its root.
const LAYERS: &str = r#"
plan: 1
name: layers
stages:
  - name: l2
    queue: ingest
    items: {range: {x: 7, y: 5, z: [1, 4]}}
    shuffle: true
    fields: {layer: "2", x: "{{ x }}", y: "{{ y }}", z: "{{ z }}"}
    limit: {queue: 40}
  - repeat: {layer: [3, auto]}
    name: "l{{ layer }}"
    queue: ingest
    after: {stage: previous, group: {x: 2, y: 2, z: 2}}
    first: true
    fields: {layer: "{{ layer }}", x: "{{ x }}", y: "{{ y }}", z: "{{ z }}"}
"#;

/// What works an item: it says so in a log, unless it is told to fail.
const WORK: &str = r#"
    item="$RC_FIELD_LAYER $RC_FIELD_X $RC_FIELD_Y $RC_FIELD_Z"
    if [ "$item" = "$(cat "$HOME/bad" 2>/dev/null)" ]; then echo "it is bad" >&2; exit 3; fi
    echo "$item" >> "$HOME/log"
"#;

/// A Redis, a bucket, and a folder for plans and logs.
struct Site {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        Self {
            cluster: Cluster::with(Redis::start_in_memory(), Vec::new()).await,
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Submits a plan, and gives what the command printed.
    fn submit(&self, status: i32, plan: &str, options: &[&str]) -> String {
        let path = self.write_plan(plan);
        let plan = ["submit", "--plan", &path];
        self.run(status, &[&plan, options].concat())
    }

    /// Writes a plan, and gives its path.
    fn write_plan(&self, plan: &str) -> String {
        let path = self.home.path().join("plan.yaml");
        fs::write(&path, plan).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    /// A consumer that works items of the queue.
    fn pod(&self, name: &str) -> PodSettings {
        let path = option_env!("PATH").unwrap_or("/usr/bin:/bin");
        self.cluster
            .pod(name)
            .set("QUEUE", "ingest")
            .set("CONSUMER_TYPE", "exec")
            .set("EXEC_COMMAND", WORK)
            .set("EXEC_SHELL", "true")
            .set("EXEC_RESULT", "none")
            .set("LEASE_TIME", "2")
            .set("CONCURRENCY", "2")
            .set("PATH", path)
            .set("HOME", self.home.path().to_str().expect("a path"))
    }

    fn start(&self, name: &str) -> Pod {
        self.pod(name).start()
    }

    fn run(&self, status: i32, arguments: &[&str]) -> String {
        run(&self.cluster, status, arguments)
    }

    fn batch(&self, name: &str) -> HashMap<String, String> {
        self.cluster.redis.hash(&format!("rc:batch:{name}"))
    }

    /// Whether all of these fields of a batch have these values.
    fn is(&self, name: &str, expected: &[(&str, &str)]) -> bool {
        let batch = self.batch(name);
        let is = |(field, value): &(&str, &str)| batch.get(*field).is_some_and(|it| it == value);
        expected.iter().all(is)
    }

    /// Lets a batch go on, whose first items are fed by consumers; `batch resume` feeds them itself.
    fn resume_unfed(&self, name: &str) {
        let head = format!("rc:batch:{name}");
        let set = ["HSET", &head, "state", "running"];
        self.cluster.redis.ask::<u64>(&set);
    }

    fn wait_finished(&self, name: &str) {
        eventually("the batch has finished", || {
            self.is(name, &[("state", "finished")])
        });
    }

    /// What `status --json` says of a batch.
    fn status(&self, name: &str) -> Value {
        let text = self.run(0, &["status", "--batch", name, "--json"]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// Items in the order in which they were worked.
    fn log(&self) -> Vec<[u64; 4]> {
        let text = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let item = |line: &str| {
            let numbers: Vec<_> = line
                .split(' ')
                .map(|word| word.parse().expect("a number"))
                .collect();
            numbers.try_into().expect("four numbers")
        };
        text.lines().map(item).collect()
    }

    fn bad(&self) -> PathBuf {
        self.home.path().join("bad")
    }
}

/// How many items each layer of [`LAYERS`] has.
const COUNTS: [(u64, usize); 4] = [(2, 105), (3, 24), (4, 4), (5, 1)];

/// When each item was worked first.
fn firsts(log: &[[u64; 4]]) -> BTreeMap<[u64; 4], usize> {
    let mut firsts = BTreeMap::new();
    for (at, item) in log.iter().enumerate() {
        firsts.entry(*item).or_insert(at);
    }
    firsts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layered_plan_runs_to_its_root_though_consumers_are_killed() {
    let site = Site::open().await;
    let said = site.submit(0, LAYERS, &[]);
    assert!(
        said.contains("batch layers: 134 items in 4 stages"),
        "{said}"
    );
    // No more than the queue may hold, and what was submitted twice is there once.
    assert_eq!(site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]), 40);
    let said = site.submit(0, LAYERS, &[]);
    assert!(said.contains("layers  running"), "{said}");
    site.submit(75, &LAYERS.replace("x: 7", "x: 8"), &[]);
    let mut pods = [site.start("pod-1"), site.start("pod-2")];
    for round in 0..3 {
        let worked = site.log().len();
        eventually("some more are worked", || site.log().len() > worked + 15);
        pods[round % 2].kill();
        pods[round % 2] = site.start(&format!("pod-{}", round + 3));
    }
    site.wait_finished("layers");
    let log = site.log();
    let firsts = firsts(&log);
    for (layer, count) in COUNTS {
        let items = firsts.keys().filter(|item| item[0] == layer);
        assert_eq!(items.count(), count, "layer {layer}");
    }
    for (item, at) in firsts.iter().filter(|(item, _)| item[0] < 5) {
        let [layer, x, y, z] = *item;
        let parent = [layer + 1, x / 2, y / 2, z / 2];
        assert!(firsts[&parent] > *at, "{parent:?} was early");
    }
    let batch = site.batch("layers");
    for (stage, (_, count)) in COUNTS.iter().enumerate() {
        assert_eq!(batch[&format!("{stage}:done")], count.to_string());
        assert_eq!(batch[&format!("{stage}:out")], "0");
    }
    assert_eq!(site.status("layers")["stages"][0]["done"], 105);
    assert!(site.run(0, &["batch", "list"]).contains("finished"));
    let fsck = site.run(0, &["fsck"]);
    assert!(!fsck.contains("layers"), "{fsck}");
    site.run(0, &["batch", "delete", "layers", "--yes"]);
    assert_eq!(site.cluster.redis.keys("rc:batch*"), [""; 0]);
    assert_eq!(site.cluster.redis.keys("ingest:*"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_item_holds_its_parent_until_it_is_requeued() {
    let site = Site::open().await;
    fs::write(site.bad(), "2 3 2 1").expect("a file");
    site.submit(0, LAYERS, &[]);
    let _pod = site.start("pod-1");
    eventually("all but its parents are done", || {
        let done = [("0:done", "104"), ("1:done", "23"), ("2:done", "3")];
        site.is("layers", &done) && site.is("layers", &[("0:failed", "1")])
    });
    let status = site.run(0, &["status", "--batch", "layers"]);
    assert!(
        status.contains("1 failed: RuntimeError: exit status #: it is bad"),
        "{status}"
    );
    assert_eq!(site.status("layers")["stages"][1]["blocked"], 1);
    let item = site.run(0, &["batch", "item", "layers", "l3", "1_1_0"]);
    assert!(
        item.contains("l3 1_1_0") && item.contains("l2 3_2_1 has failed"),
        "{item}"
    );
    let item = site.run(0, &["batch", "item", "layers", "l2", "3_2_1"]);
    assert!(
        item.contains("failed") && item.contains("it is bad"),
        "{item}"
    );
    fs::remove_file(site.bad()).expect("it was there");
    let other = site.run(
        0,
        &["requeue", "--batch", "layers", "--stage", "l3", "--yes"],
    );
    assert!(other.contains("0 requeued"), "{other}");
    site.run(
        0,
        &["requeue", "--batch", "layers", "--stage", "l2", "--yes"],
    );
    site.wait_finished("layers");
    let status = site.run(0, &["status", "--batch", "layers"]);
    assert!(!status.contains("it is bad"), "{status}");
    assert!(site.is("layers", &[("0:done", "105"), ("0:failed", "0")]));
    assert_eq!(firsts(&site.log()).len(), 134);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_paused_cancelled_and_resumed() {
    let site = Site::open().await;
    let length = || site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]);
    site.submit(0, LAYERS, &["--paused"]);
    assert_eq!(length(), 0);
    site.run(0, &["batch", "resume", "layers"]);
    let pod = site.start("pod-1");
    eventually("some are worked", || site.log().len() > 5);
    let said = site.run(0, &["batch", "pause", "layers", "--now"]);
    assert!(said.contains("paused"), "{said}");
    let is_idle = || site.is("layers", &[("0:out", "0")]);
    eventually("what ran has ended", is_idle);
    assert_eq!(length(), 0);
    let worked = site.log().len();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(site.log().len(), worked);
    site.run(75, &["batch", "pause", "layers"]);
    site.run(0, &["batch", "resume", "layers"]);
    eventually("more are worked", || site.log().len() > worked + 5);
    site.run(0, &["batch", "cancel", "layers", "--yes"]);
    eventually("nothing is under way", is_idle);
    assert_eq!(site.status("layers")["stages"][0]["failed"], 0);
    site.run(0, &["batch", "resume", "layers"]);
    site.wait_finished("layers");
    assert_eq!(firsts(&site.log()).len(), 134);
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_vanish_or_end_elsewhere_are_noticed() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let redis = &site.cluster.redis;
    let queued: Vec<String> = redis.ask(&["LRANGE", "ingest", "0", "-1"]);
    // The entries of all, the hashes of some; a consumer that knows no batches has worked the others.
    let _: u64 = redis.ask(&["DEL", "ingest"]);
    for (number, key) in queued.iter().enumerate() {
        match number % 2 {
            0 => drop(redis.ask::<u64>(&["DEL", key])),
            _ => drop(redis.ask::<u64>(&["HSET", key, "status", "done"])),
        }
    }
    let _pod = site.start("pod-1");
    site.wait_finished("layers");
    assert!(site.is("layers", &[("0:vanished", "20"), ("0:done", "105")]));
    assert_eq!(firsts(&site.log()).len(), 134 - 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_janitor_feeds_and_counts_where_no_consumer_knows_batches() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &["--paused"]);
    site.resume_unfed("layers");
    let redis = &site.cluster.redis;
    let variables = [("QUEUE", "ingest"), ("JANITOR_LIVENESS", "heartbeat")];
    let mut janitor = site.cluster.start(&["janitor"], &variables);
    // As Python consumers do, which know no batches.
    eventually("all items are worked", || {
        while let Some(job) = redis.ask::<Option<String>>(&["RPOP", "ingest"]) {
            let _: u64 = redis.ask(&["HSET", &job, "status", "done"]);
        }
        site.is("layers", &[("state", "finished")])
    });
    janitor.kill().expect("it runs");
    janitor.wait().expect("it has ended");
    assert!(site.is("layers", &[("0:done", "105"), ("3:done", "1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_runs_every_stage() {
    let site = Site::open().await;
    let said = site.submit(0, LAYERS, &["--sample", "8"]);
    assert!(said.contains("batch layers.sample: 11 items"), "{said}");
    let _pod = site.start("pod-1");
    site.wait_finished("layers.sample");
    let log = site.log();
    for layer in 2..=5 {
        assert!(log.iter().any(|item| item[0] == layer), "layer {layer}");
    }
}

/// A stage that may fail three times, and one that waits for a person.
const CHAIN: &str = r#"
plan: 1
name: chain
stages:
  - name: scan
    queue: ingest
    items: {list: [a, b, c, d, e, f]}
    fields: {layer: s}
    stop_after: {same_cause: 3}
    limit: {at_once: 1}
  - name: process
    queue: ingest
    after: scan
    fields: {layer: "1", x: "0", y: "0", z: "0"}
  - name: summary
    queue: ingest
    after: {stage: process, all: true}
    items: {list: [all]}
    fields: {layer: "2", x: "0", y: "0", z: "0"}
    trigger: manual
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_holds_its_stage_and_barriers_open_when_all_is_there() {
    let site = Site::open().await;
    fs::write(site.bad(), "s   ").expect("a file");
    site.submit(0, CHAIN, &[]);
    let _pod = site.start("pod-1");
    eventually("it is held", || site.batch("chain").contains_key("0:held"));
    let status = site.run(0, &["status", "--batch", "chain"]);
    assert!(
        status.contains("scan is held: 3 items have failed of one cause"),
        "{status}"
    );
    let said = site.run(75, &["batch", "start", "chain", "--stage", "summary"]);
    assert_eq!(said, "");
    fs::write(site.bad(), "nothing").expect("a file");
    // What cannot be a number is no item of the log.
    fs::write(site.home.path().join("log"), "").expect("a file");
    site.run(0, &["batch", "resume", "chain"]);
    site.run(0, &["requeue", "--queue", "ingest", "--yes"]);
    eventually("all is processed", || site.is("chain", &[("1:done", "6")]));
    site.run(0, &["batch", "start", "chain", "--stage", "summary"]);
    site.wait_finished("chain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_has_ended_expires_unless_it_is_revived() {
    let site = Site::open().await;
    fs::write(site.bad(), "2 0 0 1").expect("a file");
    let plan = LAYERS.replace("x: 7, y: 5", "x: 1, y: 1");
    site.submit(
        0,
        &plan.replace("    limit:", "    on_failure: go_on\n    limit:"),
        &[],
    );
    let pod = site.start("pod-1");
    site.wait_finished("layers");
    drop(pod);
    let lives = || {
        let keys = site.cluster.redis.keys("rc:batch:*").into_iter();
        let life = |key: String| (site.cluster.redis.ask::<i64>(&["TTL", &key]), key);
        keys.map(life).collect::<Vec<_>>()
    };
    let ended = lives();
    assert!(ended.len() > 5, "{ended:?}");
    for (life, key) in ended {
        assert!(life > 29 * 86400, "{key} lives {life} s");
    }
    site.run(0, &["requeue", "--batch", "layers", "--yes"]);
    for (life, key) in lives() {
        assert_eq!(life, -1, "{key} expires");
    }
}

/// Many stages of one item each, all of one queue.
fn many_stages(name: &str, count: usize) -> String {
    let parts = (0..count.div_ceil(250)).map(|part| {
        let last = count.min(part * 250 + 250) - part * 250;
        format!("  - repeat: {{n: [1, {last}]}}\n    name: \"s{part}-{{{{ n }}}}\"\n    queue: ingest\n    items: {{list: [a]}}\n    fields: {{layer: \"0\", x: \"0\", y: \"0\", z: \"0\"}}\n")
    });
    format!(
        "plan: 1\nname: {name}\nstages:\n{}",
        parts.collect::<String>()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_one_queue_take_turns() {
    let site = Site::open().await;
    // It is in the front of the others, and nobody resumes it.
    site.submit(0, &many_stages("z", 20), &["--paused"]);
    let names: Vec<_> = (0..14).map(|number| format!("a{number}")).collect();
    for name in &names {
        site.submit(0, &many_stages(name, 2), &["--paused"]);
        site.resume_unfed(name);
    }
    assert_eq!(site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]), 0);
    let _pod = site.start("pod-1");
    for name in &names {
        site.wait_finished(name);
    }
    let said = site.run(0, &["batch", "list", "--json"]);
    assert_eq!(said.lines().count(), 15);
    assert_eq!(said.matches(r#""state":"finished""#).count(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_may_have_a_thousand_stages() {
    let site = Site::open().await;
    let said = site.submit(0, &many_stages("many", 1000), &["--paused"]);
    assert!(said.contains("1,000 items in 1,000 stages"), "{said}");
    let status = site.status("many");
    assert_eq!(status["stages"].as_array().map(Vec::len), Some(1000));
    assert_eq!(status["stages"][999]["total"], 1);
}

#[test]
fn plans_that_are_wrong_are_refused_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.yaml");
    fs::write(
        &path,
        "plan: 1\nname: a\nstages:\n  - name: s\n    quue: q\n",
    )
    .expect("a file");
    let (status, said) = check(&path);
    assert_eq!(status, Some(64));
    assert!(
        said.contains("line 5") && said.contains("`queue`"),
        "{said}"
    );
    fs::write(&path, LAYERS).expect("a file");
    assert_eq!(check(&path).0, Some(0));
}

/// The status of `plan check`, and all that it says.
fn check(path: &Path) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(["plan", "check"])
        .arg(path)
        .env_clear()
        .output()
        .expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}
