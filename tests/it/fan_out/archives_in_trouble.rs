//! Archives whose consumers die, are cut off, or may not do what they must.

use std::time::Duration;

use super::{is_quiet, waiting, zip_pod, zip_pod_on};
use crate::peers::cluster::{Cluster, FIELDS, children, eventually};
use crate::peers::faults::Fault;
use crate::peers::proxy::Proxy;
use crate::peers::python_kiosk::PythonConsumer;
use crate::peers::s3::S3Server;
use crate::peers::synthetic_images::archive;

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_at_any_moment_does_not_double_the_children() {
    let cluster = Cluster::with_models_of_children().await;
    let names: Vec<_> = (0..60).map(|n| format!("{n:02}.png")).collect();
    cluster.put("uploads/some.zip", &archive(&names));
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    for pause in [5, 10, 20, 30, 40] {
        let mut zip = zip_pod(&cluster, "pod-zip").set("MAX_CRASHES", "9").start();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        zip.kill();
    }
    let _zip = zip_pod(&cluster, "pod-zip").set("MAX_CRASHES", "9").start();
    let hash = waiting(&cluster, &key);
    let mut queued = cluster.redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, children(&hash));
    assert_eq!(cluster.redis.keys("segmentation:*").len(), 60);

    let mut images = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "2")
        .set("LEASE_TIME", "2")
        .start();
    eventually("some are done", || {
        cluster.redis.hash(&key)["progress"] != "0"
    });
    images.kill();
    let _images = cluster
        .pod("pod-2")
        .set("CONCURRENCY", "2")
        .set("LEASE_TIME", "2")
        .start();
    let mut progress = 0;
    eventually("it is done", || {
        let hash = cluster.redis.hash(&key);
        let now = hash["progress"].parse().expect("a number");
        assert!(
            now >= progress,
            "progress goes back from {progress} to {now}"
        );
        progress = now;
        hash["status"] == "done"
    });
    let hash = cluster.redis.hash(&key);
    assert_eq!(
        (hash["failures"].as_str(), hash["total_jobs"].as_str()),
        ("", "60")
    );
    assert_eq!(cluster.result(&hash).len(), 60);
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_cut_off_while_it_expanded_an_archive_leaves_the_children_of_its_successor_alone()
 {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    let names: Vec<_> = (0..30).map(|n| format!("{n:02}.png")).collect();
    s3.put("uploads/some.zip", &archive(&names));
    s3.put("output/python.zip", &archive(&["python.tif"]));
    // The first consumer cannot store the last image until its way to Redis is cut.
    s3.faults
        .fail_if(Fault::Status(503), |seen| seen.is("PUT", "29.png"));
    let way = Proxy::start(([127, 0, 0, 1], cluster.redis.port()).into()).await;
    let first = zip_pod_on(&cluster, "pod-first", &s3)
        .set("REDIS_PORT", &way.port.to_string())
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    eventually("it stores images", || s3.faults.count("PUT", "29.png") > 0);
    way.close();
    s3.faults.heal();
    let _second = zip_pod_on(&cluster, "pod-zip", &s3).start();
    eventually("the second one waits for the children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::from_millis(100),
    );
    eventually("some are done", || {
        cluster.redis.hash(&key)["children_done"]
            .parse::<u32>()
            .is_ok_and(|done| done > 9)
    });
    // What is left waits until the first one is back and has been looked at.
    let mut done = python.stop();
    way.open();
    eventually("the first one gives up", || {
        first.log().contains("its result is dropped")
    });
    for child in children(&cluster.redis.hash(&key)) {
        assert!(
            cluster.redis.hash(&child).contains_key("status"),
            "{child} was wiped"
        );
        assert_eq!(
            cluster.redis.ask::<i64>(&["TTL", &child]),
            -1,
            "{child} expires"
        );
    }
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py-2",
        Duration::ZERO,
    );
    let hash = cluster.wait_done(&key);
    done.extend(python.stop());
    assert_eq!(
        (hash["failures"].as_str(), hash["total_jobs"].as_str()),
        ("", "30")
    );
    assert_eq!(done.len(), 30, "each was worked once");
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_redis_refuses_to_settle_is_given_up_in_the_end_and_holds_up_no_other() {
    let cluster = Cluster::with_models_of_children().await;
    let user = [
        "ACL",
        "SETUSER",
        "without-del",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-del",
    ];
    let _: String = cluster.redis.ask(&user);
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    cluster.put("uploads/broken.zip", b"no archive");
    let zip = zip_pod(&cluster, "pod-zip")
        .set("REDIS_USERNAME", "without-del")
        .set("REDIS_PASSWORD", "secret");
    let _zip = zip.set("MAX_CRASHES", "2").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let other = cluster.submit_to("segmentation-zip", "uploads/broken.zip", &FIELDS);
    cluster.wait_failed(&other);
    let hash = cluster.wait(&key);
    assert_eq!(
        (hash["status"].as_str(), hash["error_class"].as_str()),
        ("failed", "crash")
    );
    assert_eq!(
        (hash["rc_crashes"].as_str(), hash["rc_claims"].as_str()),
        ("2", "3")
    );
    assert_eq!(
        cluster
            .redis
            .ask::<Vec<String>>(&["ZRANGE", "rc:dead:segmentation-zip", "0", "-1"]),
        [key]
    );
}
