//! Peers that are absent, old or risky.

use std::time::Duration;

use redis::RedisConnectionInfo;
use redis_consumer::serving::{Method, ModelServer};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::cluster;
use crate::peers;
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::{Redis, Replica, Sentinel, free_port};

/// Sets how many files a process may open.
fn limit_files(pid: u32, files: u64) {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(files),
        maximum: most,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, limit).expect("our own process");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_fails_for_want_of_file_descriptors() {
    let cluster = cluster().await;
    let pod = cluster.pod("pod-1").start();
    // So that all connections are open.
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    eventually("it waits for the next job", || {
        let clients: String = cluster.redis.ask(&["CLIENT", "LIST"]);
        clients.contains("cmd=blmove")
    });
    limit_files(pod.id(), 3);
    eventually("the shortage is noticed", || {
        pod.log().contains("the process has too many open files")
    });
    let keys = [(); 2].map(|()| cluster.submit(NUCLEI, &FIELDS));
    tokio::time::sleep(Duration::from_secs(2)).await;
    for key in &keys {
        assert_eq!(cluster.redis.hash(key)["status"], "new", "{}", pod.log());
    }
    limit_files(pod.id(), 256);
    for key in &keys {
        cluster.wait_done(key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_taken_while_the_model_server_is_away() {
    let cluster = cluster().await;
    let port = free_port();
    let mut pod = cluster
        .pod("pod-1")
        .set("TF_PORT", &port.to_string())
        .set("CONCURRENCY", "3")
        .start();
    let first = cluster.submit(NUCLEI, &FIELDS);
    eventually("the server is missed", || {
        pod.log().contains("no model server is reachable")
    });
    let others: Vec<_> = (0..5).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let taken = cluster.redis.keys("processing-*").len();
    assert!(
        taken <= 3 && cluster.redis.list("segmentation").len() >= 3,
        "{taken} are taken"
    );
    let model = peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]);
    let server = ModelServer::start(port, vec![model.clone()])
        .await
        .expect("the port is free");
    for key in others.iter().chain([&first]) {
        cluster.wait_done(key);
    }
    drop(server);

    let waits = cluster.submit(NUCLEI, &FIELDS);
    eventually("it waits again", || {
        pod.log().matches("no model server is reachable").count() >= 2
    });
    pod.terminate();
    eventually("it ends", || !pod.is_running());
    assert_eq!(
        cluster.redis.list("segmentation"),
        [waits],
        "what waits is handed back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_ends_in_time_though_redis_is_away() {
    for is_silent in [false, true] {
        let mut cluster = cluster().await;
        cluster.models.faults().hang(Method::Predict, 1);
        let mut pod = cluster.pod("pod-1").set("SHUTDOWN_GRACE", "1").start();
        let _key = cluster.submit_to_model(NUCLEI, &FIELDS);
        if is_silent {
            cluster.redis.signal(Signal::STOP);
        } else {
            cluster.redis.kill();
        }
        pod.terminate();
        eventually("it ends", || !pod.is_running());
        let log = pod.log();
        assert!(log.contains("running jobs were not returned"), "{log}");
        if is_silent {
            cluster.redis.signal(Signal::CONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_has_three_connections_at_most() {
    let cluster = cluster().await;
    let _pod = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "4")
        .set("LEASE_TIME", "1.5")
        .start();
    let keys: Vec<_> = (0..12).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
    for key in &keys {
        let clients: String = cluster.redis.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
        let count = clients
            .lines()
            .filter(|line| !line.contains("cmd=client"))
            .count();
        assert!(count <= 3, "{clients}");
        cluster.wait_done(key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn risky_settings_of_redis_are_named_at_the_start() {
    let arguments = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let cluster = Cluster::with_nuclei(Redis::start_with(
        &arguments,
        RedisConnectionInfo::default(),
    ))
    .await;
    let pod = cluster.pod("pod-1").start();
    eventually("it is warned", || {
        pod.log()
            .contains("maxmemory-policy of Redis is `allkeys-lru`")
    });
    eventually("it is warned", || {
        pod.log()
            .contains("the append-only file of Redis is disabled")
    });
    let safe = Cluster::open().await;
    let pod = safe.pod("pod-1").start();
    eventually("it is ready", || {
        safe.redis
            .ask::<u32>(&["EXISTS", "rc:workers:segmentation"])
            == 1
    });
    assert!(
        !pod.log().contains("maxmemory") && !pod.log().contains("append-only"),
        "{}",
        pod.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_redis_lacks_is_replaced() {
    // Redis 5 has neither; 6.0 has no BLMOVE.
    let arguments = [
        "--rename-command",
        "BLMOVE",
        "",
        "--rename-command",
        "LPOS",
        "",
    ];
    let cluster = Cluster::with_nuclei(Redis::start_with(
        &arguments,
        RedisConnectionInfo::default(),
    ))
    .await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut dead = cluster.pod("pod-1").set("LEASE_TIME", "2").start();
    eventually("it is detected", || {
        dead.log().contains("does not have BLMOVE")
    });
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    let _other = cluster.pod("pod-2").set("LEASE_TIME", "2").start();
    // The janitor has moved it already: the rescue has to look through the queue, without LPOS.
    dead.kill();
    let _: u32 = cluster
        .redis
        .ask(&["LREM", "processing-segmentation:pod-1", "1", &key]);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", &key]);
    cluster.wait_done(&key);
    for _ in 0..5 {
        cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    }
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_through_any_sentinel_that_answers() {
    let cluster = cluster().await;
    let replica = Replica::start(&cluster.redis);
    let sentinel = Sentinel::start(&cluster.redis, "mymaster");
    let dead = free_port();
    let addresses = format!("127.0.0.1:{dead},127.0.0.1:{}", sentinel.port);
    let pod = cluster
        .pod("pod-1")
        .set("REDIS_HOST", &addresses)
        .set("REDIS_PORT", "1");
    let _pod = pod.start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    replica.catch_up(&cluster.redis);
    eventually("the Sentinel knows the replica", || {
        sentinel.knows_a_replica("mymaster")
    });
    sentinel.fail_over("mymaster");
    eventually("the replica is master", || replica.redis.is_master());
    let key = "segmentation:after:1";
    cluster.write_job_at(&replica.redis, key, NUCLEI, &FIELDS);
    let _: u32 = replica.redis.ask(&["LPUSH", "segmentation", key]);
    eventually("the job is done on the new master", || {
        let status = replica
            .redis
            .try_ask::<Option<String>>(&["HGET", key, "status"]);
        status.is_ok_and(|status| status.as_deref() == Some("done"))
    });
}
