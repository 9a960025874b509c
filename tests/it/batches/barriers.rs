//! Stages that wait for all of another.

use std::fs;

use super::Site;
use crate::peers::cluster::eventually;

/// Scans, and a summary of all.
const SUMMARY: &str = r#"
plan: 1
name: summary
stages:
  - name: scan
    queue: ingest
    items: {list: [a, b, c]}
    expect: ["scans/{{ item }}.txt"]
  - name: sum
    queue: sums
    after: {stage: scan, all: true}
    items: {list: [all]}
    expect: ["sums/all.txt"]
"#;

/// What leaves what it is to leave, and says so in a log; one that is bad fails.
const WORK: &str = r#"
    name=$(basename "$RC_EXPECT")
    if [ "$name" = "$(cat "$HOME/bad" 2>/dev/null)" ]; then exit 3; fi
    echo "$name" >> "$HOME/worked"
    echo x > "$RC_OUTPUT/$name"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_all_is_made_again_after_those_that_are() {
    let site = Site::open().await;
    site.submit(0, SUMMARY, &[]);
    let scans = site.writer("pod-1", WORK).start();
    let sums = site.writer("pod-2", WORK).set("QUEUE", "sums").start();
    site.wait_finished("summary");
    drop((scans, sums));
    site.cluster.remove("scans/b.txt");
    site.cluster.remove("sums/all.txt");
    site.run(0, &["repair", "--batch", "summary", "--apply"]);
    let length = |queue: &str| site.cluster.redis.ask::<u64>(&["LLEN", queue]);
    assert_eq!((length("ingest"), length("sums")), (1, 0));
    // It would have been fed, were it not for the scan.
    site.run(0, &["feed", "--once"]);
    assert_eq!(length("sums"), 0);
    let _sums = site.writer("pod-3", WORK).set("QUEUE", "sums").start();
    let _scans = site.writer("pod-4", WORK).start();
    site.wait_finished("summary");
    let worked = fs::read_to_string(site.home.path().join("worked")).expect("a log");
    let again: Vec<_> = worked.lines().skip(4).collect();
    assert_eq!(again, ["b.txt", "all.txt"], "{worked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barrier_that_stays_closed_is_forced_open() {
    let site = Site::open().await;
    fs::write(site.bad(), "b.txt").expect("a file");
    site.submit(0, SUMMARY, &[]);
    let _scans = site.writer("pod-1", WORK).start();
    let _sums = site.writer("pod-2", WORK).set("QUEUE", "sums").start();
    eventually("all scans have ended", || {
        site.is("summary", &[("0:done", "2"), ("0:failed", "1")])
    });
    let start = ["batch", "start", "summary", "--stage", "sum"];
    site.run(75, &start);
    site.run(0, &[&start[..], &["--force", "--dry-run"]].concat());
    assert!(!site.batch("summary").contains_key("1:forced"));
    site.run(0, &[&start[..], &["--force"]].concat());
    site.wait_finished("summary");
    assert!(site.is("summary", &[("1:done", "1")]));
    site.cluster.object("sums/all.txt");
    // Nothing keeps it any more.
    site.run(75, &[&start[..], &["--force"]].concat());
}
