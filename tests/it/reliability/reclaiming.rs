//! Jobs that nobody would come back to: dead consumers by the hundred, clocks that were put back, entries and parents that are
//! gone.

use std::time::Duration;

use redis_consumer::queue::{Queue, QueueSettings, RedisSettings};
use redis_consumer::serving::Method;
use tokio_util::sync::CancellationToken;

use super::{cluster, queue};
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::Redis;

/// How far clocks are put.
const HOUR_MS: i64 = 3_600_000;

/// Puts the clock of Redis ahead, or back, as it looks from inside: all times that are kept lie so much earlier, or later.
fn put_clock(redis: &Redis, ms_ahead: i64) {
    let script = "
        for _, key in ipairs(redis.call('KEYS', 'rc:*')) do
            local kind = redis.call('TYPE', key)['ok']
            if kind == 'zset' then
                for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ARGV[1], member) end
            elseif key:sub(1, 9) == 'rc:clock:' then
                for _, field in ipairs(redis.call('HKEYS', key)) do redis.call('HINCRBY', key, field, -ARGV[1]) end
            elseif redis.call('PTTL', key) > 0 then
                redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
            end
        end";
    let _: redis::Value = redis.ask(&["EVAL", script, "0", &ms_ahead.to_string()]);
}

/// Puts it back by an hour.
fn put_clock_back(redis: &Redis) {
    put_clock(redis, -HOUR_MS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_many_dead_consumers_come_back_at_once() {
    let redis = Redis::start();
    let mut pipeline = redis::pipe();
    for n in 0..350 {
        let (key, list) = (
            format!("segmentation:{n}:1"),
            format!("processing-segmentation:dead-{n}"),
        );
        pipeline.cmd("HSET").arg(&key);
        pipeline.arg(&["status", "predicting", "rc_token", "t", "rc_owner", &list]);
        pipeline.cmd("LPUSH").arg(&list).arg(&key);
        pipeline
            .cmd("ZADD")
            .arg("rc:lease:segmentation")
            .arg(n)
            .arg(&key);
        pipeline
            .cmd("ZADD")
            .arg("rc:workers:segmentation")
            .arg(n)
            .arg(format!("dead-{n}"));
    }
    redis.try_pipeline(&pipeline).expect("redis answers");
    let found = queue(&redis)
        .reclaim_expired()
        .await
        .expect("redis answers");
    assert_eq!(found.requeued.len(), 350);
    assert_eq!(redis.list("segmentation").len(), 350);
    for left in ["rc:lease:segmentation", "rc:workers:segmentation"] {
        assert_eq!(redis.ask::<u32>(&["EXISTS", left]), 0, "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_long_queue_makes_slow_is_done_in_several_rounds() {
    let redis = Redis::start_in_memory();
    let mut pipeline = redis::pipe();
    let entries: Vec<_> = (0..150_000)
        .map(|n| format!("segmentation:{n}:1"))
        .collect();
    for chunk in entries.chunks(10_000) {
        pipeline.cmd("RPUSH").arg("segmentation").arg(chunk);
    }
    // Leases whose entries are in no list: whether they are in the queue has to be looked up.
    for n in 0..20 {
        let key = format!("segmentation:lost-{n}:1");
        let owner = "processing-segmentation:dead";
        pipeline.cmd("HSET").arg(&key);
        pipeline.arg(&["status", "predicting", "rc_token", "t", "rc_owner", owner]);
        pipeline
            .cmd("ZADD")
            .arg("rc:lease:segmentation")
            .arg(n)
            .arg(&key);
    }
    redis.try_pipeline(&pipeline).expect("redis answers");
    let found = queue(&redis)
        .reclaim_expired()
        .await
        .expect("redis answers");
    assert_eq!(found.requeued.len(), 20);
    let stats: String = redis.ask(&["INFO", "commandstats"]);
    let scripts = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="))
        .and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
    assert!(scripts > Some(3), "{scripts:?} calls for 3,000,000 entries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back_delays_no_dead_consumers_job() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut dead = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    dead.kill();
    put_clock_back(&cluster.redis);
    let _other = cluster.pod("pod-2").set("LEASE_TIME", "2").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["updated_by"], "pod-2");
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back_takes_no_job_from_a_consumer_that_lives() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_secs(5));
    let _pods = ["pod-1", "pod-2"].map(|name| cluster.pod(name).set("LEASE_TIME", "2").start());
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    put_clock_back(&cluster.redis);
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["rc_claims"], "1");
    assert_eq!(hash.get("rc_crashes"), None);
}

/// Two jobs in the hands of two consumers, of which only the first lives.
async fn held_by_the_living_and_the_dead(redis: &Redis, living: &Queue, dead: &Queue) {
    for key in ["segmentation:dead:1", "segmentation:living:1"] {
        let _: u32 = redis.ask(&["HSET", key, "status", "new"]);
        let _: u32 = redis.ask(&["LPUSH", "segmentation", key]);
    }
    let stop = CancellationToken::new();
    for queue in [dead, living] {
        let claimed = queue.claim(0, &stop).await.expect("redis answers");
        assert!(claimed.is_some());
        queue.heartbeat().await.expect("redis answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_ahead_takes_no_job_from_a_consumer_that_lives() {
    let redis = Redis::start_in_memory();
    let with_lease = |name: &str| {
        let server = RedisSettings::plain("127.0.0.1", redis.port());
        Queue::new(QueueSettings {
            lease: Duration::from_secs(3),
            ..QueueSettings::new(server, "segmentation", name)
        })
    };
    let [survivor, living, dead] = ["survivor", "living", "dead"].map(with_lease);
    held_by_the_living_and_the_dead(&redis, &living, &dead).await;
    let before = survivor.reclaim_expired().await.expect("redis answers");
    assert!(before.requeued.is_empty());
    put_clock(&redis, HOUR_MS);
    let looking = tokio::spawn(async move { survivor.reclaim_expired().await });
    eventually("somebody has looked", || {
        redis.ask::<bool>(&["HEXISTS", "rc:clock:segmentation", "judge_from"])
    });
    living.heartbeat().await.expect("redis answers");
    let found = looking.await.expect("it ends").expect("redis answers");
    let requeued: Vec<_> = found
        .requeued
        .iter()
        .map(|job| job.key.to_string())
        .collect();
    assert_eq!(requeued, ["segmentation:dead:1"]);
    assert_eq!(redis.list("segmentation"), ["segmentation:dead:1"]);
    assert!(!redis.ask::<bool>(&["HEXISTS", "segmentation:living:1", "rc_crashes"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_a_lease_takes_no_job_from_consumers_that_live() {
    let mut cluster = cluster().await;
    // So that the metadata of the model are known to all.
    let names = ["pod-1", "pod-2", "pod-3", "pod-4"];
    let mut pods = names.map(|name| cluster.pod(name).set("LEASE_TIME", "3").start());
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.models.faults().delay(Duration::from_secs(15));
    let asked = |times| cluster.models.faults().calls(Method::Predict) >= times;
    let before = cluster.models.faults().calls(Method::Predict);
    let keys = names.map(|_| cluster.submit(NUCLEI, &FIELDS));
    eventually("each works one", || asked(before + names.len()));
    cluster.redis.kill();
    pods[3].kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    cluster.redis.resume();
    eventually("all leases are judged again", || {
        let clock = cluster.redis.hash("rc:clock:segmentation");
        clock.contains_key("judge_from")
    });
    cluster.models.faults().delay(Duration::ZERO);
    let crashes = keys.map(|key| cluster.wait_done(&key).get("rc_crashes").cloned());
    let died = crashes.iter().flatten().count();
    assert_eq!(died, 1, "only the job of the one that died: {crashes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back_delays_no_retry_and_hastens_no_appointment() {
    let cluster = cluster().await;
    let mut first = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).to_string();
    let later = cluster.submit(NUCLEI, &[("not_before", &soon)]);
    let delayed = |key: &str| -> Option<f64> {
        cluster
            .redis
            .ask(&["ZSCORE", "rc:delayed:segmentation", key])
    };
    eventually("it is put off", || delayed(&later).is_some());
    first.kill();
    // As a consumer leaves it that was to try it again after a moment.
    let key = "segmentation:again:1";
    cluster.write_job(key, NUCLEI, &FIELDS);
    let _: u32 = cluster.redis.ask(&["HSET", key, "rc_delay", "1000"]);
    let due = (jiff::Timestamp::now().as_millisecond() + 1000).to_string();
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:delayed:segmentation", &due, key]);
    put_clock_back(&cluster.redis);
    let before = delayed(&later);
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    cluster.wait_done(key);
    assert_eq!(delayed(&later), before, "an appointment is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_entry_a_janitor_took_away_and_died_is_finished_by_its_consumer() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_secs(2));
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "1.5").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    let list = "processing-segmentation:pod-1";
    let taken: u32 = cluster.redis.ask(&["LREM", list, "1", &key]);
    assert_eq!(taken, 1);
    eventually("it is put back", || cluster.redis.list(list).contains(&key));
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["rc_claims"], "1");
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_was_deleted_does_not_come_back_by_the_end_of_its_children() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "1.5").start();
    let parent = "segmentation:parent:1";
    let child = "segmentation:child:1";
    cluster.write_job(child, NUCLEI, &FIELDS);
    let redis = &cluster.redis;
    let _: u32 = redis.ask(&["HSET", child, "parent", parent]);
    let _: u32 = redis.ask(&["SADD", &format!("rc:pending:{parent}"), child, "another"]);
    let _: u32 = redis.ask(&["ZADD", "rc:parked:segmentation", "1", parent]);
    let _: u32 = redis.ask(&["LPUSH", "segmentation", child]);
    cluster.wait_done(child);
    eventually("the parent is forgotten", || {
        redis.ask::<u32>(&["EXISTS", "rc:parked:segmentation"]) == 0
            && redis.keys("rc:pending:*").is_empty()
    });
    assert_eq!(redis.ask::<u32>(&["EXISTS", parent]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_consumer_waits_for_an_entry_of_its_own() {
    let cluster = Cluster::open().await;
    let mut monitor = cluster.redis.monitor();
    let _pod = cluster.pod("pod-1").start();
    let waits = monitor.until(|line| line.to_uppercase().contains("BLMOVE"));
    assert!(
        waits.contains(r#""segmentation" "processing-segmentation:pod-1" "RIGHT" "LEFT""#),
        "others are not woken by its job: {waits}"
    );
}

/// A command that was on its way when a consumer died may arrive late, such as a wait for an entry that a proxy has held back.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_a_dead_consumer_is_given_late_comes_back_and_one_of_a_stranger_stays() {
    let redis = Redis::start();
    let queue = queue(&redis);
    let long_ago = jiff::Timestamp::now().as_millisecond() - 60_000;
    let _: u32 = redis.ask(&[
        "ZADD",
        "rc:workers:segmentation",
        &long_ago.to_string(),
        "pod-1",
    ]);
    // It is looked at, has nothing, and is forgotten.
    let _: u32 = redis.ask(&[
        "HSET",
        "rc:clock:segmentation",
        "looked_at",
        &(long_ago + 59_000).to_string(),
    ]);
    queue.reclaim_expired().await.expect("redis answers");
    assert_eq!(redis.ask::<u32>(&["ZCARD", "rc:workers:segmentation"]), 0);
    for (job, list) in [
        ("segmentation:late:1", "processing-segmentation:slot1:pod-1"),
        ("segmentation:strange:1", "processing-segmentation:python-1"),
    ] {
        let _: u32 = redis.ask(&["HSET", job, "status", "new"]);
        let _: u32 = redis.ask(&["LPUSH", list, job]);
    }
    let found = queue.reclaim_orphans().await.expect("redis answers");
    assert_eq!(found.requeued.len(), 1, "{found:?}");
    assert_eq!(redis.list("segmentation"), ["segmentation:late:1"]);
    assert_eq!(redis.hash("segmentation:late:1").get("rc_crashes"), None);
    assert_eq!(
        redis.list("processing-segmentation:python-1"),
        ["segmentation:strange:1"]
    );
}

/// A Redis that is full refuses claims, and with them what makes a consumer known.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_known_before_it_waits_for_an_entry_whatever_became_of_its_claim() {
    let redis = Redis::start();
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let monitor = redis.monitor();
    let queue = queue(&redis);
    let stop = CancellationToken::new();
    let claim = tokio::spawn({
        let (queue, stop) = (queue.clone(), stop.clone());
        async move { queue.claim(0, &stop).await }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let claimed = claim.await.expect("it ends").expect("redis answers");
    assert!(claimed.is_none());
    stop.cancel();
    let lines = monitor.lines(&redis);
    let first = |word: &str| {
        lines
            .iter()
            .position(|line| line.to_uppercase().contains(word))
    };
    let (known, waited) = (first("\"ZADD\" \"RC:WORKERS"), first("\"BLMOVE\""));
    assert!(known.is_some() && waited.is_some(), "{lines:?}");
    assert!(known < waited, "{lines:?}");
}
