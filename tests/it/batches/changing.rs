//! Batches that operators change while they run.

use std::fs;

use super::{CHAIN, LAYERS, Site, firsts};
use crate::peers::cluster::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_a_batch_runs_and_nothing_else_does() {
    let site = Site::open().await;
    site.submit(
        0,
        &LAYERS.replace("queue: 40", "queue: 40, at_once: 3"),
        &[],
    );
    let length = || site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]);
    assert_eq!(length(), 3);
    let set = ["batch", "set", "layers", "--stage", "l2"];
    let change = |status, more: &[&str]| site.run(status, &[&set, more].concat());
    let said = change(0, &["limit.at_once=7", "timeout=5m", "--dry-run"]);
    assert!(
        said.contains("would be changed: stages.l2.limit.at_once: 3 → 7"),
        "{said}"
    );
    let said = change(0, &["limit.at_once=7", "timeout=5m"]);
    assert!(said.contains("stages.l2.timeout: – → \"5m\""), "{said}");
    assert!(change(0, &["timeout=5m"]).contains("nothing differs"));
    change(64, &["fields.graph=other"]);
    change(64, &["timeout=soon"]);
    change(64, &["timeout"]);
    site.run(0, &["feed", "--once"]);
    assert_eq!(length(), 7);
    let kept = String::from_utf8(site.cluster.object("plans/layers/plan.json")).expect("a text");
    assert!(kept.contains(r#""at_once":7"#), "{kept}");
    // The plan as it stands in the file is another one now, in what may change.
    site.submit(
        75,
        &LAYERS.replace("queue: 40", "queue: 40, at_once: 3"),
        &[],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_replaced_by_another_plan_once_nothing_of_it_runs() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let other = LAYERS.replace("x: 7", "x: 2");
    site.submit(75, &other, &[]);
    site.submit(75, &other, &["--replace", "--yes"]);
    site.run(0, &["batch", "cancel", "layers", "--yes"]);
    // Nobody can be asked.
    site.submit(64, &other, &["--replace"]);
    let said = site.submit(0, &other, &["--replace", "--yes"]);
    assert!(said.contains("batch layers: "), "{said}");
    assert_eq!(site.status("layers")["stages"][0]["total"], 2 * 5 * 3);
    let said = site.submit(0, &other, &["--replace", "--yes"]);
    assert!(said.contains("layers  running"), "{said}");
    site.run(0, &["batch", "cancel", "layers", "--yes"]);
    let said = site.run(0, &["batch", "delete", "layers", "--with-plan", "--yes"]);
    assert!(said.contains("with 1 object of the bucket"), "{said}");
    site.run(64, &["batch", "restore", "layers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_in_a_queue_that_is_purged_are_fed_once_more() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let redis = &site.cluster.redis;
    let _: u64 = redis.ask(&["HSET", "ingest:other", "status", "new"]);
    let _: u64 = redis.ask(&["LPUSH", "ingest", "ingest:other"]);
    let said = site.run(0, &["queue", "purge", "ingest", "--yes"]);
    assert!(
        said.contains("1 job taken out, and 40 items of batches, to be fed once more"),
        "{said}"
    );
    assert!(
        said.contains("redis-consumer batch resume layers"),
        "{said}"
    );
    assert!(site.is(
        "layers",
        &[("state", "paused"), ("0:out", "0"), ("0:again", "40")]
    ));
    site.run(0, &["queue", "untrash", "ingest"]);
    assert_eq!(
        redis.ask::<Vec<String>>(&["LRANGE", "ingest", "0", "-1"]),
        ["ingest:other"]
    );
    let _: u64 = redis.ask(&["DEL", "ingest"]);
    site.run(0, &["batch", "resume", "layers"]);
    let _pod = site.start("pod-1");
    site.wait_finished("layers");
    assert_eq!(firsts(&site.log()).len(), 134);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_items_are_requeued_though_redis_has_forgotten_their_jobs() {
    let site = Site::open().await;
    fs::write(site.bad(), "s   ").expect("a file");
    site.submit(0, &CHAIN.replace("{same_cause: 3}", "{same_cause: 9}"), &[]);
    let pod = site.start("pod-1");
    eventually("all have failed", || site.is("chain", &[("0:failed", "6")]));
    drop(pod);
    let redis = &site.cluster.redis;
    let jobs = redis.keys("ingest:*");
    assert_eq!(jobs.len(), 6);
    for job in &jobs[..4] {
        let _: u64 = redis.ask(&["DEL", job]);
    }
    let of_batch = ["requeue", "--batch", "chain"];
    let said = site.run(0, &[&of_batch[..], &["--dry-run"]].concat());
    assert!(said.contains("would be: 6 requeued"), "{said}");
    // Nothing tells why the others have failed.
    let said = site.run(
        0,
        &[&of_batch[..], &["--why", "exit", "--dry-run"]].concat(),
    );
    assert!(said.contains("would be: 2 requeued"), "{said}");
    let said = site.run(0, &[&of_batch[..], &["--yes"]].concat());
    assert!(said.contains("6 requeued"), "{said}");
    assert!(site.is(
        "chain",
        &[("0:failed", "0"), ("0:again", "4"), ("0:out", "2")]
    ));
    assert_eq!(site.status("chain")["causes"], serde_json::json!([]));
    fs::remove_file(site.bad()).expect("it was there");
    fs::write(site.home.path().join("log"), "").expect("a file");
    let _pod = site.start("pod-2");
    eventually("all is processed", || site.is("chain", &[("1:done", "6")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_items_are_worked_once_more_and_their_parents_are_not() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &["--paused"]);
    let item = [
        "requeue", "--batch", "layers", "--stage", "l2", "--item", "3_2_1",
    ];
    let requeue = |status, more: &[&str]| site.run(status, &[&item, more].concat());
    requeue(64, &[]);
    site.run(0, &["batch", "resume", "layers"]);
    let pod = site.start("pod-1");
    site.wait_finished("layers");
    requeue(64, &[]);
    let worked = site.log().len();
    requeue(0, &["6_4_3", "--again", "--yes"]);
    site.wait_finished("layers");
    eventually("both are worked", || site.log().len() == worked + 2);
    site.wait_finished("layers");
    let mut again = site.log().split_off(worked);
    again.sort_unstable();
    assert_eq!(again, [[2, 3, 2, 1], [2, 6, 4, 3]]);
    let said = site.run(0, &["repair", "--batch", "layers"]);
    assert!(said.contains("nothing is to be done"), "{said}");
    requeue(64, &["9_9_9"]);
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stage_is_paused_and_goes_on() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &["--paused"]);
    let of = |verb: &str, more: &[&str]| {
        let words = ["batch", verb, "layers", "--stage", "l3"];
        site.run(0, &[&words, more].concat())
    };
    let said = of("pause", &["--dry-run"]);
    assert!(
        said.contains("would be paused: l3 of layers, 0 items under way"),
        "{said}"
    );
    of("pause", &[]);
    site.run(75, &["batch", "pause", "layers", "--stage", "l3"]);
    let status = site.run(0, &["status"]);
    assert!(status.contains("batches: layers paused 0 %"), "{status}");
    site.resume_unfed("layers");
    let _pod = site.start("pod-1");
    eventually("the stage below is done", || {
        site.is("layers", &[("0:done", "105"), ("1:ready", "24")])
    });
    let status = site.run(0, &["status", "--batch", "layers"]);
    assert!(status.contains("l3 is held: paused by "), "{status}");
    let said = of("resume", &[]);
    assert!(said.contains("layers: resumed"), "{said}");
    site.wait_finished("layers");
    let said = of("resume", &[]);
    assert!(said.contains("nothing of l3 is paused or held"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stage_is_cancelled_and_revived() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let queue = || site.cluster.redis.ask::<u64>(&["LLEN", "ingest"]);
    assert_eq!(queue(), 40);
    let slow = site.pod("pod-1").set("EXEC_COMMAND", "sleep 60").start();
    eventually("two run, and their places are filled", || {
        site.is("layers", &[("0:out", "42")])
    });
    let cancel = ["batch", "cancel", "layers", "--stage", "l2"];
    let said = site.run(0, &[&cancel[..], &["--dry-run"]].concat());
    let expected = "would be ended: l2 of layers, 42 items under way";
    assert!(said.contains(expected), "{said}");
    let said = site.run(0, &[&cancel[..], &["--yes"]].concat());
    let expected = "l2 of layers: cancelled: 40 waited, 2 ran";
    assert!(said.contains(expected), "{said}");
    eventually("nothing is under way", || {
        site.is("layers", &[("0:out", "0"), ("0:again", "42")])
    });
    assert_eq!(site.batch("layers")["state"], "running");
    assert_eq!(queue(), 0);
    drop(slow);
    let status = site.run(0, &["status", "--batch", "layers"]);
    assert!(status.contains("l2 is held: cancelled by "), "{status}");
    site.run(0, &["batch", "resume", "layers", "--stage", "l2"]);
    let _pod = site.start("pod-2");
    site.wait_finished("layers");
    assert_eq!(site.status("layers")["stages"][0]["failed"], 0);
    assert_eq!(firsts(&site.log()).len(), 134);
}
