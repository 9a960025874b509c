//! Queues that are paused, purged and moved.

use std::time::Duration;

use super::{objects, run};
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn from_a_paused_queue_nothing_is_claimed() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    run(&cluster, 64, &["queue", "pause", "segmentatoin"]);
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    eventually("the queue is known", || {
        run(&cluster, 0, &["queue", "list"]) == "segmentation\n"
    });
    let text = run(
        &cluster,
        0,
        &[
            "queue",
            "pause",
            "segmentation",
            "--why",
            "the bucket is moved",
        ],
    );
    assert!(text.starts_with("segmentation is paused"), "{text}");
    // A slot may be waiting inside Redis: what it gets goes back.
    let keys: Vec<_> = (0..3).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut queued = cluster.redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, keys, "in their order");
    assert!(cluster.redis.keys("processing-*").is_empty());
    let text = run(&cluster, 0, &["status"]);
    assert!(text.contains("by ana: the bucket is moved"), "{text}");

    assert_eq!(
        run(&cluster, 0, &["queue", "resume", "segmentation"]),
        "segmentation goes on\n"
    );
    for key in &keys {
        assert_eq!(cluster.wait_done(key)["rc_claims"], "1");
    }
    run(
        &cluster,
        0,
        &["queue", "pause", "segmentation", "--for", "1s"],
    );
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert_eq!(
        run(&cluster, 0, &["queue", "resume", "segmentation"]),
        "segmentation was not paused\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_can_be_put_back_in_its_order() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let submit = |count: usize| -> Vec<String> {
        (0..count)
            .map(|_| cluster.submit(NUCLEI, &FIELDS))
            .collect()
    };
    let first = submit(450);
    let before = cluster.redis.dump();
    run(&cluster, 64, &["queue", "purge", "segmentation"]);
    let text = run(
        &cluster,
        0,
        &["queue", "purge", "segmentation", "--dry-run"],
    );
    assert_eq!(text, "would take 450 jobs out of segmentation\n");
    assert_eq!(cluster.redis.dump(), before);
    let text = run(&cluster, 0, &["queue", "purge", "segmentation", "--yes"]);
    assert!(text.starts_with("450 jobs taken out"), "{text}");
    let second = submit(3);
    run(&cluster, 0, &["queue", "purge", "segmentation", "--yes"]);
    let third = submit(2);
    let trash = objects(&run(&cluster, 0, &["queue", "trash", "--json"]));
    let entries: Vec<_> = trash
        .iter()
        .map(|trash| trash["entries"].as_u64())
        .collect();
    assert_eq!(entries, [Some(450), Some(3)]);
    assert_eq!(
        super::text(&cluster.run(&["fsck"], &[]).stdout),
        "clean\n",
        "nothing is lost"
    );

    let text = run(&cluster, 0, &["queue", "untrash", "segmentation"]);
    assert_eq!(text, "453 jobs are back in segmentation\n");
    let mut queued = cluster.redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, [first, second, third].concat());
    assert_eq!(
        run(&cluster, 0, &["queue", "trash"]),
        "no queue has been purged within a day\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_a_day_ago_is_removed_with_its_jobs() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let keys: Vec<_> = (0..5).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    run(&cluster, 0, &["queue", "purge", "segmentation", "--yes"]);
    let redis = &cluster.redis;
    // One of them has been queued again since, and is done.
    let _: u32 = redis.ask(&["HSET", &keys[0], "status", "done"]);
    let trash: Vec<String> = redis.ask(&["ZRANGE", "rc:trash", "0", "-1"]);
    let _: u32 = redis.ask(&["ZADD", "rc:trash", "1", &trash[0]]);
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    eventually("it is removed", || redis.keys("rc:trash*").is_empty());
    assert_eq!(redis.hash(&keys[0])["status"], "done");
    assert!(keys[1..].iter().all(|key| redis.hash(key).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_move_to_another_queue_all_or_some_in_their_order() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let keys: Vec<_> = (0..500)
        .map(|n| {
            let label = if n % 3 == 0 { "odd" } else { "even" };
            let mut fields = FIELDS.to_vec();
            fields.push(("label", label));
            cluster.submit(NUCLEI, &fields)
        })
        .collect();
    let of = |queue: &str| {
        let mut queued = cluster.redis.list(queue);
        queued.reverse();
        queued
    };
    let some = [
        "queue",
        "move",
        "segmentation",
        "other",
        "--field",
        "label=^odd$",
        "--yes",
    ];
    assert_eq!(
        run(&cluster, 0, &some),
        "167 jobs moved from segmentation to other\n"
    );
    let (odd, even): (Vec<_>, Vec<_>) = keys
        .iter()
        .cloned()
        .enumerate()
        .partition(|(n, _)| n % 3 == 0);
    let keys_of =
        |some: Vec<(usize, String)>| some.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let (odd, even) = (keys_of(odd), keys_of(even));
    assert_eq!(
        (of("other"), of("segmentation")),
        (odd.clone(), even.clone())
    );
    assert!(cluster.redis.keys("rc:moving:*").is_empty());

    // A call that was broken off has left the queue aside: nothing is lost, and the next call goes on.
    let _: String = cluster
        .redis
        .ask(&["RENAME", "segmentation", "rc:moving:segmentation"]);
    assert_eq!(super::text(&cluster.run(&["fsck"], &[]).stdout), "clean\n");
    assert_eq!(
        run(&cluster, 0, &some),
        "0 jobs moved from segmentation to other\n"
    );
    assert_eq!(of("segmentation"), even);
    let all = ["queue", "move", "segmentation", "other", "--yes"];
    assert_eq!(
        run(&cluster, 0, &all),
        "333 jobs moved from segmentation to other\n"
    );
    assert_eq!(of("other"), [odd, even].concat());
    run(&cluster, 64, &["queue", "move", "other", "other", "--yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_queue_is_restored_with_places_and_times_to_live() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let redis = &cluster.redis;
    let waiting: Vec<_> = (0..450).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    let _: u32 = redis.ask_bytes("HSET", &[waiting[0].as_bytes(), b"label", b"\xff\n\0"]);
    let _: u32 = redis.ask(&["EXPIRE", &waiting[1], "5000"]);
    for (key, set, score) in [
        (
            "segmentation:later:1",
            "rc:delayed:segmentation",
            "4000000000000",
        ),
        (
            "segmentation:bad:1",
            "rc:failed:segmentation",
            "1790000000000",
        ),
    ] {
        let status = if set.contains("failed") {
            "failed"
        } else {
            "new"
        };
        cluster.write_job(key, NUCLEI, &[("status", status)]);
        let _: u32 = redis.ask(&["ZADD", set, score, key]);
    }
    let _: u32 = redis.ask(&["SADD", "rc:queues", "segmentation"]);
    let before = redis.dump();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queue.jsonl");
    let file = file.to_str().expect("text");
    run(
        &cluster,
        0,
        &[
            "queue",
            "save",
            "segmentation",
            file,
            "--with",
            "failed,delayed",
        ],
    );
    assert_eq!(redis.dump(), before, "saving changes nothing");

    let _: String = redis.ask(&["FLUSHALL"]);
    run(&cluster, 0, &["queue", "restore", file, "--dry-run"]);
    assert!(redis.keys("*").is_empty());
    let text = run(&cluster, 0, &["queue", "restore", file, "--yes"]);
    assert_eq!(text, "452 restored\n");
    let mut queued = redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, waiting);
    let ttl: i64 = redis.ask(&["TTL", &waiting[1]]);
    assert!((4000..=5000).contains(&ttl), "{ttl}");
    let mut after = redis.dump();
    let mut expected = before.clone();
    for odd in ["rc:audit", &waiting[1]] {
        after.remove(odd);
        expected.remove(odd);
    }
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let label: Vec<u8> = redis.ask(&["HGET", &waiting[0], "label"]);
    assert_eq!(label, b"\xff\n\0");
    for (set, score) in [("delayed", 4e12), ("failed", 1.79e12)] {
        let name = format!("rc:{set}:segmentation");
        let found: Vec<(String, f64)> = redis.ask(&["ZRANGE", &name, "0", "-1", "WITHSCORES"]);
        assert_eq!(found[0].1, score, "{set}");
    }

    let text = run(&cluster, 4, &["queue", "restore", file, "--yes", "--json"]);
    let end = objects(&text).pop().expect("an end");
    assert_eq!((&end["changed"], &end["failed"]), (&0.into(), &452.into()));
    std::fs::write(file, "{}\n").expect("a file");
    run(&cluster, 64, &["queue", "restore", file, "--yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rehearsal_changes_anything() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let key = cluster.submit(NUCLEI, &FIELDS);
    cluster.write_job("segmentation:bad:1", NUCLEI, &[("status", "failed")]);
    cluster.write_job("segmentation:lost:1", NUCLEI, &[("status", "started")]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:failed:segmentation", "1", "segmentation:bad:1"]);
    let _: u32 = cluster
        .redis
        .ask(&["SADD", "rc:queues", "segmentation", "old"]);
    cluster.submit_to("gone", NUCLEI, &FIELDS);
    run(&cluster, 0, &["queue", "purge", "gone", "--yes"]);
    run(&cluster, 0, &["queue", "pause", "segmentation"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("saved.jsonl");
    let file = file.to_str().expect("a path");
    run(&cluster, 0, &["queue", "save", "segmentation", file]);

    let everything = || {
        let times = cluster.redis.keys("*").into_iter().map(|key| {
            let lives: i64 = cluster.redis.ask(&["PTTL", &key]);
            (key, lives > 0)
        });
        (cluster.redis.dump(), times.collect::<Vec<_>>())
    };
    let before = everything();
    let commands: [&[&str]; 14] = [
        &["requeue", "--queue", "segmentation"],
        &["requeue", "--force", "segmentation:lost:1"],
        &["requeue", "--queue", "segmentation", "--canary", "1"],
        &["cancel", "--queue", "segmentation"],
        &["failed", "--forget", "--queue", "segmentation"],
        &["job", "bump", &key],
        &["job", "delete", "segmentation:bad:1"],
        &["queue", "pause", "segmentation"],
        &["queue", "resume", "segmentation"],
        &["queue", "purge", "segmentation"],
        &["queue", "untrash", "gone"],
        &["queue", "move", "segmentation", "other"],
        &["queue", "restore", file, "--queue", "another"],
        &["queue", "forget", "old"],
    ];
    for command in commands {
        let said = run(&cluster, 0, &[command, &["--dry-run"]].concat());
        assert!(said.contains("would"), "{command:?}: {said}");
        assert_eq!(everything(), before, "{command:?}");
    }
}
