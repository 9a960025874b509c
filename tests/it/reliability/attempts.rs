//! Retries, deadlines, deaths and leases.

use std::time::Duration;

use redis_consumer::serving::Method;
use rustix::process::Signal;
use tonic::Code;

use super::cluster;
use crate::peers::cluster::{FIELDS, NUCLEI, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_are_none_count_as_zero() {
    let cluster = cluster().await;
    let keys = ["nan", "-nan", "inf", "1e300", "-5", "many"].map(|odd| {
        let mut fields = FIELDS.to_vec();
        fields.extend([("rc_crashes", odd), ("rc_claims", odd)]);
        cluster.submit(NUCLEI, &fields)
    });
    let _pod = cluster.pod("pod-1").start();
    for key in keys {
        let hash = cluster.wait_done(&key);
        assert_eq!(hash["rc_claims"], "1", "{hash:?}");
    }

    let mut fields = FIELDS.to_vec();
    fields.push(("not_before", "99999999999"));
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &fields));
    assert!(reason.contains("more than a year ahead"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_later_and_what_is_wrong_is_not() {
    let cluster = cluster().await;
    let pod = cluster
        .pod("pod-1")
        .set("MAX_ATTEMPTS", "5")
        .set("RETRY_BACKOFF", "0.2")
        .set("MAX_RETRY", "1");
    let _pod = pod.set("GRPC_BACKOFF", "0").start();
    cluster
        .models
        .faults()
        .fail(Method::Predict, Code::ResourceExhausted, 6);
    let hash = cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        ["1", "2", "3"].contains(&hash["rc_attempts"].as_str()),
        "{hash:?}"
    );
    assert!(
        hash["rc_last_error"].starts_with("model_unavailable: ModelServerError: "),
        "{hash:?}"
    );
    assert_eq!(
        (hash.get("rc_crashes"), hash.get("error_class")),
        (None, None)
    );

    cluster.put("uploads/broken.png", b"\x89PNG\r\n\x1a\nbroken");
    let key = cluster.submit("uploads/broken.png", &FIELDS);
    assert!(cluster.wait_failed(&key).starts_with("ValueError: "));
    let hash = cluster.redis.hash(&key);
    assert_eq!(
        (hash["error_class"].as_str(), hash.get("rc_attempts")),
        ("invalid_input", None)
    );
    eventually("nothing is left behind", || cluster.is_quiet());
    assert_eq!(
        cluster
            .redis
            .ask::<i64>(&["EXISTS", "rc:dead:segmentation"]),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_attempts_are_spent_fails_and_is_kept_in_mind() {
    let cluster = cluster().await;
    let pod = cluster
        .pod("pod-1")
        .set("MAX_ATTEMPTS", "2")
        .set("RETRY_BACKOFF", "0.1")
        .set("MAX_RETRY", "1");
    let _pod = pod.set("GRPC_BACKOFF", "0").start();
    cluster
        .models
        .faults()
        .fail(Method::Predict, Code::ResourceExhausted, 1000);
    let key = cluster.submit(NUCLEI, &FIELDS);
    let reason = cluster.wait_failed(&key);
    assert!(reason.contains("overloaded after 2 attempts"), "{reason}");
    assert_eq!(cluster.redis.hash(&key)["error_class"], "model_unavailable");
    assert_eq!(
        cluster
            .redis
            .ask::<Vec<String>>(&["ZRANGE", "rc:dead:segmentation", "0", "-1"]),
        [key]
    );
    eventually("nothing else is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_takes_too_long_is_given_up_and_the_slot_goes_on() {
    let cluster = cluster().await;
    let pod = cluster
        .pod("pod-1")
        .set("PREDICT_TIMEOUT", "1")
        .set("LEASE_TIME", "3")
        .set("GRPC_TIMEOUT", "300");
    let _pod = pod.start();
    cluster.models.faults().hang(Method::Predict, 1);
    let late = cluster.submit(NUCLEI, &FIELDS);
    let reason = cluster.wait_failed(&late);
    assert_eq!(
        reason,
        "TimeoutError: the job was still predicting after 1 s"
    );
    assert_eq!(cluster.redis.hash(&late)["error_class"], "deadline");
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_worked_before_its_time() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let later = cluster.submit(
        NUCLEI,
        &[FIELDS[0], FIELDS[1], ("not_before", &due.to_string())],
    );
    let past = cluster.submit(
        NUCLEI,
        &[FIELDS[0], FIELDS[1], ("not_before", "1700000000.5")],
    );
    cluster.wait_done(&past);
    assert_eq!(cluster.redis.hash(&later)["status"], "new");
    let hash = cluster.wait_done(&later);
    let finished: jiff::Timestamp = hash["finished_at"].parse().expect("a time stamp");
    assert!(finished >= due, "{finished} is before {due}");
    assert_eq!(
        (hash.get("rc_attempts"), hash.get("rc_crashes")),
        (None, None)
    );
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &[("not_before", "tomorrow")]));
    assert_eq!(
        reason,
        "ValueError: not_before `tomorrow` is neither a time stamp nor seconds since 1970"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_consumers_job_is_reclaimed_by_another_without_help() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut dead = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    let _other = cluster.pod("pod-2").set("LEASE_TIME", "2").start();
    dead.kill();
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["rc_crashes"].as_str(), hash["updated_by"].as_str()),
        ("1", "pod-2")
    );
    eventually("nothing is left behind", || cluster.is_quiet());
    eventually("the dead consumer is forgotten", || {
        cluster
            .redis
            .ask::<Vec<String>>(&["ZRANGE", "rc:workers:segmentation", "0", "-1"])
            == ["pod-2"]
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_stopped_for_longer_than_its_lease_writes_nothing() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_secs(2));
    let stopped = cluster.pod("pod-1").set("LEASE_TIME", "1.5").start();
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    stopped.signal(Signal::STOP);
    cluster.models.faults().delay(Duration::ZERO);
    let _other = cluster.pod("pod-2").set("LEASE_TIME", "1.5").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["updated_by"], "pod-2");
    stopped.signal(Signal::CONT);
    eventually("it learns that the job is gone", || {
        stopped.log().contains("went to another consumer")
    });
    assert_eq!(cluster.redis.hash(&key), hash, "nothing has changed");
    eventually("nothing is left behind", || cluster.is_quiet());
}
