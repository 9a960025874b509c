//! What a job is asked of Redis, and when more is asked to be on the safe side.

use std::collections::HashMap;
use std::time::Duration;

use redis_consumer::queue::{Lease, Queue, Settled};
use tokio_util::sync::CancellationToken;

use super::queue;
use crate::peers::redis::Redis;

const LIST: &str = "processing-segmentation:survivor";

fn write(redis: &Redis, job: &str, list: &str) {
    let _: u32 = redis.ask(&["HSET", job, "status", "new", "err", "a field as any other"]);
    let _: u32 = redis.ask(&["LPUSH", list, job]);
}

async fn claim(queue: &Queue) -> Option<Lease> {
    // It does not wait.
    let stop = CancellationToken::new();
    stop.cancel();
    let claimed = queue.claim(0, &stop).await.expect("redis answers");
    claimed.map(|(lease, _)| lease)
}

async fn finish(lease: &Lease) {
    let settled = lease.ack(&[]).await.expect("redis answers");
    assert_eq!(settled, Settled::Committed);
}

/// The commands of what the monitor has seen, those inside of scripts too, from the first with this word to the end.
fn commands(lines: &[String], first: &str) -> Vec<String> {
    let commands = lines.iter().map(|line| {
        let words = line.split_once("] \"").expect("a command").1;
        words.split('"').next().expect("its name").to_uppercase()
    });
    let commands = commands.skip_while(|command| command != first);
    commands
        .filter(|command| command != "CLIENT" && command != "PING")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_among_others_costs_two_trips_and_thirteen_commands() {
    let redis = Redis::start();
    let queue = queue(&redis);
    for job in ["segmentation:a:1", "segmentation:b:1"] {
        write(&redis, job, "segmentation");
    }
    finish(&claim(&queue).await.expect("a job")).await;
    let monitor = redis.monitor();
    let lease = claim(&queue).await.expect("a job");
    finish(&lease).await;
    let lines = monitor.lines(&redis);
    let expected = [
        "EVALSHA",
        "TIME",
        "EXISTS",
        "RPOPLPUSH",
        "HGETALL",
        "HSET",
        "ZADD", // claimed
        "EVALSHA",
        "HMGET",
        "LREM",
        "HSET",
        "HDEL",
        "ZREM", // and done
    ];
    assert_eq!(commands(&lines, "EVALSHA")[..13], expected, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_an_idle_queue_costs_three_trips() {
    let redis = Redis::start();
    let queue = queue(&redis);
    let monitor = redis.monitor();
    let working = tokio::spawn(async move {
        let stop = CancellationToken::new();
        for _ in 0..3 {
            let (lease, _) = loop {
                if let Some(claimed) = queue.claim(0, &stop).await.expect("redis answers") {
                    break claimed;
                }
            };
            finish(&lease).await;
        }
    });
    for job in ["segmentation:a:1", "segmentation:b:1", "segmentation:c:1"] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        write(&redis, job, "segmentation");
    }
    working.await.expect("no panic");
    let lines = monitor.lines(&redis);
    let outside = lines.iter().filter(|line| !line.contains(" lua]"));
    let commands = commands(&outside.cloned().collect::<Vec<_>>(), "BLMOVE");
    let theirs = commands
        .iter()
        .filter(|it| *it == "EVALSHA" || *it == "BLMOVE");
    let theirs: Vec<_> = theirs.collect();
    // The first job has to bring the scripts.
    let expected = ["BLMOVE", "EVALSHA", "EVALSHA"].repeat(2);
    assert_eq!(theirs[theirs.len() - 6..], expected, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_comes_late_is_taken_once_a_connection_was_lost() {
    let redis = Redis::start();
    let queue = queue(&redis);
    write(&redis, "segmentation:a:1", "segmentation");
    let lease = claim(&queue).await.expect("a job");
    redis.drop_clients();
    finish(&lease).await;
    // A wait that the server had not given up yet.
    write(&redis, "segmentation:late:1", LIST);
    write(&redis, "segmentation:b:1", "segmentation");
    for job in ["segmentation:late:1", "segmentation:b:1"] {
        let lease = claim(&queue).await.expect("a job");
        assert_eq!(lease.key().to_string(), job);
        finish(&lease).await;
    }
    assert!(claim(&queue).await.is_none() && redis.list(LIST).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_writes_is_among_the_fields_that_it_gives() {
    let redis = Redis::start();
    let queue = queue(&redis);
    let job = "segmentation:a:1";
    write(&redis, job, "segmentation");
    // Its consumer has died, and its lease has ended.
    let dead = [
        "rc_claims",
        "7",
        "rc_crashes",
        "1",
        "rc_owner",
        "processing-segmentation:dead",
    ];
    let _: u32 = redis.ask(&[&["HSET", job][..], &dead].concat());
    let _: u32 = redis.ask(&["ZADD", "rc:lease:segmentation", "1", job]);
    let stop = CancellationToken::new();
    let (lease, fields) = queue
        .claim(0, &stop)
        .await
        .expect("redis answers")
        .expect("a job");
    assert_eq!(lease.crashes(), 2);
    let fields = fields.into_iter();
    let given = fields.map(|(name, value)| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&name), text(&value))
    });
    let written = redis.hash(job);
    assert_eq!(
        (
            written["rc_claims"].as_str(),
            written["rc_crashes"].as_str()
        ),
        ("8", "2")
    );
    assert_eq!(given.collect::<HashMap<_, _>>(), written);
}
