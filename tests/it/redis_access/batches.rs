//! Batches, fed and worked by the user that docs/security.md proposes for consumers, looked after by that for operators.

use std::fs;

use super::{create_the_documented_operator, create_the_documented_user, pod_of, run_as};
use crate::peers::cluster::{Cluster, Pod, eventually};
use crate::peers::redis::Redis;
use crate::peers::synthetic_images::archive;

/// A grid, its groups with lists of their children, and a barrier that a person opens.
const PLAN: &str = r#"
plan: 1
name: layers
stages:
  - name: grid
    queue: segmentation
    items: {range: {x: 4, y: 2}}
    fields: {leaves: "{{ x }}_{{ y }}.txt"}
    expect: [result]
    keep: {done: 2}
    stop_after: {same_cause: 5}
  - name: joined
    queue: segmentation
    after: {stage: grid, group: {x: 2, y: 2}}
    manifest: true
    on_failure: go_on
    fields: {leaves: "{{ x }}_{{ y }}.txt"}
    expect: [result]
  - name: summary
    queue: segmentation
    items: {list: [all]}
    after: {stage: joined, all: true}
    trigger: manual
    fields: {leaves: all.txt}
    expect: [result]
"#;

/// What works an item, unless it is bad.
const LEAVE: &str = r#"
    if [ "$RC_FIELD_LEAVES" = "$(cat "$HOME/bad" 2>/dev/null)" ]; then exit 65; fi
    echo x > "$RC_OUTPUT/$RC_FIELD_LEAVES"
"#;

/// A Redis with both users, and a folder for plans.
struct Lab {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Lab {
    async fn open() -> Self {
        let cluster = Cluster::with_nuclei(Redis::start()).await;
        let lab = Self {
            cluster,
            home: tempfile::tempdir().expect("a folder"),
        };
        lab.give_rights();
        create_the_documented_operator(&lab.cluster.redis);
        lab
    }

    /// Gives the consumers' user all that it should have.
    fn give_rights(&self) {
        create_the_documented_user(&self.cluster.redis, "consumer", &[]);
        add_the_rights_of_batches(&self.cluster.redis);
    }

    /// Writes a file, and gives its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    /// Runs commands as the operators' user.
    fn operate(&self, commands: &[&str]) {
        for command in commands {
            let words: Vec<_> = command.split(' ').collect();
            run_as(&self.cluster, "operator", &words);
        }
    }

    /// A consumer, as the consumers' user.
    fn start(&self) -> Pod {
        pod_of(&self.cluster, "pod-1", "exec")
            .set("EXEC_COMMAND", LEAVE)
            .set("EXEC_SHELL", "true")
            .set("EXEC_RESULT", "zip")
            .set("CONCURRENCY", "2")
            .set("PATH", option_env!("PATH").unwrap_or("/usr/bin:/bin"))
            .set("HOME", self.home.path().to_str().expect("a path"))
            .start()
    }

    /// Whether the batch has all of these.
    fn is(&self, fields: &[(&str, &str)]) -> bool {
        let batch = self.cluster.redis.hash("rc:batch:layers");
        let mut fields = fields.iter();
        fields.all(|(field, value)| batch.get(*field).is_some_and(|it| it == value))
    }

    fn wait_finished(&self) {
        eventually("the batch has finished", || {
            self.is(&[("state", "finished")])
        });
    }

    /// Of the jobs that come next one vanishes, and one is ended by a consumer that knows no batches.
    fn disturb(&self) {
        let redis = &self.cluster.redis;
        let queued: Vec<String> = redis.ask(&["LRANGE", "segmentation", "-2", "-1"]);
        let _: u32 = redis.ask(&["DEL", &queued[0]]);
        let result = "output/by-python.zip";
        self.cluster.put(result, &archive(&["a.png"]));
        let done = ["status", "done", "output_file_name", result];
        let _: u32 = redis.ask(&[&["HSET", &queued[1]], &done[..]].concat());
    }

