//! A Redis that lets only some in: passwords, users, databases, certificates.

/// Batches, as the documented users.
mod batches;

use std::fs;

use redis::RedisConnectionInfo;
use redis_consumer::serving::Method;

use crate::metrics_and_probes::get;
use crate::peers::cluster::{Cluster, FIELDS, IMAGE, NUCLEI, PodSettings, eventually};
use crate::peers::redis::{Redis, Sentinel, free_port};
use crate::peers::synthetic_images::{archive, movie, spots_and_cells};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_access_list_works_in_a_database_of_its_own() {
    let arguments = [
        "--requirepass",
        "open-sesame",
        "--user",
        "worker",
        "on",
        ">w0rk-pass",
        "~*",
        "&*",
        "+@all",
        "-@dangerous",
    ];
    let owner = RedisConnectionInfo::default()
        .set_password("open-sesame")
        .set_db(3);
    let cluster = Cluster::with_nuclei(Redis::start_with(&arguments, owner)).await;
    let pod = cluster
        .pod("pod-1")
        .set("REDIS_USERNAME", "worker")
        .set("REDIS_PASSWORD", "w0rk-pass")
        .set("REDIS_DB", "3");
    let pod = pod.start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        !pod.log().contains("w0rk-pass"),
        "a password has no place in logs"
    );
}

/// The user that docs/security.md proposes, with further rules.
fn create_the_documented_user(redis: &Redis, name: &str, rules: &[&str]) {
    let text = include_str!("../../docs/security.md");
    let start = text.find("ACL SETUSER").expect("a user is proposed");
    let length = text[start..].find("```").expect("the block ends");
    let rule = text[start..start + length].replace("PASSWORD", PASSWORD);
    let rule = rule.replace("consumer", name);
    let words: Vec<_> = rule
        .split_whitespace()
        .chain(rules.iter().copied())
        .collect();
    let _: String = redis.ask(&words);
}

const PASSWORD: &str = "w0rk-pass";

/// The keys of another queue with parents, by the patterns that docs/security.md gives for that of archives.
fn keys_of(queue: &str, more: &mut Vec<String>) {
    let patterns = ["~Q", "~Q:*", "~processing-Q:*", "~rc:*:Q", "~rc:*:Q:*"];
    more.extend(patterns.map(|pattern| pattern.replace('Q', queue)));
}

/// A consumer of this kind that works as that user.
fn pod_of(cluster: &Cluster, name: &str, kind: &str) -> PodSettings {
    let settings = [
        ("CONSUMER_TYPE", kind),
        ("REDIS_USERNAME", "consumer"),
        ("REDIS_PASSWORD", PASSWORD),
        ("LEASE_TIME", "1.5"),
        ("RETRY_BACKOFF", "0.1"),
        ("MAX_ATTEMPTS", "2"),
        ("MAX_RETRY", "1"),
        ("GRPC_BACKOFF", "0"),
        ("POLARIS_SCALE", "1"),
        ("POLARIS_THRESHOLD", "0.2"),
        ("SEGMENTATION_QUEUE", "segmentation"),
    ];
    let pod = cluster.pod(name);
    settings
        .iter()
        .fold(pod, |pod, (name, value)| pod.set(name, value))
}

