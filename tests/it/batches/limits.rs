//! How much of batches is under way: their priorities, the limits of their stages, the memory of Redis.

use super::Site;
use crate::peers::cluster::eventually;

/// A batch of so many items, with more lines of its stage.
fn grid(name: &str, priority: i64, items: usize, more: &str) -> String {
    format!(
        "plan: 1\nname: {name}\npriority: {priority}\nstages:\n  - name: s\n    queue: ingest\n    items: {{range: {{x: {items}}}}}\n    fields: {{layer: \"0\", x: \"{{{{ x }}}}\", y: \"0\", z: \"0\"}}\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_more_urgent_batch_of_a_queue_is_fed_first() {
    let site = Site::open().await;
    let redis = &site.cluster.redis;
    let _: u32 = redis.ask(&["SADD", "rc:queues", "ingest"]);
    site.run(0, &["queue", "pause", "ingest"]);
    for (name, priority) in [("calm", 0), ("urgent", 5), ("lazy", -5)] {
        let plan = grid(name, priority, 30, "    limit: {queue: 10}\n");
        site.submit(0, &plan, &["--paused"]);
        site.resume_unfed(name);
    }
    let _pod = site.start("pod-1");
    let queued = || redis.ask::<Vec<String>>(&["LRANGE", "ingest", "0", "-1"]);
    eventually("the queue is full", || queued().len() == 10);
    for job in queued() {
        let batch: String = redis.ask(&["HGET", &job, "rc_batch"]);
        assert_eq!(batch, "urgent");
    }
    site.run(0, &["queue", "resume", "ingest"]);
    for name in ["urgent", "calm", "lazy"] {
        site.wait_finished(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_becomes_urgent_while_it_runs_is_fed_first() {
    let site = Site::open().await;
    let redis = &site.cluster.redis;
    let _: u32 = redis.ask(&["SADD", "rc:queues", "ingest"]);
    site.run(0, &["queue", "pause", "ingest"]);
    let calm = grid("calm", 1, 30, "    limit: {queue: 10}\n");
    let late = grid("late", 0, 30, "    limit: {queue: 10}\n");
    for (name, plan) in [("calm", &calm), ("late", &late)] {
        site.submit(0, plan, &["--paused"]);
        site.resume_unfed(name);
    }
    site.submit(75, &late.replace("priority: 0", "priority: 7"), &[]);
    site.submit(
        0,
        &late.replace("priority: 0", "priority: 7"),
        &["--update"],
    );
    let _pod = site.start("pod-1");
    eventually("the queue is full", || {
        redis.ask::<u64>(&["LLEN", "ingest"]) == 10
    });
    assert!(site.is("late", &[("0:out", "10")]));
    assert!(!site.batch("calm").contains_key("0:out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_lets_more_and_more_be_under_way() {
    let site = Site::open().await;
    let limit = "    limit: {at_once: 6, ramp: {from: 1, by: 2, every: 1s}}\n";
    site.submit(0, &grid("ramp", 0, 20, limit), &[]);
    // Nobody works them.
    let out = || -> u64 {
        let batch = site.batch("ramp");
        let number = |field: &str| {
            batch
                .get(field)
                .map_or(0, |text| text.parse().expect("a number"))
        };
        let (out, began): (u64, u64) = (number("0:out"), number("0:began"));
        let (now, _): (u64, u64) = site.cluster.redis.ask(&["TIME"]);
        let most = 2_u64.saturating_pow((now - began) as u32).min(6);
        assert!(out <= most, "{out} are under way, and {most} may be");
        out
    };
    assert!(out() >= 1);
    eventually("all are under way that may be", || {
        site.run(0, &["feed", "--once"]);
        out() == 6
    });
    site.run(0, &["feed", "--once"]);
    assert_eq!(out(), 6);
    let _pod = site.start("pod-1");
    site.wait_finished("ramp");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fed_while_redis_has_little_memory_left() {
    let site = Site::open().await;
    let redis = &site.cluster.redis;
    let set = |bytes: u64| {
        let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]);
    };
    // So much that connections do not matter.
    let _: String = redis.ask(&["SET", "ballast", &"x".repeat(30 << 20)]);
    let info: String = redis.ask(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.expect("it says so").trim().parse().expect("a number");
    set(used * 100 / 92);
    site.submit(0, &grid("full", 0, 20, ""), &[]);
    assert!(site.run(0, &["feed", "--once"]).contains("0 items fed"));
    let pod = site.start("pod-1");
    eventually("the consumer has looked", || {
        pod.log().contains("batches are not fed")
    });
    let batch = site.batch("full");
    assert!(
        !batch.contains_key("0:out") && batch["0:next"] == "0",
        "{batch:?}"
    );
    set(0);
    site.wait_finished("full");
}
