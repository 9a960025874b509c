//! A Kiosk's Python programs on the same queue: consumers, janitor, autoscaler and exporter.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use redis_consumer::serving::Method;

use super::{OLD, cluster};
use crate::peers::cluster::{FIELDS, NUCLEI, PATIENCE, eventually};
use crate::peers::python_kiosk::{self, PythonConsumer};

#[tokio::test(flavor = "multi_thread")]
async fn python_consumers_ours_and_the_python_janitor_share_a_queue() {
    let cluster = cluster().await;
    let ours = cluster.pod("pod-1").set("CONCURRENCY", "2").start();
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-2",
        Duration::from_millis(30),
    );
    let keys: Vec<_> = (0..60).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    let mut connection = cluster.redis.connection();
    let running = HashSet::from(["pod-1".to_owned(), "pod-2".to_owned()]);
    let started = Instant::now();
    while keys
        .iter()
        .any(|key| cluster.redis.hash(key)["status"] != "done")
    {
        python_kiosk::janitor_round(&mut connection, "segmentation", &running);
        let lists = cluster.redis.keys("processing-segmentation:*");
        assert!(lists.len() <= 3, "{lists:?}");
        for list in lists {
            assert!(
                cluster.redis.list(&list).len() <= 1,
                "one entry a list: the autoscaler counts lists"
            );
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
    let by_python = python.stop();
    assert!(
        !by_python.is_empty() && by_python.len() < keys.len(),
        "both have worked: {}",
        by_python.len()
    );
    for key in &keys {
        let hash = cluster.redis.hash(key);
        let by = if by_python.contains(key) {
            "pod-2"
        } else {
            "pod-1"
        };
        assert_eq!(hash["updated_by"], by);
    }
    eventually("nothing is left behind", || cluster.is_quiet());
    drop(ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscaler_and_exporter_count_busy_slots_as_they_count_python_consumers() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_secs(3));
    let _pod = cluster.pod("pod-1").set("CONCURRENCY", "3").start();
    let mut connection = cluster.redis.connection();
    let mut keys = Vec::new();
    for busy in 0..=3 {
        eventually("so many are at work", || {
            cluster.redis.keys("processing-*").len() == busy
        });
        assert_eq!(
            python_kiosk::autoscaler_count(&mut connection, "segmentation"),
            busy
        );
        assert_eq!(
            python_kiosk::exporter_count(&mut connection, "segmentation"),
            busy
        );
        keys.push(cluster.submit(NUCLEI, &FIELDS));
    }
    assert_eq!(
        python_kiosk::autoscaler_count(&mut connection, "segmentation"),
        4,
        "three at work and one waits"
    );
    assert_eq!(
        python_kiosk::exporter_count(&mut connection, "segmentation"),
        4
    );
    keys.iter().for_each(|key| drop(cluster.wait_done(key)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_janitor_and_a_python_consumer_take_over_from_ours() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    pod.kill();
    let _: u32 = cluster.redis.ask(&["HSET", &key, "updated_at", OLD]);
    let mut connection = cluster.redis.connection();
    assert_eq!(
        python_kiosk::janitor_round(&mut connection, "segmentation", &HashSet::new()),
        1
    );
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-2",
        Duration::ZERO,
    );
    assert_eq!(cluster.wait_done(&key)["updated_by"], "pod-2");
    assert_eq!(python.stop(), std::slice::from_ref(&key));
    // Ours comes back and finds the lease of a job that is over.
    let _pod = cluster.pod("pod-3").set("LEASE_TIME", "1.5").start();
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "XX", "1", &key]);
    eventually("nothing is left behind", || cluster.is_quiet());
    assert_eq!(cluster.redis.hash(&key)["updated_by"], "pod-2");
}
