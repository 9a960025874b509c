//! Metrics and probes of the real program, and what the chart asks of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use redis_consumer::serving::Method;
use tonic::Code;

use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, Pod, PodSettings, eventually};
use crate::peers::redis::{Redis, Replica, free_port};
use crate::peers::scripted_http::{ScriptedHttp, answer};

fn watched(pod: PodSettings) -> (u16, PodSettings) {
    let port = free_port();
    (
        port,
        pod.set("METRICS_PORT", &port.to_string())
            .set("METRICS_HOST", "127.0.0.1"),
    )
}

/// Status and body of a page; nothing if nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

fn status(port: u16, path: &str) -> Option<u16> {
    get(port, path).map(|(status, _)| status)
}

/// Samples by name and labels, such as `slots{state="free"}`, without the prefix.
fn metrics(port: u16) -> BTreeMap<String, f64> {
    let (status, text) = get(port, "/metrics").expect("metrics are served");
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = name.strip_prefix("redis_consumer_").expect("one prefix");
            (name.to_owned(), value.parse().expect("a number"))
        });
    samples.collect()
}

/// The jobs that are counted here.
const LABELS: &str = r#"queue="segmentation",type="image""#;

/// The value of this sample.
fn value(found: &BTreeMap<String, f64>, name: &str) -> f64 {
    let value = found.get(name);
    *value.unwrap_or_else(|| panic!("no {name} in {found:#?}"))
}

/// Three jobs are done, one has failed, and two entries were no jobs to work.
fn assert_jobs_are_counted(found: &BTreeMap<String, f64>) {
    let of = |name: &str| value(found, name);
    for (result, count) in [
        ("done", 3.0),
        ("failed", 1.0),
        ("duplicate", 1.0),
        ("invalid", 1.0),
    ] {
        assert_eq!(
            of(&format!("jobs_total{{{LABELS},result=\"{result}\"}}")),
            count,
            "{result}"
        );
    }
    assert_eq!(
        of(&format!(
            "job_failures_total{{{LABELS},stage=\"decode\",reason=\"invalid_input\"}}"
        )),
        1.0
    );
    assert_eq!(
        of(&format!(
            "job_duration_seconds_count{{{LABELS},result=\"done\"}}"
        )),
        3.0
    );
    assert_eq!(of(&format!("queue_wait_seconds_count{{{LABELS}}}")), 4.0);
    assert_eq!(of(&format!("pickup_seconds_count{{{LABELS}}}")), 4.0);
    let pixels = of(&format!("pixels_total{{{LABELS}}}"));
    assert!(
        pixels > 0.0 && pixels % 3.0 == 0.0,
        "three images of the same size: {pixels}"
    );
}

/// Four jobs were begun, and three got beyond decoding.
fn assert_stages_are_counted(found: &BTreeMap<String, f64>) {
    let of = |name: &str| value(found, name);
    let stages = [
        "download",
        "decode",
        "preprocess",
        "predict",
        "postprocess",
        "encode",
        "zip",
        "upload",
        "commit",
    ];
    for stage in stages {
        let count = of(&format!(
            "stage_duration_seconds_count{{{LABELS},stage=\"{stage}\"}}"
        ));
        let of_all = ["download", "decode", "preprocess", "commit"].contains(&stage);
        assert_eq!(count, if of_all { 4.0 } else { 3.0 }, "{stage}");
    }
}