/// Runs a command as a user that may do what it does.
fn run_as(cluster: &Cluster, user: &str, command: &[&str]) {
    let variables = [
        ("REDIS_USERNAME", user),
        ("REDIS_PASSWORD", PASSWORD),
        ("QUEUE", "segmentation"),
        ("QUEUES", "segmentation"),
    ];
    let output = cluster.run(command, &variables);
    let log: Vec<redis::Value> = cluster.redis.ask(&["ACL", "LOG"]);
    assert!(output.status.success(), "{command:?}: {output:?}, {log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_user_may_do_all_that_consumers_do_and_nothing_is_denied() {
    let cluster = Cluster::with_models_of_children().await;
    let mut more = Vec::new();
    for queue in ["caliban", "polaris", "spot"] {
        keys_of(queue, &mut more);
    }
    let models = [
        "NuclearTracking",
        "SpotDetection",
        "MultiplexSegmentation",
        "PhaseCyto",
        "Cytoplasm",
    ];
    more.extend(models.map(|model| format!("~{model}*:*")));
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    create_the_documented_user(&cluster.redis, "consumer", &more);
    create_the_documented_user(&cluster.redis, "auditor", &["~*", "+sscan", "+sismember"]);
    cluster.put(NUCLEI, IMAGE);
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    cluster.put("uploads/movie.tif", &movie(3));
    cluster.put("uploads/spot cells.tif", &spots_and_cells(2));
    // Something for every script: a dead consumer, a restart, retries, an appointment, a bad job, children of all kinds.
    cluster.models.faults().hang(Method::Predict, 1);
    let mut dead = pod_of(&cluster, "pod-dead", "image").start();
    let reclaimed = cluster.submit_to_model(NUCLEI, &FIELDS);
    dead.kill();
    let parents = [
        ("zip", "segmentation"),
        ("caliban", "caliban"),
        ("polaris", "polaris"),
        ("spot", "spot"),
    ];
    let _parents = parents.map(|(kind, queue)| {
        let pod = pod_of(&cluster, &format!("pod-{kind}"), kind);
        pod.set("QUEUE", queue).start()
    });
    let port = free_port();
    let watched = pod_of(&cluster, "pod-1", "image").set("METRICS_PORT", &port.to_string());
    let mut first = watched.start();
    cluster.wait_done(&reclaimed);
    cluster
        .models
        .faults()
        .fail(Method::Predict, tonic::Code::ResourceExhausted, 2);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.wait_failed(&cluster.submit("uploads/missing.png", &FIELDS));
    let fields = [("segmentation_type", "cell culture"), ("channels", "0,1,")];
    for parent in [
        cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS),
        cluster.submit_to("caliban", "uploads/movie.tif", &[]),
        cluster.submit_to("polaris", "uploads/spot cells.tif", &fields),
    ] {
        cluster.wait_done(&parent);
    }
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1)).to_string();
    let mut fields = FIELDS.to_vec();
    fields.push(("not_before", &soon));
    cluster.wait_done(&cluster.submit(NUCLEI, &fields));
    let (status, metrics) = get(port, "/metrics").expect("metrics are served");
    assert!(
        status == 200 && metrics.contains("redis_consumer_redis_up 1"),
        "{metrics}"
    );
    first.terminate();
    first.wait();
    let _again = pod_of(&cluster, "pod-1", "image").start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    run_as(&cluster, "consumer", &["check"]);
    run_as(&cluster, "consumer", &["promote-delayed"]);
    run_as(&cluster, "consumer", &["janitor", "--once"]);
    eventually("nothing is left behind", || cluster.is_quiet());
    run_as(&cluster, "auditor", &["fsck"]);
    look_after_queues(&cluster);
    let denied: Vec<redis::Value> = cluster.redis.ask(&["ACL", "LOG"]);
    assert!(denied.is_empty(), "{denied:#?}");
}

/// The user that docs/security.md proposes for operators.
fn create_the_documented_operator(redis: &Redis) {
    let text = include_str!("../../docs/security.md");
    let line = text
        .lines()
        .find(|line| line.starts_with("- Operators need"));
    let parts = line.expect("a line about operators").split('`').skip(1);
    // Every second part is in quotes: the keys, and commands.
    let rules: Vec<_> = parts.step_by(2).flat_map(|part| part.split(' ')).collect();
    assert!(
        rules.contains(&"~*") && rules.contains(&"+setbit"),
        "{rules:?}"
    );
    create_the_documented_user(redis, "operator", &rules);
}

