//! What a job that gathers others is told of them.

use serde_json::Value;

use super::Site;

/// Children that are joined, of whose jobs only the last one is kept.
const PLAN: &str = r#"
plan: 1
name: joined
stages:
  - name: part
    queue: ingest
    items: {range: {x: 2, y: 2}}
    fields: {leaves: "{{ x }}_{{ y }}.txt"}
    keep: {done: 1}
    expect: ["parts/{{ x }}_{{ y }}.txt"]
  - name: whole
    queue: ingest
    after: {stage: part, group: {x: 2, y: 2}}
    manifest: true
    fields: {leaves: "whole.txt"}
    expect: ["whole.txt"]
"#;

/// What works an item: a part leaves its name, and the whole those of its parts.
const JOIN: &str = r#"
    cat "$PWD"/results/*/* > "$RC_OUTPUT/$RC_FIELD_LEAVES" 2>/dev/null || echo "$RC_FIELD_LEAVES" > "$RC_OUTPUT/$RC_FIELD_LEAVES"
"#;

impl Site {
    /// The results that the list of the whole names.
    fn gathered(&self) -> Vec<Value> {
        let list = self.cluster.object("plans/joined/whole/m/0_0.json");
        let list: Value = serde_json::from_slice(&list).expect("JSON");
        let items = list["items"].as_array().expect("items");
        items.iter().map(|item| item["result"].clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_found_though_the_jobs_that_left_them_have_gone() {
    let site = Site::open().await;
    site.submit(0, PLAN, &[]);
    let pod = site.pod("pod-1").set("EXEC_COMMAND", JOIN);
    let _pod = pod.set("EXEC_RESULT", "keys").start();
    site.wait_finished("joined");
    assert!(
        site.is("joined", &[("1:done", "1")]),
        "{:?}",
        site.batch("joined")
    );
    let keys = ["0_0", "0_1", "1_0", "1_1"].map(|part| format!("parts/{part}.txt"));
    assert_eq!(site.gathered(), keys);
    let whole = site.cluster.object("whole.txt");
    let whole = String::from_utf8(whole).expect("a text");
    let mut parts: Vec<_> = whole.lines().collect();
    parts.sort_unstable();
    assert_eq!(parts, ["0_0.txt", "0_1.txt", "1_0.txt", "1_1.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_leave_nothing_have_no_result() {
    let site = Site::open().await;
    let plan = PLAN
        .lines()
        .filter(|line| !line.contains("expect") && !line.contains("keep"));
    site.submit(0, &plan.collect::<Vec<_>>().join("\n"), &[]);
    let pod = site.pod("pod-1").set("EXEC_COMMAND", "true");
    let _pod = pod.start();
    site.wait_finished("joined");
    assert!(
        site.is("joined", &[("1:done", "1")]),
        "{:?}",
        site.batch("joined")
    );
    assert_eq!(
        site.gathered(),
        [Value::Null, Value::Null, Value::Null, Value::Null]
    );
}
