//! A Redis that lets only some in: passwords, users, databases, certificates.

use std::fs;

use redis::RedisConnectionInfo;
use redis_consumer::serving::Method;

use crate::peers::cluster::{Cluster, FIELDS, IMAGE, NUCLEI, eventually};
use crate::peers::redis::{Redis, Sentinel, free_port};
use crate::peers::synthetic_images::archive;

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

/// The user that docs/security.md proposes.
fn create_the_documented_user(redis: &Redis) {
    let text = include_str!("../../docs/security.md");
    let start = text.find("ACL SETUSER").expect("a user is proposed");
    let length = text[start..].find("```").expect("the block ends");
    let rule = text[start..start + length].replace("PASSWORD", "w0rk-pass");
    let words: Vec<_> = rule.split_whitespace().collect();
    let _: String = redis.ask(&words);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_user_may_do_all_that_consumers_do_and_nothing_is_denied() {
    let cluster = Cluster::with_models_of_children().await;
    create_the_documented_user(&cluster.redis);
    cluster.put(NUCLEI, IMAGE);
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    let login = [
        ("REDIS_USERNAME", "consumer"),
        ("REDIS_PASSWORD", "w0rk-pass"),
    ];
    let pod = |name: &str, kind: &str| {
        let settings = cluster.pod(name).set("CONSUMER_TYPE", kind);
        let settings = settings
            .set("LEASE_TIME", "1.5")
            .set("RETRY_BACKOFF", "0.1");
        let settings = settings.set("MAX_ATTEMPTS", "2").set("MAX_RETRY", "1");
        let settings = settings.set("GRPC_BACKOFF", "0");
        settings
            .set(login[0].0, login[0].1)
            .set(login[1].0, login[1].1)
    };
    // Something for every script: a dead consumer, a restart, retries, an appointment, a bad job, children of both kinds.
    cluster.models.faults().hang(Method::Predict, 1);
    let mut dead = pod("pod-dead", "image").start();
    let reclaimed = cluster.submit_to_model(NUCLEI, &FIELDS);
    dead.kill();
    let _zip = pod("pod-zip", "zip").start();
    let mut first = pod("pod-1", "image").start();
    cluster.wait_done(&reclaimed);
    cluster
        .models
        .faults()
        .fail(Method::Predict, tonic::Code::ResourceExhausted, 2);
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.wait_failed(&cluster.submit("uploads/missing.png", &FIELDS));
    let parent = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    cluster.wait_done(&parent);
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1)).to_string();
    let mut fields = FIELDS.to_vec();
    fields.push(("not_before", &soon));
    cluster.wait_done(&cluster.submit(NUCLEI, &fields));
    first.terminate();
    first.wait();
    let _again = pod("pod-1", "image").start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    for command in [
        vec!["check"],
        vec!["promote-delayed"],
        vec!["janitor", "--once"],
    ] {
        let mut variables = login.to_vec();
        variables.extend([("QUEUE", "segmentation"), ("QUEUES", "segmentation")]);
        let output = cluster.run(&command, &variables);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}: {printed}");
    }
    eventually("nothing is left behind", || cluster.is_quiet());
    let denied: Vec<redis::Value> = cluster.redis.ask(&["ACL", "LOG"]);
    assert!(denied.is_empty(), "{denied:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_while_a_right_is_missing() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    create_the_documented_user(&cluster.redis);
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
        create_the_documented_user(&cluster.redis);
        keys.iter().for_each(|key| drop(cluster.wait_done(key)));
        eventually("nothing is left behind", || cluster.is_quiet());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_consumer_may_not_write_to_parents_is_settled_and_found_by_a_sweep() {
    let cluster = Cluster::with_models_of_children().await;
    create_the_documented_user(&cluster.redis);
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
        ("guess", "authentication failed"),
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
