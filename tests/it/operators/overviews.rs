//! What the commands show.

use serde_json::Value;

use super::{objects, run};
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn status_and_workers_show_what_is_where() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    assert_eq!(
        run(&cluster, 0, &["status"]),
        "no consumer has served a queue here yet\n"
    );

    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    for _ in 0..3 {
        let key = cluster.submit(NUCLEI, &FIELDS);
        cluster.wait_done(&key);
    }
    cluster.put("uploads/broken.png", b"no image");
    cluster.wait_failed(&cluster.submit("uploads/broken.png", &FIELDS));
    let mut status = Value::Null;
    eventually("all is counted", || {
        status = objects(&run(&cluster, 0, &["status", "--json"])).remove(0);
        status["queues"][0]["failed_today"] == 1 && status["queues"][0]["slots"] == 1
    });
    let queue = &status["queues"][0];
    for (name, value) in [
        ("queue", Value::from("segmentation")),
        ("waiting", 0.into()),
        ("running", 0.into()),
        ("failed", 1.into()),
        ("dead", 0.into()),
        ("done_today", 3.into()),
        ("workers", 1.into()),
        ("paused", Value::Null),
    ] {
        assert_eq!(queue[name], value, "{name} in {queue}");
    }
    let text = run(&cluster, 0, &["status", "segmentation"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("queue         waiting  running"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("segmentation        0        0"),
        "{text}"
    );
    assert!(lines[1].ends_with("1 (1 slots)"), "{text}");
    assert!(lines[2].ends_with("today 3 done, 1 failed"), "{text}");

    let text = run(&cluster, 0, &["workers"]);
    assert!(
        text.contains("segmentation  pod-1") && text.ends_with("idle\n"),
        "{text}"
    );
    let worker = objects(&run(&cluster, 0, &["workers", "--json"])).remove(0);
    assert_eq!(
        (&worker["type"], &worker["slots"]),
        (&"image".into(), &1.into()),
        "{worker}"
    );
    assert!(
        worker["memory_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 1_000_000),
        "{worker}"
    );
}

/// Counts what a command asks of Redis.
fn requests(cluster: &Cluster, arguments: &[&str]) -> usize {
    let monitor = cluster.redis.monitor();
    run(cluster, 0, arguments);
    let lines = monitor.lines(&cluster.redis);
    lines.iter().filter(|line| !line.contains("lua]")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_asks_as_much_of_a_long_queue_as_of_a_short_one() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let redis = &cluster.redis;
    let _: u32 = redis.ask(&["SADD", "rc:queues", "segmentation"]);
    let fill = |count: &str| {
        let script = "for i = 1, tonumber(ARGV[1]) do
            local job = 'segmentation:' .. i
            redis.call('HSET', job, 'status', 'new', 'created_at', '2026-01-01T00:00:00Z')
            redis.call('LPUSH', 'segmentation', job)
            redis.call('ZADD', 'rc:failed:segmentation', i, 'segmentation:gone:' .. i) end";
        redis.ask::<Option<String>>(&["EVAL", script, "0", count])
    };
    fill("10");
    let few = requests(&cluster, &["status", "segmentation", "--json"]);
    fill("20000");
    let many = requests(&cluster, &["status", "segmentation", "--json"]);
    assert_eq!(few, many);
    assert!(few < 30, "{few} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_with_its_place_and_text_of_users_never_raw() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let first = cluster.submit("uploads/\u{1b}[31mred.png", &FIELDS);
    let second = cluster.submit(NUCLEI, &FIELDS);
    let text = run(&cluster, 0, &["job", "show", &second]);
    assert!(
        text.contains("waits in segmentation, 1 before it"),
        "{text}"
    );
    let text = run(&cluster, 0, &["job", "show", &first]);
    assert!(
        text.contains("waits in segmentation, as the next one"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let job = objects(&run(&cluster, 0, &["job", "show", &first, "--json"])).remove(0);
    assert_eq!(
        job["fields"]["input_file_name"],
        "uploads/\u{1b}[31mred.png"
    );
    assert_eq!(job["place"]["before"], 0);

    assert_eq!(
        run(&cluster, 0, &["job", "bump", &second]),
        "it is the next one of segmentation\n"
    );
    assert_eq!(
        cluster.redis.list("segmentation"),
        [first.clone(), second.clone()]
    );
    let listed = objects(&run(
        &cluster,
        0,
        &["job", "list", "--queue", "segmentation", "--json"],
    ));
    let keys: Vec<_> = listed
        .iter()
        .map(|job| job["key"].as_str().expect("a key"))
        .collect();
    assert_eq!(keys, [&second, &first]);
    let listed = run(
        &cluster,
        0,
        &[
            "job",
            "list",
            "--queue",
            "segmentation",
            "--field",
            "input_file_name=nuclei",
        ],
    );
    assert!(
        listed.contains(NUCLEI) && !listed.contains("red"),
        "{listed}"
    );

    run(&cluster, 64, &["job", "show", "segmentation:nothing:1"]);
    run(&cluster, 4, &["job", "delete", &first, "--yes"]);
    assert!(!cluster.redis.hash(&first).is_empty(), "it waits");
    run(&cluster, 0, &["cancel", &first]);
    run(&cluster, 0, &["job", "delete", &first, "--yes"]);
    assert!(cluster.redis.hash(&first).is_empty());
}