/// Runs the commands of operators as the user that docs/security.md proposes for them.
fn look_after_queues(cluster: &Cluster) {
    create_the_documented_operator(&cluster.redis);
    let waiting = cluster.submit_to("other", NUCLEI, &FIELDS);
    let broken = cluster.submit_to("other", NUCLEI, &FIELDS);
    let _: u32 = cluster.redis.ask(&["LREM", "other", "1", &broken]);
    let _: u32 = cluster.redis.ask(&["HSET", &broken, "status", "failed"]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:failed:other", "1", &broken]);
    for command in [
        "status other",
        "workers",
        "queue list",
        "failed --group",
        "job list --queue other",
        "requeue --queue other --yes",
        "queue pause other",
        "queue resume other",
        "queue move other another --field label=^x --yes",
        "queue purge other --yes",
        "queue trash",
        "queue untrash other",
        "queue move other another --yes",
        "submit --queue other --field input_file_name=uploads/a.tif",
        "cancel --queue another --yes",
        "failed --forget --all-queues --yes",
        "queue forget nothing",
    ] {
        run_as(cluster, "operator", &command.split(' ').collect::<Vec<_>>());
    }
    run_as(cluster, "operator", &["job", "show", &waiting]);
    run_as(cluster, "operator", &["job", "delete", &waiting, "--yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_while_a_right_is_missing() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    create_the_documented_user(&cluster.redis, "consumer", &[]);
    let pod = cluster
        .pod("pod-1")
        .set("REDIS_USERNAME", "consumer")
        .set("REDIS_PASSWORD", "w0rk-pass");
    let pod = pod.start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    let refusals = || pod.log().matches("cannot claim jobs").count();
    // To read a job, to claim it, to settle it, and to anything at all.
    for taken in ["-hmget", "-hset", "-lrem", "resetkeys"] {
        let before = refusals();
        let _: String = cluster.redis.ask(&["ACL", "SETUSER", "consumer", taken]);
        let keys: Vec<_> = (0..3).map(|_| cluster.submit(NUCLEI, &FIELDS)).collect();
        eventually("it is refused a job, or the queue", || {
            let aside: usize = cluster.redis.ask(&["ZCARD", "rc:delayed:segmentation"]);
            aside > 0 || refusals() > before
        });
        create_the_documented_user(&cluster.redis, "consumer", &[]);
        keys.iter().for_each(|key| drop(cluster.wait_done(key)));
        eventually("nothing is left behind", || cluster.is_quiet());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_consumer_may_not_write_to_parents_is_settled_and_found_by_a_sweep() {
    let cluster = Cluster::with_models_of_children().await;
    create_the_documented_user(&cluster.redis, "consumer", &[]);
    // Without the keys of parents.
    let rule = ["resetkeys", "~segmentation", "~segmentation:*"];
    let mut command = vec!["ACL", "SETUSER", "consumer"];
    command.extend(rule);
    command.extend(["~processing-segmentation:*", "~rc:*:segmentation"]);
    command.push("~NuclearSegmentation:*");
    let _: String = cluster.redis.ask(&command);
    cluster.put("uploads/some.zip", &archive(&["a.png"]));
    let zip = cluster.pod("pod-zip").set("CONSUMER_TYPE", "zip");
    let _zip = zip.set("LEASE_TIME", "1.5").start();
    let pod = cluster
        .pod("pod-1")
        .set("REDIS_USERNAME", "consumer")
        .set("REDIS_PASSWORD", "w0rk-pass")
        .start();
    let parent = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let hash = cluster.wait_done(&parent);
    assert_eq!(hash["failures"], "");
    assert!(
        pod.log().contains("refused to tell the job's parent"),
        "{}",
        pod.log()
    );
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_asks_for_no_password_leads_to_a_master_that_does() {
    let owner = RedisConnectionInfo::default()
        .set_password("open-sesame")
        .set_db(2);
    let cluster =
        Cluster::with_nuclei(Redis::start_with(&["--requirepass", "open-sesame"], owner)).await;
    let sentinel = Sentinel::start_with(
        &cluster.redis,
        "kiosk",
        "sentinel auth-pass kiosk open-sesame\n",
    );
    let pod = cluster
        .pod("pod-1")
        .set("REDIS_PORT", &sentinel.port.to_string());
    let _pod = pod
        .set("REDIS_PASSWORD", "open-sesame")
        .set("REDIS_DB", "2")
        .start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_the_process_with_a_reason() {
    let owner = RedisConnectionInfo::default().set_password("open-sesame");
    let cluster =
        Cluster::with_nuclei(Redis::start_with(&["--requirepass", "open-sesame"], owner)).await;
    for (password, reason) in [
        ("guess", "invalid username-password pair"),
        ("", "Authentication required"),
    ] {
        let mut pod = cluster.pod("pod-1").set("REDIS_PASSWORD", password).start();
        assert_eq!(pod.wait().code(), Some(1));
        let log = pod.log().to_lowercase();
        assert!(
            log.contains(&reason.to_lowercase()) && !log.contains("guess"),
            "{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_may_be_encrypted_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let certificate = file("server.pem", made.cert.pem());
    let key = file("server.key", made.signing_key.serialize_pem());
    let port = free_port().to_string();
    let arguments = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ];
    let cluster = Cluster::with_nuclei(Redis::start_with(
        &arguments,
        RedisConnectionInfo::default(),
    ))
    .await;
    let pod = |name: &str| {
        cluster
            .pod(name)
            .set("REDIS_PORT", &port)
            .set("REDIS_TLS", "true")
    };

    let mut stranger = pod("pod-1").start();
    eventually("the certificate is refused", || {
        stranger.log().contains("redis does not answer")
    });
    assert!(stranger.is_running());
    drop(stranger);

    let _pod = pod("pod-1").set("REDIS_CA_FILE", &certificate).start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
}
