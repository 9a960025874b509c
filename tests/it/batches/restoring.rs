//! Batches that Redis has lost, or of which it has lost something.

use std::fs;

use super::repair::{CHUNK, SCAN, SCANS, layers_with_outputs};
use super::{LAYERS, Site, firsts};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_redis_is_gone_is_restored_from_the_bucket() {
    let site = Site::open().await;
    site.submit(0, &layers_with_outputs(), &[]);
    let pod = site.writer("pod-1", CHUNK).start();
    site.wait_finished("layers");
    drop(pod);
    for key in ["l2/6_4_2", "l5/0_0_0"] {
        site.cluster.remove(&format!("chunks/{key}.txt"));
    }
    assert_eq!(site.cluster.redis.ask::<String>(&["FLUSHALL"]), "OK");
    site.run(64, &["batch", "show", "layers"]);
    let said = site.run(0, &["batch", "restore", "layers", "--dry-run"]);
    let expected = "done: l2 104, l3 24, l4 4; to be worked: l2 1, l5 1. Nothing was changed";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("l2 misses: 6_4_2"), "{said}");
    assert_eq!(site.cluster.redis.keys("*"), [""; 0]);
    site.run(0, &["batch", "restore", "plans/layers/"]);
    site.run(75, &["batch", "restore", "layers"]);
    let worked = site.log().len();
    let _pod = site.writer("pod-2", CHUNK).start();
    site.wait_finished("layers");
    let mut again = site.log().split_off(worked);
    again.sort_unstable();
    assert_eq!(again, [[2, 6, 4, 2], [5, 0, 0, 0]]);
    let said = site.run(0, &["repair", "--batch", "layers"]);
    assert!(said.contains("nothing is to be done"), "{said}");
    let said = site.run(64, &["batch", "restore", "other"]);
    assert_eq!(said, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_nothing_tells_what_is_done_waits_for_a_person() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &["--paused"]);
    assert_eq!(site.cluster.redis.ask::<String>(&["FLUSHALL"]), "OK");
    let said = site.run(0, &["batch", "restore", "layers"]);
    assert!(
        said.contains("it is paused, for nothing tells which items of l2, l3, l4, l5 are done"),
        "{said}"
    );
    assert_eq!(site.status("layers")["state"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_repaired_whether_redis_knows_their_batches_or_not() {
    let site = Site::open().await;
    let path = site.home.path().join("scans.yaml");
    let path = path.to_str().expect("a path").to_owned();
    fs::write(&path, SCANS).expect("a file");
    site.cluster.put("prepared/a.txt", b"x");
    site.cluster.put("prepared/strange.txt", b"x");
    let dry = ["repair", "--plan", &path, "--orphans"];
    let said = site.run(4, &dry);
    let expected = "there is no batch scans: it would be made, done: prepare 1; to be worked: prepare 2, detect 3. Nothing was changed; --apply does it";
    assert!(said.contains(expected), "{said}");
    assert!(
        said.contains("prepare orphan: prepared/strange.txt"),
        "{said}"
    );
    assert_eq!(site.cluster.redis.keys("*"), [""; 0]);
    site.run(0, &["repair", "--plan", &path, "--apply"]);
    let _first = site.writer("pod-1", SCAN).start();
    let _second = site.writer("pod-2", SCAN).set("QUEUE", "later").start();
    site.wait_finished("scans");
    let worked = fs::read_to_string(site.home.path().join("worked")).expect("a log");
    assert_eq!(worked.lines().count(), 5, "{worked}");
    let said = site.run(0, &["repair", "--plan", &path]);
    assert!(said.contains("nothing is to be done"), "{said}");
    for key in ["prepared/a", "prepared/b", "detected/a", "detected/b"] {
        site.cluster.remove(&format!("{key}.txt"));
    }
    // What is left out has something above it, which is left out, too.
    let said = site.run(4, &["repair", "--plan", &path, "--limit", "1"]);
    let expected = "to be worked again: prepare 1; to follow by themselves: detect 1.";
    assert!(said.contains(expected), "{said}");
    site.run(0, &["repair", "--plan", &path, "--limit", "1", "--apply"]);
    site.wait_finished("scans");
    let said = site.run(4, &["repair", "--plan", &path]);
    assert!(said.contains(expected), "{said}");
    fs::write(&path, SCANS.replace("[a, b, c]", "[a, b]")).expect("a file");
    site.run(75, &["repair", "--plan", &path]);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_are_wrong_are_found_and_computed_anew() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let pod = site.start("pod-1");
    site.wait_finished("layers");
    drop(pod);
    let said = site.run(0, &["repair", "--batch", "layers"]);
    assert!(said.contains("nothing is to be done"), "{said}");
    let redis = &site.cluster.redis;
    let seen: Vec<u8> = redis.ask(&["GET", "rc:batch:layers:1:seen"]);
    let _: u64 = redis.ask(&["SETRANGE", "rc:batch:layers:1:seen", "3", "\u{1}"]);
    let said = site.run(4, &["repair", "--batch", "layers"]);
    assert!(
        said.contains("to be counted anew: l3. Nothing was changed"),
        "{said}"
    );
    site.run(0, &["repair", "--batch", "layers", "--apply"]);
    let mended: Vec<u8> = redis.ask(&["GET", "rc:batch:layers:1:seen"]);
    assert_eq!(mended, seen);
    assert_eq!(firsts(&site.log()).len(), 134);
}
