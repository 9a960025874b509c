//! Plans that run: the real program, real consumers, and what goes wrong meanwhile.

/// Images of movies, segmented and then tracked.
mod movies;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

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

    /// A file with a plan.
    fn plan(&self, text: &str) -> String {
        let path = self.home.path().join("plan.yaml");
        fs::write(&path, text).expect("a file");
        path.display().to_string()
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

    fn wait_finished(&self, name: &str) {
        eventually("the batch has finished", || {
            self.batch(name)
                .get("state")
                .is_some_and(|state| state == "finished")
        });
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
    let plan = site.plan(LAYERS);
    let said = site.run(0, &["submit", "--plan", &plan]);
    assert!(
        said.contains("batch layers: 134 items in 4 stages"),
        "{said}"
    );
    // No more than the queue may hold, and what was submitted twice is there once.
    assert_eq!(site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]), 40);
    let said = site.run(0, &["submit", "--plan", &plan]);
    assert!(said.contains("layers  running"), "{said}");
    let other = site.plan(&LAYERS.replace("x: 7", "x: 8"));
    site.run(75, &["submit", "--plan", &other]);
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
    let status = site.run(0, &["status", "--batch", "layers", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["stages"][0]["done"], 105);
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
    let plan = site.plan(LAYERS);
    site.run(0, &["submit", "--plan", &plan]);
    let _pod = site.start("pod-1");
    eventually("all but its parents are done", || {
        let batch = site.batch("layers");
        let is = |field: &str, value: &str| batch.get(field).is_some_and(|found| found == value);
        is("0:done", "104") && is("0:failed", "1") && is("1:done", "23") && is("2:done", "3")
    });
    let status = site.run(0, &["status", "--batch", "layers"]);
    assert!(
        status.contains("1 failed: RuntimeError: exit status #: it is bad"),
        "{status}"
    );
    let status = site.run(0, &["status", "--batch", "layers", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["stages"][1]["blocked"], 1);
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
    let batch = site.batch("layers");
    assert_eq!(
        (batch["0:done"].as_str(), batch["0:failed"].as_str()),
        ("105", "0")
    );
    assert_eq!(firsts(&site.log()).len(), 134);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_paused_cancelled_and_resumed() {
    let site = Site::open().await;
    let plan = site.plan(LAYERS);
    let length = || site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]);
    site.run(0, &["submit", "--plan", &plan, "--paused"]);
    assert_eq!(length(), 0);
    site.run(0, &["batch", "resume", "layers"]);
    let pod = site.start("pod-1");
    eventually("some are worked", || site.log().len() > 5);
    let said = site.run(0, &["batch", "pause", "layers", "--now"]);
    assert!(said.contains("paused"), "{said}");
    eventually("what ran has ended", || {
        site.batch("layers")["0:out"] == "0"
    });
    assert_eq!(length(), 0);
    let worked = site.log().len();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(site.log().len(), worked);
    site.run(75, &["batch", "pause", "layers"]);
    site.run(0, &["batch", "resume", "layers"]);
    eventually("more are worked", || site.log().len() > worked + 5);
    site.run(0, &["batch", "cancel", "layers", "--yes"]);
    eventually("nothing is under way", || {
        site.batch("layers")["0:out"] == "0"
    });
    assert_eq!(
        site.batch("layers")
            .get("0:failed")
            .map_or("0", String::as_str),
        "0"
    );
    site.run(0, &["batch", "resume", "layers"]);
    site.wait_finished("layers");
    assert_eq!(firsts(&site.log()).len(), 134);
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_vanish_or_end_elsewhere_are_noticed() {
    let site = Site::open().await;
    let plan = site.plan(LAYERS);
    site.run(0, &["submit", "--plan", &plan]);
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
    let batch = site.batch("layers");
    assert_eq!(
        (batch["0:vanished"].as_str(), batch["0:done"].as_str()),
        ("20", "105")
    );
    assert_eq!(firsts(&site.log()).len(), 134 - 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_runs_every_stage() {
    let site = Site::open().await;
    let plan = site.plan(LAYERS);
    let said = site.run(0, &["submit", "--plan", &plan, "--sample", "8"]);
    assert!(said.contains("batch layers.sample: 11 items"), "{said}");
    let _pod = site.start("pod-1");
    site.wait_finished("layers.sample");
    let log = site.log();
    for layer in 2..=5 {
        assert!(log.iter().any(|item| item[0] == layer), "layer {layer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_holds_its_stage_and_barriers_open_when_all_is_there() {
    let site = Site::open().await;
    fs::write(site.bad(), "s   ").expect("a file");
    let plan = site.plan(
        r#"
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
"#,
    );
    site.run(0, &["submit", "--plan", &plan]);
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
    eventually("all is processed", || {
        site.batch("chain")
            .get("1:done")
            .is_some_and(|done| done == "6")
    });
    site.run(0, &["batch", "start", "chain", "--stage", "summary"]);
    site.wait_finished("chain");
}

/// The same layers, whose items leave an object each.
fn layers_with_outputs() -> String {
    let fields = "fields: {layer: \"{{ layer }}\", x: \"{{ x }}\", y: \"{{ y }}\", z: \"{{ z }}\"}";
    let expect = "expect: [\"chunks/{{ stage }}/{{ x }}_{{ y }}_{{ z }}.txt\"]";
    LAYERS
        .replace(fields, &format!("{fields}\n    {expect}"))
        .replace("    limit:", &format!("    {expect}\n    limit:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_in_the_bucket_is_worked_again_with_all_above_it() {
    let site = Site::open().await;
    let plan = site.plan(&layers_with_outputs());
    site.run(0, &["submit", "--plan", &plan]);
    let work = r#"
        echo "$RC_FIELD_LAYER $RC_FIELD_X $RC_FIELD_Y $RC_FIELD_Z" >> "$HOME/log"
        name="${RC_FIELD_X}_${RC_FIELD_Y}_${RC_FIELD_Z}.txt"
        echo "$name" > "$RC_OUTPUT/$name"
    "#;
    let pod = site
        .pod("pod-1")
        .set("EXEC_COMMAND", work)
        .set("EXEC_RESULT", "keys");
    let _pod = pod.start();
    site.wait_finished("layers");
    let said = site.run(0, &["repair", "--batch", "layers"]);
    assert!(said.contains("nothing is to be done"), "{said}");
    // A chunk, a parent of another chunk, and a parent of that chunk's.
    for key in ["l2/6_4_2", "l3/0_0_0", "l3/3_2_1"] {
        site.cluster.remove(&format!("chunks/{key}.txt"));
    }
    site.cluster.put("chunks/l2/strange.txt", b"?");
    let before = site.log().len();
    let said = site.run(4, &["repair", "--batch", "layers"]);
    let expected = "to be worked again: l2 1, l3 1; to follow by themselves: l3 1";
    assert!(
        said.contains(expected) && said.contains("Nothing was changed"),
        "{said}"
    );
    assert_eq!(site.log().len(), before);
    let json = site.run(4, &["repair", "--batch", "layers", "--json"]);
    let l2: serde_json::Value =
        serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&l2["present"], &l2["missing"], &l2["orphans"]),
        (&104.into(), &1.into(), &1.into())
    );
    site.run(0, &["repair", "--batch", "layers", "--apply"]);
    eventually("all is there again", || {
        let output = site.cluster.run(&["repair", "--batch", "layers"], &[]);
        output.status.code() == Some(0)
    });
    site.wait_finished("layers");
    let mut again = site.log().split_off(before);
    again.sort_unstable();
    assert_eq!(again, [[2, 6, 4, 2], [3, 0, 0, 0], [3, 3, 2, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_of_queues_without_consumers_are_fed_and_their_outputs_repaired_in_order() {
    let site = Site::open().await;
    let plan = site.plan(
        r#"
plan: 1
name: scans
stages:
  - name: prepare
    queue: ingest
    items: {list: [a, b, c]}
    expect: ["prepared/{{ item }}.txt"]
  - name: detect
    queue: later
    after: prepare
    expect: ["detected/{{ item }}.txt"]
"#,
    );
    site.run(0, &["submit", "--plan", &plan]);
    let work = r#"
        echo "$RC_FIELD_ORIGINAL_NAME" >> "$HOME/worked"
        echo x > "$RC_OUTPUT/$RC_FIELD_ORIGINAL_NAME.txt"
    "#;
    let pod = |name: &str, queue: &str| {
        let pod = site.pod(name).set("QUEUE", queue);
        pod.set("EXEC_COMMAND", work).set("EXEC_RESULT", "keys")
    };
    let _first = pod("pod-1", "ingest").start();
    // Nobody serves it yet, and an autoscaler is to see it.
    eventually("the second queue is filled", || {
        site.cluster.redis.ask::<u64>(&["LLEN", "later"]) == 3
    });
    let _second = pod("pod-2", "later").start();
    site.wait_finished("scans");
    site.cluster.remove("prepared/b.txt");
    site.cluster.remove("detected/b.txt");
    let said = site.run(4, &["repair", "--batch", "scans"]);
    let expected = "to be worked again: prepare 1; to follow by themselves: detect 1";
    assert!(said.contains(expected), "{said}");
    site.run(0, &["repair", "--batch", "scans", "--apply"]);
    site.wait_finished("scans");
    let said = site.run(0, &["repair", "--batch", "scans", "--json"]);
    assert!(said.matches("\"present\":3").count() == 2, "{said}");
    let worked = fs::read_to_string(site.home.path().join("worked")).expect("a log");
    assert_eq!(worked.lines().count(), 8, "{worked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_can_be_repaired() {
    let site = Site::open().await;
    let text = layers_with_outputs().replace("chunks/", "{{ batch }}/");
    let plan = site.plan(&text);
    site.run(0, &["submit", "--plan", &plan, "--sample", "8"]);
    let work = r#"
        name="${RC_FIELD_X}_${RC_FIELD_Y}_${RC_FIELD_Z}.txt"
        echo "$name" > "$RC_OUTPUT/$name"
    "#;
    let pod = site
        .pod("pod-1")
        .set("EXEC_COMMAND", work)
        .set("EXEC_RESULT", "keys");
    let _pod = pod.start();
    site.wait_finished("layers.sample");
    let said = site.run(0, &["repair", "--batch", "layers.sample"]);
    assert!(said.contains("nothing is to be done"), "{said}");
    site.cluster.remove("layers.sample/l5/0_0_0.txt");
    site.run(0, &["repair", "--batch", "layers.sample", "--apply"]);
    site.wait_finished("layers.sample");
    site.cluster.object("layers.sample/l5/0_0_0.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_of_a_lost_batch_are_adopted() {
    let site = Site::open().await;
    let plan = site.plan(&layers_with_outputs());
    for (x, y, z) in [(0, 0, 1), (1, 0, 1), (6, 4, 3)] {
        site.cluster
            .put(&format!("chunks/l2/{x}_{y}_{z}.txt"), b"x");
    }
    site.run(0, &["submit", "--plan", &plan, "--paused"]);
    let said = site.run(4, &["repair", "--batch", "layers", "--adopt"]);
    assert!(said.contains("to be counted as done: l2 3"), "{said}");
    site.run(0, &["repair", "--batch", "layers", "--adopt", "--apply"]);
    assert_eq!(site.batch("layers")["0:done"], "3");
    site.run(0, &["batch", "resume", "layers"]);
    let work = r#"
        echo "$RC_FIELD_LAYER $RC_FIELD_X $RC_FIELD_Y $RC_FIELD_Z" >> "$HOME/log"
        name="${RC_FIELD_X}_${RC_FIELD_Y}_${RC_FIELD_Z}.txt"
        echo "$name" > "$RC_OUTPUT/$name"
    "#;
    let pod = site
        .pod("pod-1")
        .set("EXEC_COMMAND", work)
        .set("EXEC_RESULT", "keys");
    let _pod = pod.start();
    site.wait_finished("layers");
    assert_eq!(firsts(&site.log()).len(), 134 - 3);
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
