//! Consumers that end by themselves.

use std::time::Duration;

use crate::peers::cluster::{Cluster, FIELDS, NUCLEI};
use crate::peers::redis::Redis;

/// Runs a consumer until it ends, with these options, and gives its exit status.
fn consume(cluster: &Cluster, options: &[&str]) -> Option<i32> {
    let arguments: Vec<_> = ["consume"].iter().chain(options).copied().collect();
    let settings = [
        ("HOSTNAME", "pod-1"),
        ("QUEUE", "segmentation"),
        ("CONSUMER_TYPE", "image"),
        ("CONCURRENCY", "2"),
        ("LEASE_TIME", "2"),
        ("METRICS_PORT", "0"),
    ];
    cluster.run(&arguments, &settings).status.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_ends_after_so_many_jobs_or_when_there_is_nothing_to_do() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let keys: Vec<_> = (0..7).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    assert_eq!(consume(&cluster, &["--max-jobs", "3"]), Some(0));
    let done = keys
        .iter()
        .filter(|key| cluster.redis.hash(key)["status"] == "done");
    assert_eq!(done.count(), 3);
    assert_eq!(cluster.redis.list("segmentation").len(), 4);
    assert!(cluster.redis.keys("processing-*").is_empty());

    // What comes back soon is waited for.
    let later = keys.last().expect("a job").clone();
    let _: u32 = cluster.redis.ask(&["LREM", "segmentation", "1", &later]);
    let soon = jiff::Timestamp::now().as_millisecond() + 2000;
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:delayed:segmentation", &soon.to_string(), &later]);
    let began = std::time::Instant::now();
    assert_eq!(consume(&cluster, &["--exit-when-idle", "500ms"]), Some(0));
    assert!(began.elapsed() > Duration::from_secs(1));
    for key in &keys {
        assert_eq!(cluster.redis.hash(key)["status"], "done");
    }
    assert!(cluster.is_quiet());
}
