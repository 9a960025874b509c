//! Jobs that are ended.

use redis_consumer::serving::Method;

use super::run;
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::Redis;
use crate::peers::synthetic_images::archive;

#[tokio::test(flavor = "multi_thread")]
async fn waiting_jobs_end_at_once_and_running_ones_at_the_next_heartbeat() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let _pod = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    cluster.models.faults().hang(Method::Predict, 1);
    let running = cluster.submit_to_model(NUCLEI, &FIELDS);
    let waiting: Vec<_> = (0..3).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    let rehearsal = run(
        &cluster,
        0,
        &["cancel", "--queue", "segmentation", "--dry-run"],
    );
    assert_eq!(rehearsal, "would be: 4 cancelled\n");
    assert_eq!(cluster.redis.hash(&waiting[0])["status"], "new");

    let cancel = [
        "cancel",
        "--queue",
        "segmentation",
        "--because",
        "wrong channel",
        "--wait",
        "--yes",
    ];
    assert_eq!(run(&cluster, 0, &cancel), "4 cancelled\n");
    for key in waiting.iter().chain([&running]) {
        let hash = cluster.redis.hash(key);
        assert_eq!(
            (hash["status"].as_str(), hash["error_class"].as_str()),
            ("failed", "cancelled"),
            "{hash:?}"
        );
        assert!(
            hash["reason"].ends_with("Cancelled: by ana: wrong channel"),
            "{hash:?}"
        );
        assert!(!hash.contains_key("rc_cancel"), "{hash:?}");
    }
    assert_eq!(run(&cluster, 0, &["failed"]), "nothing has failed\n");
    // The slot is free again, and drops the entries of what was cancelled.
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    eventually("nothing is left", || cluster.is_quiet());
    let text = run(&cluster, 4, &["cancel", &running]);
    assert!(text.contains("it is final"), "{text}");
    // What was cancelled by mistake is requeued like any other failure.
    run(&cluster, 0, &["requeue", &running]);
    cluster.wait_done(&running);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_waits_for_its_images_is_cancelled_with_them() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let _zip = super::super::fan_out::zip_pod(&cluster, "pod-zip").start();
    let children = cluster.children(&key);
    run(&cluster, 0, &["cancel", &key]);
    assert_eq!(cluster.redis.hash(&key)["error_class"], "cancelled");
    for child in &children {
        let hash = cluster.redis.hash(child);
        assert_eq!(hash["status"], "failed", "{hash:?}");
        assert!(
            cluster.redis.ask::<i64>(&["TTL", child]) > 0,
            "it does not stay for ever"
        );
    }
    assert!(cluster.redis.keys("rc:pending:*").is_empty());
    let _images = cluster.pod("pod-1").start();
    eventually("the entries are dropped", || cluster.is_quiet());
    assert_eq!(super::text(&cluster.run(&["fsck"], &[]).stdout), "clean\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_python_consumer_is_left_to_it() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let key = cluster.submit(NUCLEI, &FIELDS);
    let redis = &cluster.redis;
    let _: String = redis.ask(&[
        "RPOPLPUSH",
        "segmentation",
        "processing-segmentation:pod-py",
    ]);
    let _: u32 = redis.ask(&["HSET", &key, "status", "predicting", "updated_by", "pod-py"]);
    let text = run(&cluster, 4, &["cancel", &key]);
    assert!(
        text.contains("a Python consumer works it, which cannot be asked"),
        "{text}"
    );
    assert_eq!(redis.hash(&key)["status"], "predicting");
}
