//! What has failed, and is tried again.

use std::io::{Seek as _, Write as _};

use serde_json::json;

use super::{objects, run};
use crate::peers::cluster::{Cluster, FIELDS, IMAGE, NUCLEI, eventually};
use crate::peers::redis::Redis;
use crate::peers::synthetic_images::archive;

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_grouped_by_cause_and_requeued_by_it() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let pod = cluster.pod("pod-1").start();
    let absent: Vec<_> = (0..3)
        .map(|n| cluster.submit(&format!("uploads/absent-{n}.png"), &FIELDS))
        .collect();
    cluster.put("uploads/broken.png", b"no image");
    let broken = cluster.submit("uploads/broken.png", &FIELDS);
    for key in absent.iter().chain([&broken]) {
        cluster.wait_failed(key);
    }
    drop(pod);

    let groups = objects(&run(&cluster, 0, &["failed", "--group", "--json"]));
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_eq!(
        (&groups[0]["count"], &groups[0]["number"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(groups[1]["class"], "invalid_input");
    let text = run(&cluster, 0, &["failed", "--group"]);
    assert!(
        text.contains("StorageError: … is not in") && text.contains("uploads/absent-0.png"),
        "{text}"
    );
    assert!(
        text.ends_with("redis-consumer requeue --all-queues --why 1\n"),
        "{text}"
    );
    let text = run(&cluster, 0, &["failed", &broken]);
    assert!(
        text.contains(": failed\n") && text.contains("  ValueError: "),
        "{text}"
    );

    // Nothing is changed without being told to, nor by a rehearsal.
    let before = cluster.redis.dump();
    run(&cluster, 64, &["requeue"]);
    run(&cluster, 64, &["requeue", "--queue", "segmentation"]);
    run(
        &cluster,
        64,
        &["requeue", "--queue", "segmentation", "--why", "7", "--yes"],
    );
    let rehearsal = run(
        &cluster,
        0,
        &[
            "requeue",
            "--queue",
            "segmentation",
            "--why",
            "1",
            "--dry-run",
        ],
    );
    assert_eq!(rehearsal, "would be: 3 requeued\n");
    assert_eq!(cluster.redis.dump(), before);

    for n in 0..3 {
        cluster.put(&format!("uploads/absent-{n}.png"), IMAGE);
    }
    let done = run(
        &cluster,
        0,
        &["requeue", "--queue", "segmentation", "--why", "1", "--yes"],
    );
    assert_eq!(done, "3 requeued\n");
    let mut queued = cluster.redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, absent, "in the order in which they failed");
    let hash = cluster.redis.hash(&absent[0]);
    assert_eq!(
        (hash["status"].as_str(), hash["rc_requeued"].as_str()),
        ("new", "1")
    );
    for field in [
        "reason",
        "error_class",
        "rc_why",
        "rc_done_by",
        "finished_at",
        "total_time",
    ] {
        assert!(!hash.contains_key(field), "{field} in {hash:?}");
    }
    let _pod = cluster.pod("pod-2").start();
    for key in &absent {
        cluster.wait_done(key);
    }
    let audit: Vec<(String, Vec<String>)> = cluster.redis.ask(&["XRANGE", "rc:audit", "-", "+"]);
    let said = format!("{audit:?}");
    assert!(
        said.contains("ana") && said.contains("3 requeued"),
        "{said}"
    );
    assert_eq!(
        run(&cluster, 0, &["failed", "--group", "--json"])
            .lines()
            .count(),
        1
    );
    run(
        &cluster,
        0,
        &["failed", "--forget", "--all-queues", "--yes"],
    );
    assert_eq!(run(&cluster, 0, &["failed"]), "nothing has failed\n");
    assert_eq!(cluster.redis.hash(&broken)["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_requeued_is_said_by_key() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let waiting = cluster.submit(NUCLEI, &FIELDS);
    cluster.write_job("segmentation:lost:1", NUCLEI, &[("status", "predicting")]);
    cluster.write_job("segmentation:done:1", NUCLEI, &[("status", "done")]);
    let text = run(
        &cluster,
        4,
        &[
            "requeue",
            &waiting,
            "segmentation:done:1",
            "segmentation:gone:1",
            "--yes",
        ],
    );
    for line in [
        &format!("not requeued: {waiting}: it has not failed"),
        "not requeued: segmentation:done:1: it is done",
        "not requeued: segmentation:gone:1: it has vanished",
        "0 of 3 requeued, 3 not",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let text = run(
        &cluster,
        4,
        &[
            "requeue",
            &waiting,
            "segmentation:lost:1",
            "--force",
            "--yes",
        ],
    );
    assert!(
        text.contains(&format!("{waiting}: it is waiting already")),
        "{text}"
    );
    assert_eq!(
        cluster.redis.list("segmentation"),
        ["segmentation:lost:1", &waiting]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_failures_are_requeued_though_some_vanish() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let redis = &cluster.redis;
    let script = "for i = 1, 100000 do
        local job = 'segmentation:many:' .. i
        if i % 100 > 0 then redis.call('HSET', job, 'status', 'failed', 'reason', 'RuntimeError: no. ' .. i) end
        redis.call('ZADD', 'rc:failed:segmentation', 1700000000000 + i, job) end";
    let _: Option<String> = redis.ask(&["EVAL", script, "0"]);
    // What is gone is only known to the key list, as if it had vanished midway.
    let keys: String = (1..=100_000)
        .map(|i| format!("segmentation:many:{i}\n"))
        .collect();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(keys.as_bytes()).expect("room");
    file.rewind().expect("a file");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(["requeue", "-", "--queue", "segmentation", "--yes", "--json"])
        .env_clear()
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis.port().to_string())
        .stdin(file)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(4));
    let lines = objects(&super::text(&output.stdout));
    assert_eq!(lines.len(), 1001, "an exception each, and the end");
    let end = lines.last().expect("an end");
    assert_eq!(
        (&end["changed"], &end["failed"], &end["matched"]),
        (&json!(99_000), &json!(1000), &json!(100_000))
    );
    assert_eq!(redis.ask::<usize>(&["LLEN", "segmentation"]), 99_000);
    assert_eq!(redis.ask::<usize>(&["ZCARD", "rc:failed:segmentation"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_requeued_by_the_images_that_failed() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png", "c.png"]));
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let zip = super::super::fan_out::zip_pod(&cluster, "pod-zip");
    let _zip = zip.start();
    let children = cluster.children(&key);
    // One image is lost on its way.
    let lost = cluster.redis.hash(&children[1])["input_file_name"].clone();
    let image = cluster.object(&lost);
    cluster.remove(&lost);
    let _images = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["children_failed"], "1", "{hash:?}");
    let before: Vec<_> = children
        .iter()
        .map(|child| cluster.redis.hash(child))
        .collect();

    cluster.put(&lost, &image);
    let text = run(&cluster, 4, &["requeue", &children[1], "--yes"]);
    assert!(text.contains("a part of another job"), "{text}");
    run(&cluster, 0, &["requeue", &key]);
    let mut hash = cluster.redis.hash(&key);
    eventually("it is done again", || {
        hash = cluster.redis.hash(&key);
        hash["status"] == "done" && hash["children_done"] == "3"
    });
    assert_eq!(
        (hash["failures"].as_str(), hash["children_failed"].as_str()),
        ("", "0")
    );
    assert_eq!(cluster.result_names(&hash).len(), 3);
    for (index, child) in children.iter().enumerate() {
        let now = cluster.redis.hash(child);
        let is_same = now["finished_at"] == before[index]["finished_at"];
        assert_eq!(
            is_same,
            index != 1,
            "only what had failed was done again: {now:?}"
        );
    }
    assert_eq!(super::text(&cluster.run(&["fsck"], &[]).stdout), "clean\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_keeps_the_rest_where_it_is() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let pod = cluster.pod("pod-1").start();
    let keys: Vec<_> = (0..4)
        .map(|n| cluster.submit(&format!("uploads/absent-{n}.png"), &FIELDS))
        .collect();
    keys.iter().for_each(|key| _ = cluster.wait_failed(key));
    let canary = [
        "requeue",
        "--queue",
        "segmentation",
        "--canary",
        "1",
        "--yes",
    ];
    assert_eq!(run(&cluster, 4, &canary), "1 requeued\n");
    assert_eq!(cluster.redis.hash(&keys[1]).get("rc_requeued"), None);
    for n in 0..4 {
        cluster.put(&format!("uploads/absent-{n}.png"), IMAGE);
    }
    assert_eq!(run(&cluster, 0, &canary), "4 requeued\n");
    keys.iter().for_each(|key| _ = cluster.wait_done(key));
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_bring_limits_of_its_own() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let mut fields = FIELDS.to_vec();
    fields.extend([("rc_timeout", "1"), ("rc_attempts_max", "2")]);
    let _pod = cluster
        .pod("pod-1")
        .set("LEASE_TIME", "2")
        .set("RETRY_BACKOFF", "0.1")
        .start();
    cluster
        .models
        .faults()
        .hang(redis_consumer::serving::Method::Predict, 99);
    let key = cluster.submit(NUCLEI, &fields);
    let reason = cluster.wait_failed(&key);
    assert!(reason.ends_with("after 1 s"), "{reason}");
    let hash = cluster.redis.hash(&key);
    assert_eq!(
        (hash["rc_attempts"].as_str(), hash["error_class"].as_str()),
        ("1", "deadline")
    );
    assert!(hash["rc_why"].contains("after # s"), "{hash:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_no_list_knows_are_found_by_a_look_through_all_keys() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let failed = |key: &str, reason: &str, at: &str| {
        let fields = [
            ("status", "failed"),
            ("reason", reason),
            ("finished_at", at),
        ];
        cluster.write_job(key, NUCLEI, &fields);
    };
    failed(
        "segmentation:known:1",
        "ValueError: no. 1",
        "2026-01-01T00:00:00Z",
    );
    failed(
        "segmentation:python:2",
        "ValueError: no. 2",
        "2026-01-02T00:00:00Z",
    );
    failed(
        "segmentation:python:3",
        "KeyError: x",
        "2026-01-03T00:00:00Z",
    );
    failed(
        "tracking:python:4",
        "ValueError: no. 4",
        "2026-01-04T00:00:00Z",
    );
    cluster.write_job("segmentation:fine:5", NUCLEI, &[("status", "done")]);
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:failed:segmentation",
        "1767225600000",
        "segmentation:known:1",
    ]);
    let _: u32 = cluster.redis.ask(&["SADD", "rc:queues", "segmentation"]);
    let found = |options: &[&str]| {
        let arguments = [&["failed", "--json"], options].concat();
        let mut keys: Vec<_> = objects(&run(&cluster, 0, &arguments))
            .iter()
            .map(|object| object["key"].as_str().expect("a key").to_owned())
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(found(&[]), ["segmentation:known:1"]);
    assert_eq!(
        found(&["--scan"]),
        [
            "segmentation:known:1",
            "segmentation:python:2",
            "segmentation:python:3",
            "tracking:python:4"
        ]
    );
    let of_queue = ["--scan", "--queue", "segmentation"];
    assert_eq!(found(&of_queue).len(), 3);
    let since = ["--scan", "--since", "2026-01-03T00:00:00Z"];
    assert_eq!(
        found(&since),
        ["segmentation:python:3", "tracking:python:4"]
    );
    assert_eq!(
        found(&["--scan", "--why", "KeyError"]),
        ["segmentation:python:3"]
    );
    assert_eq!(found(&["--scan", "--limit", "2"]).len(), 2);
    let groups = objects(&run(
        &cluster,
        0,
        &["failed", "--scan", "--group", "--json"],
    ));
    assert_eq!(groups[0]["count"], 3, "{groups:?}");
    assert!(
        run(&cluster, 0, &["failed", "--scan", "--group"]).contains("| redis-consumer requeue")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_of_all_causes_and_the_rest_goes_as_slowly_as_it_should() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    for n in 0..12 {
        let key = format!("segmentation:{n:02}:1");
        let reason = if n < 10 {
            "ValueError: a"
        } else {
            "KeyError: b"
        };
        cluster.write_job(&key, NUCLEI, &[("status", "failed"), ("reason", reason)]);
        let _: u32 = cluster
            .redis
            .ask(&["ZADD", "rc:failed:segmentation", &n.to_string(), &key]);
    }
    let mut pod = cluster.pod("pod-1").start();
    let began = std::time::Instant::now();
    let requeue = [
        "requeue",
        "--queue",
        "segmentation",
        "--yes",
        "--canary",
        "2",
        "--rate",
        "5",
    ];
    assert_eq!(run(&cluster, 0, &requeue), "12 requeued\n");
    assert!(
        began.elapsed() >= std::time::Duration::from_secs(1),
        "ten at five a second"
    );
    let finished = |n: usize| {
        let hash = cluster.wait_done(&format!("segmentation:{n:02}:1"));
        hash["finished_at"].clone()
    };
    let first_of_others = (1..10).map(finished).min().expect("some");
    assert!(finished(0) < first_of_others && finished(10) < first_of_others);
    pod.kill();

    // Broken off: what is left stays as it is.
    let keys: Vec<_> = (0..12).map(|n| format!("segmentation:{n:02}:1")).collect();
    for key in &keys {
        let _: u32 = cluster.redis.ask(&["HSET", key, "status", "failed"]);
        let _: u32 = cluster
            .redis
            .ask(&["ZADD", "rc:failed:segmentation", "1", key]);
    }
    let slowly = ["requeue", "--queue", "segmentation", "--yes", "--rate", "1"];
    let mut child = cluster.start(&slowly, &[]);
    eventually("the first one is requeued", || {
        !cluster.redis.list("segmentation").is_empty()
    });
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    let queued = cluster.redis.list("segmentation").len();
    assert!(queued < 12, "{queued}");
    let left: usize = cluster.redis.ask(&["ZCARD", "rc:failed:segmentation"]);
    assert_eq!(queued + left, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_job_comes_from_the_bucket_or_from_the_job() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let key = "segmentation:a:1";
    let fields = [("status", "done"), ("rc_log", "the end\n")];
    cluster.write_job(key, NUCLEI, &fields);
    assert_eq!(run(&cluster, 0, &["job", "log", key]), "the end\n");
    cluster.put("output/1.log.txt", b"the begin\nthe end\n");
    let _: u32 = cluster
        .redis
        .ask(&["HSET", key, "log_file_name", "output/1.log.txt"]);
    assert_eq!(
        run(&cluster, 0, &["job", "log", key]),
        "the begin\nthe end\n"
    );
    assert_eq!(
        run(&cluster, 0, &["job", "log", "--tail", key]),
        "the end\n"
    );
    cluster.write_job("segmentation:b:1", NUCLEI, &[]);
    run(&cluster, 1, &["job", "log", "segmentation:b:1"]);
    run(&cluster, 64, &["job", "log", "segmentation:none:1"]);
}
