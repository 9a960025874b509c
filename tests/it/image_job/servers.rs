//! Model servers, Redis and buckets that are slow, late or away.

use std::time::{Duration, Instant};

use redis_consumer::serving::{DataType, Encoding, Method};
use tonic::Code;

use super::cluster;
use crate::peers;
use crate::peers::cluster::{Cluster, FIELDS, IMAGE, NUCLEI, Pod, eventually};
use crate::peers::faults::Fault;
use crate::peers::redis::Sentinel;
use crate::peers::s3::S3Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_retryable_answer_of_the_model_server_is_retried() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
    ] {
        let before = cluster.models.faults().calls(Method::Predict);
        cluster.models.faults().fail(Method::Predict, code, 2);
        cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
        assert!(
            cluster.models.faults().calls(Method::Predict) >= before + 3,
            "{code:?}"
        );
    }
    cluster
        .models
        .faults()
        .fail(Method::Predict, Code::InvalidArgument, 1);
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        reason.starts_with("ModelServerError: ") && reason.contains("NuclearSegmentation:6"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_model_server_meets_the_deadline_and_is_asked_again() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").set("GRPC_TIMEOUT", "0.5").start();
    cluster.models.faults().hang(Method::Predict, 1);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_the_same_in_every_encoding_of_the_answer() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let result = || cluster.result(&cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS)));
    let expected = result();
    for encoding in [
        Encoding::Content(DataType::F32),
        Encoding::Listed(DataType::F32),
        Encoding::Shortened(DataType::F32),
        Encoding::Content(DataType::F64),
        Encoding::Listed(DataType::F64),
    ] {
        cluster.models.faults().answer_as(encoding);
        assert_eq!(result(), expected, "{encoding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_that_comes_up_late_is_waited_for_with_a_heartbeat() {
    let cluster = cluster().await;
    let port = peers::redis::free_port();
    let _pod = cluster
        .pod("pod-1")
        .set("TF_PORT", &port.to_string())
        .start();
    let key = cluster.submit(NUCLEI, &FIELDS);
    let updated = || {
        cluster
            .redis
            .hash(&key)
            .get("updated_at")
            .cloned()
            .unwrap_or_default()
    };
    eventually("the job waits", || {
        cluster.redis.hash(&key)["status"] != "new"
    });
    let first = updated();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(updated() > first, "the heartbeat refreshes updated_at");
    let model = peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]);
    let _server = redis_consumer::serving::ModelServer::start(port, vec![model])
        .await
        .expect("the port is free");
    cluster.wait_done(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_is_survived_idle_and_in_mid_job() {
    let mut cluster = cluster().await;
    let mut pod = cluster.pod("pod-1").start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));

    cluster.models.faults().delay(Duration::from_millis(300));
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.redis.resume();
    cluster.wait_done(&key);
    eventually("nothing is left behind", || cluster.is_quiet());
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_may_start_before_redis_does() {
    let mut cluster = cluster().await;
    cluster.redis.pause();
    let mut pod = cluster.pod("pod-1").start();
    eventually("it notices", || pod.log().contains("redis does not answer"));
    assert!(pod.is_running());
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_may_be_a_sentinels_as_kiosks_have_it() {
    let mut cluster = cluster().await;
    let sentinel = Sentinel::start(&cluster.redis, "kiosk");
    let mut pod = cluster
        .pod("pod-1")
        .set("REDIS_PORT", &sentinel.port.to_string())
        .start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert!(pod.is_running());
}

/// A consumer whose bucket is on an S3 server.
fn pod_on_s3(cluster: &Cluster, s3: &S3Server) -> Pod {
    let settings = cluster.pod("pod-1").set_all(s3.environment());
    settings.set("STORAGE_MAX_BACKOFF", "1").start()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_on_s3_lies_where_the_hash_says() {
    let cluster = Cluster::open().await;
    let s3 = S3Server::start();
    s3.put(NUCLEI, IMAGE);
    let _pod = pod_on_s3(&cluster, &s3);
    let hash = cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        s3.folder().join(&hash["output_file_name"]).exists(),
        "{hash:?}"
    );
    assert!(hash["output_url"].ends_with(&hash["output_file_name"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_answers_503_for_a_while_costs_time_and_nothing_else() {
    let cluster = Cluster::open().await;
    let s3 = S3Server::start();
    s3.put(NUCLEI, IMAGE);
    let _pod = pod_on_s3(&cluster, &s3);
    for outage in [Duration::from_secs(3), Duration::from_secs(30)] {
        s3.faults.fail_for(outage, Fault::Status(503));
        let key = cluster.submit(NUCLEI, &FIELDS);
        let submitted = Instant::now();
        let mut stamps = std::collections::BTreeSet::new();
        eventually("the job is done", || {
            let hash = cluster.redis.hash(&key);
            stamps.insert(hash["updated_at"].clone());
            hash["status"] == "done"
        });
        assert!(
            submitted.elapsed() >= outage,
            "it was done during the outage"
        );
        assert!(
            outage < Duration::from_secs(10) || stamps.len() > 5,
            "the heartbeat goes on: {stamps:?}"
        );
    }
}
