//! Lists that are read when the stage below has written them.

use super::Site;
use crate::peers::cluster::eventually;

const LATE: &str = r#"
plan: 1
name: late
stages:
  - name: find
    queue: ingest
    items: {list: [all]}
  - name: scan
    queue: ingest
    after: {stage: find, all: true}
    items: {csv: "bucket:lists/found.csv"}
    late: true
    id: "{{ name }}"
  - name: check
    queue: ingest
    after: scan
  - name: group
    queue: ingest
    after: {stage: check, group: "{{ plate }}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_when_its_barrier_opens() {
    let site = Site::open().await;
    let said = site.submit(0, LATE, &[]);
    assert!(said.contains("batch late: 1 item in 4 stages"), "{said}");
    let status = site.run(0, &["status", "--batch", "late"]);
    assert!(status.contains("scan       –"), "{status}");
    let _pod = site.start("pod-1");
    // It is not there: somebody has to look.
    eventually("the stage is held", || {
        site.batch("late").contains_key("1:held")
    });
    let status = site.run(0, &["status", "--batch", "late"]);
    assert!(
        status.contains("scan is held: its list cannot be read: "),
        "{status}"
    );
    site.cluster
        .put("lists/found.csv", b"name,plate\na,p\nb,p\nc,q\n");
    site.run(0, &["batch", "resume", "late"]);
    site.wait_finished("late");
    let done = [
        ("0:done", "1"),
        ("1:done", "3"),
        ("2:done", "3"),
        ("3:done", "2"),
    ];
    assert!(site.is("late", &done), "{:?}", site.batch("late"));
    // What was read belongs to the batch: the same plan is no other one, and a change of its limits keeps the list.
    let said = site.submit(0, LATE, &[]);
    assert!(said.contains("late  finished"), "{said}");
    let slower = LATE.replace("late: true", "late: true\n    timeout: 5m");
    site.submit(0, &slower, &["--update"]);
    let item = site.run(0, &["batch", "item", "late", "scan", "b"]);
    assert!(item.contains("scan b (item 1)   done"), "{item}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_ends_its_stage() {
    let site = Site::open().await;
    site.cluster.put("lists/found.csv", b"name,plate\n");
    site.submit(0, LATE, &[]);
    let _pod = site.start("pod-1");
    site.wait_finished("late");
    assert!(site.is("late", &[("1:total", "0"), ("3:total", "0")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_cannot_read_late_lists_of_this_machine() {
    let site = Site::open().await;
    let said = site.submit(4, &LATE.replace("bucket:lists/", "lists/"), &[]);
    assert!(
        said.contains("stages.scan.late: a consumer reads this list"),
        "{said}"
    );
}
