//! Jobs under trouble: retries, deaths, deadlines, absent peers, and the janitor and `fsck` that look after the rest.

use std::collections::HashSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use redis::RedisConnectionInfo;
use redis_consumer::serving::{Method, ModelServer};
use rustix::process::Signal;
use tonic::Code;

use crate::peers;
use crate::peers::cluster::{Cluster, NUCLEI, PATIENCE, eventually};
use crate::peers::python_kiosk::{self, PythonConsumer};
use crate::peers::redis::{Redis, Replica, Sentinel, free_port};
use crate::peers::scripted_http::{ScriptedHttp, answer};

const FIELDS: [(&str, &str); 2] = [("dimension_order", "XYC"), ("channels", "0,")];
const OLD: &str = "2023-07-12T16:31:13.123456+00:00";

async fn cluster() -> Cluster {
    Cluster::with_nuclei(Redis::start()).await
}

fn number(cluster: &Cluster, command: &[&str]) -> i64 {
    cluster.redis.ask(command)
}

/// Runs a subcommand of the program against the cluster's Redis.
fn run(cluster: &Cluster, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(arguments)
        .env_clear()
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", cluster.redis.port().to_string())
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
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
    assert_eq!(number(&cluster, &["EXISTS", "rc:dead:segmentation"]), 0);
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

fn pods(names: &[&str]) -> String {
    let items: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"phase":"Running"}}}}"#))
        .collect();
    format!(
        r#"{{"kind":"PodList","metadata":{{"continue":""}},"items":[{}]}}"#,
        items.join(",")
    )
}

