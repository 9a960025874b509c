//! Batches whose outputs are missing, there already, or nobody's.

use std::fs;

use serde_json::Value;

use super::{LAYERS, Site, firsts};
use crate::peers::cluster::{PodSettings, eventually};

/// What works an item of [`layers_with_outputs`]: it says so in a log, and leaves the item's object.
pub(super) const CHUNK: &str = r#"
    echo "$RC_FIELD_LAYER $RC_FIELD_X $RC_FIELD_Y $RC_FIELD_Z" >> "$HOME/log"
    name="${RC_FIELD_X}_${RC_FIELD_Y}_${RC_FIELD_Z}.txt"
    echo "$name" > "$RC_OUTPUT/$name"
"#;

/// Two stages in a row, and queues of their own.
pub(super) const SCANS: &str = r#"
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
"#;

/// What works an item of [`SCANS`].
pub(super) const SCAN: &str = r#"
    echo "$RC_FIELD_ORIGINAL_NAME" >> "$HOME/worked"
    echo x > "$RC_OUTPUT/$RC_FIELD_ORIGINAL_NAME.txt"
"#;

impl Site {
    /// A consumer whose items leave objects.
    pub(super) fn writer(&self, name: &str, work: &str) -> PodSettings {
        let pod = self.pod(name).set("EXEC_COMMAND", work);
        pod.set("EXEC_RESULT", "keys")
    }
}

/// The same layers, whose items leave an object each.
pub(super) fn layers_with_outputs() -> String {
    let fields = "fields: {layer: \"{{ layer }}\", x: \"{{ x }}\", y: \"{{ y }}\", z: \"{{ z }}\"}";
    let expect = "expect: [\"chunks/{{ stage }}/{{ x }}_{{ y }}_{{ z }}.txt\"]";
    LAYERS
        .replace(fields, &format!("{fields}\n    {expect}"))
        .replace("    limit:", &format!("    {expect}\n    limit:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_in_the_bucket_is_worked_again_with_all_above_it() {
    let site = Site::open().await;
    site.submit(0, &layers_with_outputs(), &[]);
    let _pod = site.writer("pod-1", CHUNK).start();
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
    let l2: Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
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
    site.submit(0, SCANS, &[]);
    let _first = site.writer("pod-1", SCAN).start();
    // Nobody serves it yet, and an autoscaler is to see it.
    eventually("the second queue is filled", || {
        site.cluster.redis.ask::<u64>(&["LLEN", "later"]) == 3
    });
    let _second = site.writer("pod-2", SCAN).set("QUEUE", "later").start();
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
    site.submit(0, &text, &["--sample", "8"]);
    let _pod = site.writer("pod-1", CHUNK).start();
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
    for (x, y, z) in [(0, 0, 1), (1, 0, 1), (6, 4, 3)] {
        site.cluster
            .put(&format!("chunks/l2/{x}_{y}_{z}.txt"), b"x");
    }
    site.submit(0, &layers_with_outputs(), &["--paused"]);
    let said = site.run(4, &["repair", "--batch", "layers", "--adopt"]);
    assert!(said.contains("to be counted as done: l2 3"), "{said}");
    site.run(0, &["repair", "--batch", "layers", "--adopt", "--apply"]);
    assert_eq!(site.batch("layers")["0:done"], "3");
    site.run(0, &["batch", "resume", "layers"]);
    let _pod = site.writer("pod-1", CHUNK).start();
    site.wait_finished("layers");
    assert_eq!(firsts(&site.log()).len(), 134 - 3);
}
