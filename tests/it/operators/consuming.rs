//! Consumers that end by themselves.

use std::time::Duration;

use redis_consumer::serving::Method;

use super::super::metrics_and_probes::get;
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::{Redis, free_port};

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

#[tokio::test(flavor = "multi_thread")]
async fn one_job_is_worked_wherever_it_waits_and_the_exit_status_says_how_it_ended() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let work = |key: &str| consume(&cluster, &["--job", key]);
    let before = cluster.submit(NUCLEI, &FIELDS);
    let wanted = cluster.submit(NUCLEI, &FIELDS);
    let delayed = cluster.submit(NUCLEI, &FIELDS);
    let wrong = cluster.submit("uploads/missing.png", &FIELDS);
    let _: u32 = cluster.redis.ask(&["LREM", "segmentation", "1", &delayed]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:delayed:segmentation", "9e15", &delayed]);

    // An operator who looks into one job has paused the others.
    super::run(&cluster, 0, &["queue", "pause", "segmentation"]);
    assert_eq!(work(&wanted), Some(0));
    assert_eq!(work(&delayed), Some(0));
    assert_eq!(work(&wrong), Some(4));
    let status = |key: &str| cluster.redis.hash(key)["status"].clone();
    assert_eq!(
        [&before, &wanted, &delayed, &wrong].map(|key| status(key)),
        ["new", "done", "done", "failed"]
    );
    assert_eq!(
        cluster.redis.list("segmentation"),
        std::slice::from_ref(&before)
    );
    assert!(cluster.redis.keys("processing-*").is_empty());

    assert_eq!(work(&wanted), Some(75), "it has ended");
    assert_eq!(work("segmentation:mistyped"), Some(75));
    let elsewhere = cluster.submit_to("other", NUCLEI, &FIELDS);
    assert_eq!(work(&elsewhere), Some(75), "QUEUE is segmentation");
    assert_eq!(status(&elsewhere), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_somebody_works_is_not_worked_twice() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let _pod = cluster.pod("pod-1").start();
    cluster.models.faults().hang(Method::Predict, 1);
    let held = cluster.submit_to_model(NUCLEI, &FIELDS);
    assert_eq!(consume(&cluster, &["--job", &held]), Some(75));
    // A Python consumer writes no token.
    let foreign = cluster.submit_to("python", NUCLEI, &FIELDS);
    let _: String = cluster
        .redis
        .ask(&["RPOPLPUSH", "python", "processing-python:pod-2"]);
    let _: u32 = cluster.redis.ask(&[
        "HSET",
        &foreign,
        "status",
        "started",
        "identity_started",
        "pod-2",
    ]);
    let settings = [("HOSTNAME", "pod-3"), ("QUEUE", "python")];
    let output = cluster.run(&["consume", "--job", &foreign], &settings);
    assert_eq!(output.status.code(), Some(75));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a consumer works it"), "{said}");
    // Nor is it requeued by force.
    let text = super::run(&cluster, 4, &["requeue", "--force", &foreign]);
    assert!(text.contains("a consumer works it"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_queues_are_consumed_by_one_process_the_first_before_the_second() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let queues = ["low", "high", "middle"];
    let mut keys: Vec<_> = queues
        .iter()
        .flat_map(|queue| (0..3).map(|_| cluster.submit_to(queue, NUCLEI, &FIELDS)))
        .collect();
    let options = ["--queues", "High,middle,low", "--exit-when-idle", "300ms"];
    let slots = [("CONCURRENCY", "1"), ("HOSTNAME", "pod-1")];
    let arguments: Vec<_> = ["consume"].iter().chain(&options).copied().collect();
    assert!(cluster.run(&arguments, &slots).status.success());
    keys.sort_by_key(|key| cluster.redis.hash(key)["finished_at"].clone());
    let order: Vec<_> = keys
        .iter()
        .map(|key| key.split(':').next().expect("a queue"))
        .collect();
    let expected = ["high", "middle", "low"].map(|queue| [queue; 3]).concat();
    assert_eq!(order, expected);
    assert!(cluster.redis.keys("processing-*").is_empty());
    for queue in queues {
        let left: u32 = cluster.redis.ask(&["EXISTS", &format!("rc:lease:{queue}")]);
        assert_eq!(left, 0, "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_several_queues_wakes_for_each_reclaims_in_each_and_tells_of_each() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let port = free_port();
    let mut pod = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "2")
        .set("LEASE_TIME", "2")
        .set("METRICS_PORT", &port.to_string())
        .start_with(&["consume", "--queues", "a,b,c"]);
    for queue in ["c", "a", "b", "c"] {
        cluster.wait_done(&cluster.submit_to(queue, NUCLEI, &FIELDS));
    }
    super::run(&cluster, 0, &["queue", "pause", "a"]);
    let paused = cluster.submit_to("a", NUCLEI, &FIELDS);
    cluster.wait_done(&cluster.submit_to("b", NUCLEI, &FIELDS));
    assert_eq!(cluster.redis.hash(&paused)["status"], "new");
    super::run(&cluster, 0, &["queue", "resume", "a"]);
    cluster.wait_done(&paused);
    let page = get(port, "/metrics").expect("it is served").1;
    for queue in ["a", "b", "c"] {
        let jobs = format!("redis_consumer_queue_jobs{{queue=\"{queue}\",state=\"waiting\"}} 0");
        assert!(page.contains(&jobs), "{page}");
        let done = format!(
            "redis_consumer_jobs_total{{queue=\"{queue}\",type=\"image\",result=\"done\"}} 2"
        );
        assert!(page.contains(&done), "{page}");
    }
    assert_eq!(get(port, "/readyz").expect("it is served").0, 200);
    let workers = super::run(&cluster, 0, &["workers", "--json"]);
    assert_eq!(super::objects(&workers).len(), 3, "{workers}");

    // What it leaves in any of them when it is killed is found by its successor.
    cluster.models.faults().hang(Method::Predict, 1);
    let key = cluster.submit_to("c", NUCLEI, &FIELDS);
    eventually("it is claimed", || {
        cluster.redis.hash(&key).contains_key("rc_token")
    });
    pod.kill();
    let _next = cluster
        .pod("pod-2")
        .set("LEASE_TIME", "2")
        .start_with(&["consume", "--queues", "c,b"]);
    cluster.wait_done(&key);
}