/// An entry in the list of a consumer, as a Python one leaves it.
fn strand(cluster: &Cluster, name: &str, pod: &str, fields: &[(&str, &str)]) -> String {
    let key = format!("segmentation:{name}:1");
    cluster.write_job(
        &key,
        NUCLEI,
        &[
            ("status", "predicting"),
            ("updated_at", OLD),
            ("updated_by", pod),
        ],
    );
    for (field, value) in fields {
        let _: u32 = cluster.redis.ask(&["HSET", &key, field, value]);
    }
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", &format!("processing-segmentation:{pod}"), &key]);
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn our_janitor_requeues_what_dead_pods_have_left_and_nothing_else() {
    let cluster = cluster().await;
    let young = jiff::Timestamp::now().to_string();
    let dead = strand(&cluster, "dead", "pod-dead", &[]);
    let alive = strand(&cluster, "alive", "pod-alive", &[]);
    let fresh = strand(&cluster, "fresh", "pod-dead-2", &[("updated_at", &young)]);
    let finished = strand(&cluster, "finished", "pod-dead-3", &[("status", "done")]);
    let leased = strand(&cluster, "leased", "pod-dead-4", &[]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "99999999999999", &leased]);
    let _: u32 = cluster.redis.ask(&[
        "LPUSH",
        "processing-segmentation:pod-dead-5",
        "segmentation:vanished:1",
    ]);

    let broken = ScriptedHttp::start(vec![answer("500 Internal Server Error", "", "")]).await;
    let variables = |api: &str| {
        [("QUEUES", "segmentation"), ("KUBERNETES_API", api)].map(|(a, b)| (a, b.to_owned()))
    };
    let janitor = |api: &str| {
        let variables = variables(api);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        run(&cluster, &["janitor", "--once"], &variables)
    };
    let output = janitor(&broken.endpoint);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nothing is moved"),
        "{output:?}"
    );
    assert!(
        cluster.redis.list("segmentation").is_empty(),
        "an error is not an empty cluster"
    );

    let page = pods(&["another"]).replace(r#""continue":"""#, r#""continue":"more""#);
    let api = ScriptedHttp::start(vec![
        answer("200 OK", "", &page),
        answer("200 OK", "", &pods(&["pod-alive"])),
    ])
    .await;
    let output = janitor(&api.endpoint);
    assert_eq!(
        printed(&output),
        "1 requeued, 2 dropped, 3 left with their consumers\n",
        "{output:?}"
    );
    assert!(
        api.heads()[1].starts_with("GET /api/v1/pods?limit=500&continue=more "),
        "{:?}",
        api.heads()
    );
    assert_eq!(cluster.redis.list("segmentation"), [dead]);
    let lists = cluster
        .redis
        .keys("processing-*")
        .into_iter()
        .collect::<HashSet<_>>();
    let kept = ["pod-alive", "pod-dead-2", "pod-dead-4"]
        .map(|pod| format!("processing-segmentation:{pod}"));
    assert_eq!(lists, HashSet::from(kept));
    assert_eq!(cluster.redis.hash(&finished)["status"], "done");
    for key in [alive, fresh] {
        assert_eq!(cluster.redis.hash(&key)["status"], "predicting");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kubernetes_the_janitor_goes_by_leases() {
    let cluster = cluster().await;
    let python = strand(&cluster, "python", "pod-1", &[]);
    let ours = strand(
        &cluster,
        "ours",
        "pod-2",
        &[
            ("rc_owner", "processing-segmentation:pod-2"),
            ("rc_token", "t:1"),
        ],
    );
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "1", &ours]);
    let output = run(
        &cluster,
        &["janitor", "--once"],
        &[("QUEUE", "segmentation")],
    );
    assert_eq!(
        printed(&output),
        "1 requeued, 0 dropped, 1 left with their consumers\n",
        "{output:?}"
    );
    assert_eq!(
        cluster.redis.list("segmentation"),
        std::slice::from_ref(&ours)
    );
    assert_eq!(cluster.redis.hash(&ours)["rc_crashes"], "1");
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-1"),
        [python]
    );

    let _: u32 = cluster.redis.ask(&["DEL", "segmentation"]);
    let stale = strand(
        &cluster,
        "stale",
        "pod-3",
        &[("rc_owner", "processing-segmentation:pod-3")],
    );
    let output = run(
        &cluster,
        &["janitor", "--once"],
        &[("QUEUE", "segmentation"), ("STALE_TIME", "60")],
    );
    assert!(printed(&output).starts_with("1 requeued"), "{output:?}");
    assert_eq!(cluster.redis.list("segmentation"), [stale]);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_leaves_nothing_that_python_consumers_would_not_find() {
    let cluster = cluster().await;
    cluster.write_job("segmentation:later:1", NUCLEI, &FIELDS);
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        "99999999999999",
        "segmentation:later:1",
    ]);
    let output = run(&cluster, &["promote-delayed"], &[("QUEUE", "segmentation")]);
    assert!(
        printed(&output)
            .contains("segmentation: 1 delayed and 0 waiting jobs are back in the queue"),
        "{output:?}"
    );
    assert_eq!(cluster.redis.list("segmentation"), ["segmentation:later:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_finds_what_is_wrong_and_mends_it() {
    let cluster = cluster().await;
    let good = cluster.submit(NUCLEI, &FIELDS);
    let output = run(&cluster, &["fsck"], &[]);
    assert_eq!(
        (output.status.code(), printed(&output).as_str()),
        (Some(0), "clean\n")
    );

    cluster.write_job("segmentation:lost:1", NUCLEI, &[("status", "predicting")]);
    cluster.write_job(
        "segmentation:claimed:1",
        NUCLEI,
        &[("status", "done"), ("rc_token", "t:1")],
    );
    let over = strand(&cluster, "over", "pod-1", &[("status", "failed")]);
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        "5",
        "segmentation:gone:1",
    ]);
    let forgotten = strand(
        &cluster,
        "forgotten",
        "pod-2",
        &[("rc_owner", "processing-segmentation:pod-2")],
    );
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "5", &forgotten]);
    let _: u32 = cluster.redis.ask(&["HSET", "stub", "updated_at", OLD]);

    let output = run(&cluster, &["fsck"], &[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    for line in [
        "I1 segmentation:lost:1: is predicting and in no list: it belongs to the queue `segmentation`",
        "I3 segmentation:claimed:1: is done and still claimed",
        &format!("I6 {over}: is over and still in `processing-segmentation:pod-1`"),
        "I6 segmentation:gone:1: is over and still in `rc:delayed:segmentation`",
        &format!("I5 {forgotten}: has a lease that expired more than a minute ago"),
        "I6 stub: has time stamps but no status (nobody's job)",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(&good));

    let output = run(&cluster, &["fsck", "--repair"], &[]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "a stub is for a person to decide: {output:?}"
    );
    assert!(
        printed(&output).ends_with("6 found, 1 left\n"),
        "{output:?}"
    );
    let _: u32 = cluster.redis.ask(&["DEL", "stub"]);
    let output = run(&cluster, &["fsck", "--json"], &[]);
    assert_eq!(
        (output.status.code(), printed(&output).as_str()),
        (Some(0), "")
    );
    let _pod = cluster.pod("pod-9").start();
    for key in [good.as_str(), "segmentation:lost:1", &forgotten] {
        cluster.wait_done(key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_of_the_queue_measures_and_leaves_nothing() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let output = run(
        &cluster,
        &["bench", "queue", "--jobs", "2000", "--json"],
        &[],
    );
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        found["jobs_per_second"]
            .as_f64()
            .is_some_and(|rate| rate > 100.0),
        "{found}"
    );
    assert!(
        found["round_trips_per_job"]
            .as_f64()
            .is_some_and(|trips| trips < 2.2),
        "{found}"
    );
    assert!(
        cluster.redis.keys("*bench*").is_empty(),
        "{:?}",
        cluster.redis.keys("*bench*")
    );
}
