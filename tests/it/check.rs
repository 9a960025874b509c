//! `redis-consumer check` against real peers, sound and unsound ones.

use std::process::Output;

use redis::RedisConnectionInfo;
use serde_json::Value;

use crate::peers;
use crate::peers::cluster::{Cluster, eventually};
use crate::peers::faults::Fault;
use crate::peers::redis::{Redis, Replica};
use crate::peers::s3::S3Server;

async fn cluster() -> Cluster {
    let models = vec![
        peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]),
        peers::exact_models::model("cytoplasm", "CytoplasmSegmentation:5", [64, 64]),
        peers::exact_models::model("mesmer", "MultiplexSegmentation:9", [64, 64]),
    ];
    Cluster::with(Redis::start(), models).await
}

fn check(cluster: &Cluster, arguments: &[&str], changes: &[(&str, &str)]) -> Output {
    cluster.run(&[&["check"], arguments].concat(), changes)
}

/// The lines of a part of the report, as `verdict text`.
fn lines(output: &Output, part: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = found.filter(|line| {
        line["part"]
            .as_str()
            .is_some_and(|name| name.starts_with(part))
    });
    found
        .map(|line| {
            format!(
                "{} {}",
                line["verdict"].as_str().expect("it is text"),
                line["text"].as_str().expect("it is text")
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_installation_is_found_sound() {
    let cluster = cluster().await;
    let output = check(&cluster, &[], &[("QUEUE", "segmentation")]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "consumer `image`, queue `segmentation`",
        "master",
        "0 waiting",
        "may be run",
        "wrote `output/rc-check.txt`",
        "read it again",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(
        text.contains("ok     model NuclearSegmentation:6"),
        "{text}"
    );
    assert!(
        text.contains("warn   model PhaseCytoSegmentation:0"),
        "jobs may do without it\n{text}"
    );
    assert!(text.ends_with("warnings\n"), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_remedy() {
    let cluster = cluster().await;
    let of = |part: &str, changes: &[(&str, &str)]| {
        let output = check(&cluster, &["--json"], changes);
        (output.status.code(), lines(&output, part).join("\n"))
    };
    let (status, text) = of("CONCURRENCY", &[("CONCURRENCY", "many")]);
    assert_eq!(status, Some(64));
    assert!(text.contains("wrong `many`"), "{text}");
    let (status, text) = of("redis", &[("REDIS_PORT", "1")]);
    assert_eq!(status, Some(4));
    assert!(text.starts_with("wrong 127.0.0.1:1: "), "{text}");
    let (status, text) = of("model", &[("TF_PORT", "1")]);
    assert_eq!(status, Some(4));
    assert!(
        text.starts_with("wrong 127.0.0.1:1: ") && text.ends_with("jobs wait until it is there"),
        "{text}"
    );
    let (status, text) = of("model", &[("NUCLEAR_MODEL", "Nowhere:3")]);
    assert_eq!(status, Some(4));
    assert!(
        text.contains("wrong ") && text.contains("Nowhere:3"),
        "{text}"
    );
    let (status, text) = of(
        "model",
        &[
            ("CONSUMER_TYPE", "mesmer"),
            ("MESMER_MODEL", "NuclearSegmentation:6"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(
        text.ends_with("\nwrong it takes images of 1 channels, and is given 2"),
        "{text}"
    );
    let (status, text) = of(
        "model",
        &[
            ("CONSUMER_TYPE", "tracking"),
            ("NEIGHBORHOOD_ENCODER", "NuclearSegmentation:6"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(text.contains("and is given encoder_app_input, "), "{text}");
    let (status, text) = of(
        "bucket",
        &[
            ("STORAGE_BUCKET", "s3://nowhere"),
            ("AWS_S3_ENDPOINT", "http://127.0.0.1:1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(text.starts_with("wrong writing: "), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_written_read_and_fetched_as_users_do() {
    let cluster = cluster().await;
    let bucket = S3Server::start();
    let settings = bucket.environment();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let output = check(&cluster, &["--json"], &settings);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output, "bucket").len(), 2);
    let [found] = lines(&output, "results").try_into().expect("one line");
    assert!(
        found.starts_with("warning http://")
            && found.contains("403")
            && found.contains("STORAGE_ACL"),
        "{found}"
    );
    bucket.faults.fail_next(1, Fault::Status(403));
    let output = check(&cluster, &["--json"], &settings);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(
        lines(&output, "bucket")[0].starts_with("wrong writing: "),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loses_jobs_is_told() {
    let cluster = cluster().await;
    let _: String = cluster
        .redis
        .ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let output = check(&cluster, &["--json"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        lines(&output, "redis")
            .iter()
            .any(|line| line.starts_with("warning maxmemory-policy")),
        "{output:?}"
    );

    let replica = Replica::start(&cluster.redis);
    replica.catch_up(&cluster.redis);
    let port = replica.redis.port().to_string();
    let output = check(&cluster, &["--json"], &[("REDIS_PORT", &port)]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        lines(&output, "redis")
            .iter()
            .any(|line| line.contains("which takes no writes")),
        "{output:?}"
    );
    eventually("nothing was left", || cluster.redis.keys("rc:*").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_told_by_its_scripts() {
    let redis = Redis::start_with(
        &["--cluster-enabled", "yes"],
        RedisConnectionInfo::default(),
    );
    let _: String = redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is up", || {
        redis
            .ask::<String>(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
    });
    let models = vec![peers::exact_models::model(
        "nuclear",
        "NuclearSegmentation:6",
        [64, 64],
    )];
    let cluster = Cluster::with(redis, models).await;
    let output = check(&cluster, &["--json"], &[("QUEUE", "segmentation")]);
    let scripts = lines(&output, "scripts").join("\n");
    assert!(
        scripts.starts_with("wrong") && scripts.contains("QUEUE={segmentation}"),
        "{scripts}"
    );
    let output = check(&cluster, &["--json"], &[("QUEUE", "{segmentation}")]);
    assert_eq!(lines(&output, "scripts"), ["ok may be run"]);
}
