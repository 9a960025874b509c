//! A Redis that lets only some in: passwords, users, databases, certificates.

use std::fs;

use redis::RedisConnectionInfo;

use crate::peers::cluster::{Cluster, FIELDS, NUCLEI, eventually};
use crate::peers::redis::{Redis, Sentinel, free_port};

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