    /// Loses the output of the item of a stage that was done last, and gives its key.
    fn lose_output(&self, stage: u32) -> String {
        let list = format!("rc:batch:layers:{stage}:recent");
        let last: String = self.cluster.redis.ask(&["LINDEX", &list, "0"]);
        let key = self.cluster.redis.hash(&last)["output_file_name"].clone();
        self.cluster.remove(&key);
        key
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_users_may_do_all_that_batches_need_and_nothing_is_denied() {
    let lab = Lab::open().await;
    let (plan, bad) = (lab.file("plan.yaml", PLAN), lab.file("bad", "2_1.txt"));
    lab.operate(&[&format!("submit --plan {plan}")]);
    lab.disturb();
    let pod = lab.start();
    eventually("all is done but what failed", || {
        let ended = [("0:done", "7"), ("0:failed", "1"), ("0:vanished", "1")];
        lab.is(&ended) && lab.is(&[("1:done", "1")])
    });
    lab.operate(&LOOKS);
    fs::remove_file(bad).expect("it was there");
    lab.operate(&["requeue --batch layers --yes"]);
    eventually("all is joined", || lab.is(&[("1:done", "2")]));
    lab.operate(&["batch start layers --stage summary"]);
    lab.wait_finished();
    let lost = lab.lose_output(1);
    lab.operate(&["repair --batch layers --apply"]);
    lab.wait_finished();
    lab.operate(&["repair --batch layers"]);
    lab.cluster.object(&lost);
    let other = PLAN.replace("layers", "other");
    let plan = lab.file("other.yaml", &other);
    lab.operate(&["queue pause segmentation", &format!("submit --plan {plan}")]);
    lab.file("other.yaml", &other.replace("done: 2", "done: 1"));
    lab.operate(&[&format!("submit --plan {plan} --update")]);
    lab.operate(&ENDS);
    let denied: Vec<redis::Value> = lab.cluster.redis.ask(&["ACL", "LOG"]);
    assert!(denied.is_empty(), "{denied:#?}");
    // What scripts find out beforehand is not in there.
    let log = pod.log();
    assert!(!log.contains("NOPERM") && !log.contains("refused"), "{log}");
}

/// Commands that look at a batch that runs, and hold it up for a moment.
const LOOKS: [&str; 12] = [
    "status --batch layers",
    "failed --batch layers",
    "failed --batch layers --group",
    "batch list",
    "batch show layers",
    "batch item layers grid 2_1",
    "batch item layers joined 1_0",
    "batch pause layers",
    "batch pause layers --now",
    "feed --once",
    "batch resume layers",
    "feed --once",
];

/// Commands that end a batch whose queue is paused, and forget all of them.
const ENDS: [&str; 7] = [
    "batch pause other --now",
    "batch resume other",
    "feed --once",
    "batch cancel other --yes",
    "batch delete other --yes",
    "batch delete layers --yes",
    "queue resume segmentation",
];

/// Rights without which nothing is fed, or no end of an item is counted, and how that is said.
const FEEDING: [&str; 6] = [
    "-hincrby", "-lpush", "-setbit", "-getbit", "-hsetnx", "-sadd",
];
const COUNTING: [&str; 3] = ["-bitfield", "-hlen", "-unlink"];
const NOT_FED: &str = "a batch cannot be fed";
const NOT_COUNTED: &str = "refused to tell the job's parent";

#[tokio::test(flavor = "multi_thread")]
async fn no_item_is_lost_while_a_right_is_missing() {
    let lab = Lab::open().await;
    let redis = &lab.cluster.redis;
    let plan = PLAN
        .replace("x: 4, y: 2", "x: 80, y: 4")
        .replace("keep: {done: 2}", "limit: {queue: 4}")
        .replace("    trigger: manual\n", "");
    lab.operate(&[&format!("submit --plan {}", lab.file("plan.yaml", &plan))]);
    let pod = lab.start();
    let said = |what: &str| pod.log().matches(what).count();
    let feeding = FEEDING.map(|right| (right, NOT_FED)).into_iter();
    for (right, what) in feeding.chain(COUNTING.map(|right| (right, NOT_COUNTED))) {
        let before = said(what);
        let _: String = redis.ask(&["ACL", "SETUSER", "consumer", right]);
        // There is room to be fed, whether or not jobs are taken: what waits vanishes.
        for job in redis.list("segmentation") {
            let _: u32 = redis.ask(&["DEL", &job]);
            let _: u32 = redis.ask(&["LREM", "segmentation", "0", &job]);
        }
        eventually(what, || said(what) > before);
        lab.give_rights();
        eventually("it is fed again", || !redis.list("segmentation").is_empty());
    }
    lab.wait_finished();
    for (stage, items) in [(0, "320"), (1, "80"), (2, "1")] {
        let (done, out) = (format!("{stage}:done"), format!("{stage}:out"));
        assert!(lab.is(&[(&done, items), (&out, "0")]), "stage {stage}");
    }
    eventually("nothing is left behind", || lab.cluster.is_quiet());
}

/// The further rights of consumers on whose queues batches run, as docs/security.md gives them.
fn add_the_rights_of_batches(redis: &Redis) {
    let text = include_str!("../../../docs/security.md");
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| line.starts_with("ACL SETUSER consumer ~rc:batch"));
    let rule = lines.next().expect("the rights of batches");
    let words: Vec<_> = rule.split(' ').collect();
    let _: String = redis.ask(&words);
}