/// What was asked of the model.
fn assert_predictions_are_counted(found: &BTreeMap<String, f64>) {
    let of = |name: &str| value(found, name);
    let model = r#"model="NuclearSegmentation",version="6""#;
    let requests = of(&format!("predict_requests_total{{{model},code=\"OK\"}}"));
    assert!(requests >= 3.0);
    assert_eq!(
        of(&format!("predict_batch_size_count{{{model}}}")),
        requests
    );
    assert!(of(&format!("tiles_total{{{model}}}")) >= requests);
    assert_eq!(
        (
            of("redis_up"),
            of(&format!("model_server_up{{{model}}}")),
            of("shutting_down")
        ),
        (1.0, 1.0, 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted_by_how_they_ended() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    cluster.put("uploads/broken.png", b"\x89PNG\r\n\x1a\nbroken");
    let (port, pod) = watched(cluster.pod("pod-1").set("MEMORY_BUDGET", "1Gi"));
    let _pod = pod.start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.wait_failed(&cluster.submit("uploads/broken.png", &FIELDS));
    let again = cluster.submit(NUCLEI, &FIELDS);
    cluster.wait_done(&again);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", &again]);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "segmentation:gone:1"]);
    eventually("the queue is empty", || cluster.is_quiet());

    let is_settled =
        || metrics(port).get(r#"slots{queue="segmentation",state="busy"}"#) == Some(&0.0);
    eventually("the slot is free", is_settled);
    let found = metrics(port);
    assert_jobs_are_counted(&found);
    assert_stages_are_counted(&found);
    assert_predictions_are_counted(&found);
    let of = |name: &str| value(&found, name);
    assert_eq!(
        (of("memory_budget_bytes"), of("memory_inflight_bytes")),
        (1_073_741_824.0, 0.0)
    );
    assert!(
        of("last_fetch_timestamp_seconds") > 1.7e9 && of("last_beat_timestamp_seconds") > 1.7e9
    );
    assert!(of("redis_script_duration_seconds_count{script=\"ack\"}") >= 4.0);
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        found
            .keys()
            .any(|name| name.starts_with(&format!("build_info{{version=\"{version}\"")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_is_counted_and_its_age_is_told() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (port, pod) = watched(cluster.pod("pod-1"));
    let _pod = pod.start();
    eventually("it is ready", || status(port, "/readyz") == Some(200));
    let of = |name: &str, state: &str| {
        metrics(port)[&format!("{name}{{queue=\"segmentation\",state=\"{state}\"}}")]
    };
    assert_eq!(
        (
            of("queue_jobs", "waiting"),
            of("oldest_job_age_seconds", "waiting")
        ),
        (0.0, 0.0)
    );

    cluster.models.faults().delay(Duration::from_secs(2));
    let keys = [
        cluster.submit(NUCLEI, &FIELDS),
        cluster.submit(NUCLEI, &FIELDS),
        cluster.submit(NUCLEI, &FIELDS),
    ];
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        "9999999999999",
        "segmentation:later:1",
    ]);
    eventually("one of three is worked", || {
        of("queue_jobs", "in_flight") == 1.0
    });
    assert_eq!(
        (of("queue_jobs", "waiting"), of("queue_jobs", "delayed")),
        (2.0, 1.0)
    );
    assert!(
        of("oldest_job_age_seconds", "waiting") > 1e7,
        "they were submitted years ago"
    );
    cluster.models.faults().delay(Duration::ZERO);
    keys.iter().for_each(|key| drop(cluster.wait_done(key)));
    assert_eq!(
        (of("queue_jobs", "waiting"), of("queue_jobs", "dead")),
        (0.0, 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_peers_do_not_make_a_pod_unhealthy_and_a_stop_makes_it_unready() {
    let mut cluster = Cluster::with_nuclei(Redis::start()).await;
    let (port, pod) = watched(cluster.pod("pod-1").set("SHUTDOWN_GRACE", "60"));
    let mut pod = pod.start();
    eventually("it is ready", || status(port, "/readyz") == Some(200));
    assert_eq!(
        (status(port, "/livez"), status(port, "/startupz")),
        (Some(200), Some(200))
    );
    assert_eq!(status(port, "/nothing"), Some(404));

    cluster.redis.kill();
    assert_eq!(status(port, "/livez"), Some(200));
    let found = metrics(port);
    assert_eq!(found["redis_up"], 0.0);
    assert!(
        !found.keys().any(|name| name.starts_with("queue_jobs")),
        "what is not known is not told"
    );
    cluster.redis.resume();
    eventually("redis is seen again", || metrics(port)["redis_up"] == 1.0);
    assert!(metrics(port)["redis_reconnects_total"] >= 1.0);

    cluster.models.faults().delay(Duration::from_secs(3));
    let key = cluster.submit(NUCLEI, &FIELDS);
    let busy = || metrics(port)[r#"slots{queue="segmentation",state="busy"}"#] == 1.0;
    eventually("a job is worked", busy);
    cluster.models.faults().delay(Duration::ZERO);
    pod.terminate();
    eventually("it is unready", || status(port, "/readyz") == Some(503));
    assert_eq!(status(port, "/livez"), Some(200));
    assert_eq!(metrics(port)["shutting_down"], 1.0);
    cluster.wait_done(&key);
    assert!(pod.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_seconds_without_redis_do_not_make_a_pod_unhealthy_and_time_limits_hold_meanwhile() {
    let mut cluster = Cluster::with_nuclei(Redis::start()).await;
    // Every pod's turn to look through all keys comes soon.
    let pod = |name| {
        cluster
            .pod(name)
            .set("LEASE_TIME", "2")
            .set("PREDICT_TIMEOUT", "5")
    };
    let (port, pod) = watched(pod("pod-1"));
    let pod = pod.start();
    eventually("it is ready", || status(port, "/readyz") == Some(200));
    // So that the metadata of the model are known.
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.models.faults().delay(Duration::from_secs(300));
    let key = cluster.submit_to_model(NUCLEI, &FIELDS);
    cluster.redis.kill();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(90) {
        let (code, text) = get(port, "/livez").expect("it is served");
        assert_eq!(code, 200, "after {:?}: {text}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let late = "the job was still predicting after 5 s";
    assert!(
        pod.log().contains(late),
        "its time limit has ended the job though Redis is away"
    );
    cluster.models.faults().delay(Duration::ZERO);
    cluster.redis.resume();
    cluster.wait(&key);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert_eq!(status(port, "/livez"), Some(200));
}

/// Waits until a pod says that it is not ready for these words of Redis.
fn is_refused(port: u16, words: &str) {
    eventually("the refusal is told", || {
        get(port, "/readyz").is_some_and(|(code, text)| code == 503 && text.contains(words))
    });
    assert_eq!(status(port, "/livez"), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_a_replica_is_not_ready_until_that_is_a_master() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let replica = Replica::start(&cluster.redis);
    replica.catch_up(&cluster.redis);
    let pod = cluster.pod("pod-1");
    let (port, pod) = watched(pod.set("REDIS_PORT", &replica.redis.port().to_string()));
    let _pod = pod.start();
    is_refused(port, "Redis refuses claims: READONLY");
    let _: String = replica.redis.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually("it is ready", || status(port, "/readyz") == Some(200));
    // As when the master has come back, and this one follows it again.
    let master = cluster.redis.port().to_string();
    let _: String = replica.redis.ask(&["REPLICAOF", "127.0.0.1", &master]);
    is_refused(port, "READONLY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_may_not_claim_is_not_ready() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let rule = ["on", ">w0rk-pass", "~*", "+@all", "-rpoplpush"];
    let user = ["ACL", "SETUSER", "worker"];
    let _: String = cluster.redis.ask(&[user.as_slice(), &rule].concat());
    let pod = cluster.pod("pod-1").set("REDIS_USERNAME", "worker");
    let (port, pod) = watched(pod.set("REDIS_PASSWORD", "w0rk-pass"));
    let _pod = pod.start();
    is_refused(port, "Redis refuses claims: ");
    let _: String = cluster
        .redis
        .ask(&[user.as_slice(), &["+rpoplpush"]].concat());
    eventually("it is ready", || status(port, "/readyz") == Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_a_redis_cluster_is_not_ready() {
    let cluster = Cluster::with_nuclei(Redis::start_cluster()).await;
    let (port, pod) = watched(cluster.pod("pod-1"));
    let _pod = pod.start();
    eventually("it is up", || status(port, "/startupz") == Some(200));
    is_refused(port, "CROSSSLOT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_just_begun_is_alive_though_redis_refuses_its_claims() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let full = |bytes: &str| -> String {
        let command = ["CONFIG", "SET", "maxmemory", bytes];
        cluster.redis.ask(&command)
    };
    let key = cluster.submit(NUCLEI, &FIELDS);
    full("1mb");
    let (port, pod) = watched(cluster.pod("pod-1"));
    let pod = pod.start();
    eventually("it claims", || {
        pod.log().contains("does not answer a claim")
    });
    for _ in 0..5 {
        let (code, text) = get(port, "/livez").expect("it is served");
        assert_eq!(code, 200, "a restart would not help: {text}");
    }
    full("0");
    cluster.wait_done(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_redis_is_not_ready_and_an_address_in_use_is_an_error() {
    let mut cluster = Cluster::with_nuclei(Redis::start()).await;
    cluster.redis.kill();
    let (port, pod) = watched(cluster.pod("pod-1"));
    let _pod: Pod = pod.start();
    eventually("it serves", || status(port, "/startupz") == Some(200));
    assert_eq!(
        (status(port, "/readyz"), status(port, "/livez")),
        (Some(503), Some(200))
    );

    let mut second = cluster
        .pod("pod-2")
        .set("METRICS_PORT", &port.to_string())
        .set("METRICS_HOST", "127.0.0.1")
        .start();
    assert!(!second.wait().success());
    assert!(second.log().contains("METRICS_PORT"), "{}", second.log());
}

/// Connections that begin a request and never end it, or ask for nothing.
fn stuck(port: u16, count: usize) -> Vec<TcpStream> {
    let connections = (0..count).map(|number| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it is accepted");
        if number % 2 == 0 {
            // It may have been closed for a newer one by now.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-a");
        }
        stream
    });
    connections.collect()
}

/// Whether the other side has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .expect("a socket takes a timeout");
    let mut answer = [0; 256];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_client_takes_neither_probes_nor_file_descriptors() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (port, pod) = watched(cluster.pod("pod-1"));
    let pod = pod.start();
    eventually("it is ready", || status(port, "/readyz") == Some(200));
    let files = || {
        let folder = format!("/proc/{}/fd", pod.id());
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    };
    // So that connections to the model server are open.
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    let before = files();

    let mut hostile = stuck(port, 300);
    assert_eq!(status(port, "/livez"), Some(200), "the oldest gave way");
    assert!(files() <= before + 70, "{} files, {before} before", files());
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    eventually("none is open for ever", || {
        hostile.iter_mut().all(is_closed)
    });

    let mut long = TcpStream::connect(("127.0.0.1", port)).expect("it is accepted");
    let header = "a".repeat(100_000);
    let _ = write!(long, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: {header}");
    eventually("a long head is cut off", || is_closed(&mut long));
    let mut many = TcpStream::connect(("127.0.0.1", port)).expect("it is accepted");
    let _ = many.write_all(
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            .repeat(50)
            .as_bytes(),
    );
    many.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket takes a timeout");
    let mut answers = Vec::new();
    // Closed with requests that nobody has read.
    let _ = many.read_to_end(&mut answers);
    let answers = String::from_utf8_lossy(&answers);
    assert!(
        answers.matches("HTTP/1.1").count() <= 1,
        "one request a connection: {answers}"
    );
    eventually("all files are closed", || files() <= before + 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_is_told_whether_the_pod_is_busy() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let api = ScriptedHttp::start(vec![answer("403 Forbidden", "", "{}")]).await;
    let pod = cluster
        .pod("pod-1")
        .set("POD_DELETION_COST", "true")
        .set("POD_NAMESPACE", "deepcell");
    let pod = pod.set("KUBERNETES_API", &api.endpoint).start();
    eventually("it was told", || !api.heads().is_empty());
    assert!(
        api.heads()[0].starts_with("PATCH /api/v1/namespaces/deepcell/pods/pod-1 "),
        "{:?}",
        api.heads()
    );
    eventually("a refusal is explained", || {
        pod.log()
            .contains("let the service account get and patch pods")
    });
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}

/// Names that charts, rules and documents use, and those that are served.
#[tokio::test(flavor = "multi_thread")]
async fn dashboards_alerts_and_documents_ask_for_what_is_served() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let pod = cluster
        .pod("pod-1")
        .set("MAX_ATTEMPTS", "5")
        .set("MAX_RETRY", "1")
        .set("GRPC_BACKOFF", "0");
    let (port, pod) = watched(pod.set("RETRY_BACKOFF", "0.2"));
    let _pod = pod.start();
    // Counters with open labels are there once something was counted.
    cluster
        .models
        .faults()
        .fail(Method::Predict, Code::ResourceExhausted, 6);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.put("uploads/broken.png", b"broken");
    cluster.wait_failed(&cluster.submit("uploads/broken.png", &FIELDS));
    let (_, text) = get(port, "/metrics").expect("metrics are served");
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut served = BTreeSet::new();
    for (name, kind) in typed.map(|line| line.split_once(' ').expect("a name and a type")) {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count", ""],
            "info" => &["_info"],
            _ => &[""],
        };
        served.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        "charts/redis-consumer/dashboards/redis-consumer.json",
        "charts/redis-consumer/templates/prometheusrule.yaml",
        "docs/metrics.md",
    ];
    for file in files {
        let text = std::fs::read_to_string(root.join(file)).expect("it is there");
        let mut asked = BTreeSet::new();
        for (start, _) in text.match_indices("redis_consumer_") {
            let name: String = text[start..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            asked.insert(name);
        }
        assert!(asked.len() > 5, "{file} asks for metrics");
        let missing: Vec<_> = asked.difference(&served).collect();
        assert!(
            missing.is_empty(),
            "{file} asks for {missing:?}, served are {served:#?}"
        );
        if file.ends_with(".md") {
            let listed = |name: &&String| {
                !name.ends_with("_bucket") && !name.ends_with("_sum") && !name.ends_with("_count")
            };
            let unsaid: Vec<_> = served.difference(&asked).filter(listed).collect();
            assert!(unsaid.is_empty(), "{file} does not mention {unsaid:?}");
        }
    }
}
