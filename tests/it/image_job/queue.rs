//! Entries of the queue, the lists of the slots, kills and SIGTERM.

use std::time::Duration;

use redis_consumer::serving::Method;

use super::cluster;
use crate::peers::cluster::{FIELDS, NUCLEI, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn slots_work_side_by_side_with_a_list_each() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(300));
    let _pod = cluster.pod("pod-1").set("CONCURRENCY", "3").start();
    let keys: Vec<_> = (0..9).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    let mut lists = Vec::new();
    eventually("three slots are busy", || {
        lists = cluster.redis.keys("processing-*");
        lists.len() == 3
    });
    lists.sort();
    let expected = [
        "processing-segmentation:pod-1",
        "processing-segmentation:slot1:pod-1",
        "processing-segmentation:slot2:pod-1",
    ];
    assert_eq!(lists, expected);
    keys.iter().for_each(|key| drop(cluster.wait_done(key)));
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_consumer_picks_a_job_up_at_once_and_asks_redis_little() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    // The first round of everything loads scripts.
    let mut monitor = cluster.redis.monitor();
    monitor.until(|line| line.contains("\"SCAN\""));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sent = monitor
        .lines(&cluster.redis)
        .into_iter()
        .filter(|line| !line.contains("lua]"))
        .count();
    assert!(sent <= 12, "{sent} commands in three idle seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_consumers_job_is_taken_up_by_its_successor_of_the_same_name() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    pod.kill();
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-1"),
        [key.as_str()]
    );

    let _pod = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["rc_crashes"], "1");
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_python_consumer_of_the_same_name_are_put_back() {
    let cluster = cluster().await;
    cluster.write_job(
        "left",
        NUCLEI,
        &[("dimension_order", "XYC"), ("status", "predicting")],
    );
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:pod-1", "left"]);
    cluster.write_job("foreign", NUCLEI, &FIELDS);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:pod-10", "foreign"]);
    let _pod = cluster.pod("pod-1").start();
    cluster.wait_done("left");
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-10"),
        ["foreign"],
        "another pod's list is not ours"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_job_that_fits_the_grace_is_finished_and_the_exit_is_clean() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(500));
    let mut pod = cluster.pod("pod-1").start();
    let first = cluster.submit_to_model(NUCLEI, &FIELDS);
    let second = cluster.submit(NUCLEI, &FIELDS);
    pod.terminate();
    assert_eq!(pod.wait().code(), Some(0));
    assert_eq!(cluster.redis.hash(&first)["status"], "done");
    assert_eq!(cluster.redis.hash(&second)["status"], "new");
    assert_eq!(cluster.redis.list("segmentation"), [second]);
    assert!(cluster.redis.keys("processing-*").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_job_that_does_not_fit_goes_back_to_the_front() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut pod = cluster.pod("pod-1").set("SHUTDOWN_GRACE", "0.3").start();
    let first = cluster.submit_to_model(NUCLEI, &FIELDS);
    let second = cluster.submit(NUCLEI, &FIELDS);
    pod.terminate();
    assert_eq!(pod.wait().code(), Some(0));
    assert_eq!(
        cluster.redis.list("segmentation"),
        [second, first.clone()],
        "the right end is served next"
    );
    assert!(cluster.redis.keys("processing-*").is_empty());
    assert_eq!(
        cluster
            .redis
            .ask::<u32>(&["EXISTS", "rc:lease:segmentation"]),
        0
    );

    let _pod = cluster.pod("pod-2").start();
    assert!(
        !cluster.wait_done(&first).contains_key("rc_crashes"),
        "nothing is counted against it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_queue_entry_however_malformed_stops_the_consumer() {
    let cluster = cluster().await;
    let mut pod = cluster.pod("pod-1").start();
    let _: String = cluster.redis.ask(&["SET", "a-string", "value"]);
    let _: u32 = cluster.redis.ask(&["SADD", "a-set", "member"]);
    let _: u32 = cluster.redis.ask(&["HSET", "stub", "updated_by", "pod-0"]);
    for entry in ["no-such-key", "a-string", "a-set", "stub", ""] {
        let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", entry]);
    }
    let not_utf8 = b"segmentation:\xff\xfe:1".to_vec();
    let _: u32 = cluster.redis.ask_bytes(
        "HSET",
        &[
            not_utf8.clone(),
            b"status".to_vec(),
            b"new".to_vec(),
            b"input_file_name".to_vec(),
            NUCLEI.into(),
        ],
    );
    let _: u32 = cluster
        .redis
        .ask_bytes("LPUSH", &[b"segmentation".to_vec(), not_utf8.clone()]);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    eventually("nothing is left behind", || cluster.is_quiet());
    let status: String = cluster
        .redis
        .ask_bytes("HGET", &[not_utf8, b"status".to_vec()]);
    assert_eq!(status, "done", "keys are bytes");
    assert_eq!(cluster.redis.hash("stub")["status"], "failed");
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_already_final_is_dropped_and_not_run_again() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let key = cluster.submit(NUCLEI, &FIELDS);
    let before = cluster.wait_done(&key);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", &key]);
    eventually("the entry is dropped", || cluster.is_quiet());
    assert_eq!(cluster.redis.hash(&key), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twice_is_worked_once() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(400));
    let _pod = cluster.pod("pod-1").set("CONCURRENCY", "2").start();
    cluster.write_job("twice", NUCLEI, &FIELDS);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "twice", "twice"]);
    let hash = cluster.wait_done("twice");
    eventually("nothing is left behind", || cluster.is_quiet());
    assert_eq!(hash["rc_claims"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_hash_expires_leaves_nothing_behind() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(500));
    let _pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    let _: u32 = cluster.redis.ask(&["DEL", &key]);
    eventually("the entry is dropped", || cluster.is_quiet());
    assert_eq!(
        cluster.redis.ask::<u32>(&["EXISTS", &key]),
        0,
        "no stub is written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_janitor_moved_is_not_overwritten() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(700));
    let mut pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    // A Python consumer has it now: the janitor took it out of our list, and that consumer wrote its name.
    let _: u32 = cluster
        .redis
        .ask(&["LREM", "processing-segmentation:pod-1", "1", &key]);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:python-0", &key]);
    let _: u32 = cluster.redis.ask(&[
        "HSET",
        &key,
        "status",
        "started",
        "identity_started",
        "python-0",
    ]);
    eventually("our result is dropped", || {
        pod.log().contains("its result is dropped")
    });
    let hash = cluster.redis.hash(&key);
    assert!(
        !hash.contains_key("output_url") && hash["identity_started"] == "python-0",
        "{hash:?}"
    );
    assert_eq!(
        cluster.redis.list("processing-segmentation:python-0"),
        [key]
    );
    assert!(pod.is_running());
}
