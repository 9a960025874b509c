//! Storage against azurite, a server of Azure's blobs.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::signer::Signer as _;
use redis_consumer::storage::{Error, Storage};
use tracing::Dispatch;

use crate::peers::azurite::{ACCOUNT, Azurite, CONTAINER, KEY, PRIVATE};
use crate::peers::faults::{Fault, Seen};
use crate::peers::objects::{KEYS, noise, open, write};
use crate::peers::scripted_http::{Answer, ScriptedHttp, answer};

#[tokio::test]
async fn whatever_its_key_a_blob_comes_back_as_it_was_stored() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    for key in KEYS {
        let body = Bytes::from(format!("the pixels of {key}"));
        let url = storage.upload(key, body.clone()).await.expect("stored");
        assert_eq!(url, storage.public_url(key));
        let in_container = url.replace(
            &format!("{}/{CONTAINER}", server.endpoint()),
            &format!("az://{CONTAINER}"),
        );
        assert!(in_container.starts_with("az://"), "{in_container}");
        for reference in [key, &url, &in_container] {
            let found = storage.download(reference).await.expect("fetched");
            assert_eq!(found, body, "{reference}");
        }
        let (status, _, found) = server.get(&url).await;
        assert_eq!((status, found), (200, body), "anybody can read {url}");
    }
}

#[tokio::test]
async fn blobs_of_any_size_have_their_content_type() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    for (size, requests) in [(0, 1), (1, 1), (8 << 20, 1), (20_000_000, 4)] {
        let before = server.faults.requests().len();
        let body = noise(size);
        let url = write(&storage, "output/a.zip", &body)
            .await
            .expect("stored");
        assert_eq!(
            server.faults.methods()[before..],
            vec!["PUT"; requests],
            "{size}"
        );
        let (status, kind, found) = server.get(&url).await;
        assert_eq!((status, kind.as_str()), (200, "application/zip"), "{size}");
        assert!(found == body, "{size} bytes came back changed");
        assert_eq!(
            storage.size("output/a.zip").await.expect("there"),
            size as u64
        );
    }
    let url = storage.upload("a.tif", noise(10)).await.expect("stored");
    assert_eq!(server.get(&url).await.1, "image/tiff");
}

#[tokio::test]
async fn a_wrong_key_is_denied_at_once_and_not_repeated_in_errors() {
    let server = Azurite::start().await;
    let wrong = "d3Jvbmc=";
    let private = format!("az://{PRIVATE}");
    let pairs = [("STORAGE_BUCKET", &*private), ("AZURE_STORAGE_KEY", wrong)];
    let storage = server.client(&pairs);
    let reading = storage.download("uploads/a.tif").await.map(drop);
    let writing = storage.upload("output/a.zip", Bytes::new()).await.map(drop);
    for result in [reading, writing] {
        let error = result.expect_err("the signature is wrong");
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("HTTP 403 Auth"), "{text}");
        assert!(
            !text.contains(wrong) && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
    assert_eq!(
        server.faults.methods(),
        ["GET", "PUT"],
        "a denial is permanent"
    );
}

#[tokio::test]
async fn a_missing_blob_and_a_missing_container_are_told_apart() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    let error = storage.download("gone.tif").await.expect_err("none");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "`gone.tif` is not in az://test-container"
    );
    let error = storage.size("gone.tif").await.expect_err("none");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(storage.is_reachable().await);

    let elsewhere = server.client(&[("STORAGE_BUCKET", "az://elsewhere")]);
    for result in [
        elsewhere.download("a.tif").await.map(drop),
        elsewhere.size("a.tif").await.map(drop),
        elsewhere.upload("a.tif", Bytes::new()).await.map(drop),
    ] {
        let error = result.expect_err("no such container");
        assert_eq!(
            error.to_string(),
            "request for `a.tif` in az://elsewhere failed: HTTP 404 ContainerNotFound"
        );
    }
    assert!(!elsewhere.is_reachable().await);
}

#[tokio::test]
async fn a_busy_or_rude_server_is_asked_again_until_it_answers() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    let statuses = [429, 500, 502, 503, 504].map(Fault::Status);
    for fault in statuses.into_iter().chain([Fault::HangUp]) {
        let before = server.faults.requests().len();
        server.faults.fail_next(2, fault);
        let body = Bytes::from_static(b"PK");
        storage.upload("a.zip", body.clone()).await.expect("stored");
        server.faults.fail_next(2, fault);
        assert_eq!(storage.download("a.zip").await.expect("fetched"), body);
        assert_eq!(
            server.faults.methods()[before..],
            ["PUT", "PUT", "PUT", "GET", "GET", "GET"],
            "{fault:?}"
        );
    }
    let before = server.faults.requests().len();
    for status in [400, 405, 409, 412, 501] {
        server.faults.fail_next(1, Fault::Status(status));
        let error = storage.upload("a.zip", Bytes::new()).await;
        let error = error.expect_err("refused");
        assert!(matches!(error, Error::Other { .. }), "{error:?}");
        let answer = format!("HTTP {status} InjectedFault");
        assert!(error.to_string().ends_with(&answer), "{error}");
    }
    assert_eq!(server.faults.methods()[before..], ["PUT"; 5], "once each");
}

#[tokio::test]
async fn a_server_that_stays_busy_or_is_not_there_is_given_up() {
    let server = Azurite::start().await;
    let hour = Duration::from_secs(3600);
    server.faults.fail_for(hour, Fault::Status(503));
    let storage = server.client(&[("STORAGE_RETRY_TIMEOUT", "1")]);
    let error = storage.download("a.tif").await.expect_err("busy");
    let Error::Unavailable {
        attempts, reason, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*attempts as usize, server.faults.requests().len());
    assert!(
        *attempts > 1 && reason == "HTTP 503 InjectedFault",
        "{error}"
    );

    let nowhere = [
        ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1/x"),
        ("STORAGE_RETRY_TIMEOUT", "0.05"),
    ];
    let error = server.client(&nowhere).download("a.tif").await;
    let text = error.expect_err("nobody listens").to_string();
    assert!(
        text.contains("refused") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_server_is_asked_again() {
    let server = Azurite::start().await;
    let storage = server.client(&[("STORAGE_STALL_TIMEOUT", "1")]);
    server.faults.fail_next(1, Fault::Silence);
    let body = Bytes::from_static(b"PK");
    storage.upload("a.zip", body.clone()).await.expect("stored");
    server.faults.fail_next(1, Fault::Silence);
    assert_eq!(storage.download("a.zip").await.expect("fetched"), body);
    assert!(server.faults.methods().len() >= 4, "two attempts each");
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused_and_references_elsewhere_make_no_request() {
    let server = Azurite::start().await;
    let storage = server.client(&[("MAX_DOWNLOAD_BYTES", "1000")]);
    storage.upload("fits", noise(1000)).await.expect("stored");
    storage.upload("not", noise(1001)).await.expect("stored");
    assert_eq!(storage.download("fits").await.expect("fetched").len(), 1000);
    let error = storage.download("not").await.expect_err("a byte too many");
    assert_eq!(
        error.to_string(),
        "`not` in az://test-container has 1001 bytes, more than the limit of 1000"
    );
    let error = storage.range_reader("not").await.map(drop);
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");

    let before = server.faults.requests().len();
    for reference in [
        "../x",
        "az://other/x",
        "s3://test-container/x",
        "https://another.blob.core.windows.net/test-container/x",
        "",
    ] {
        let error = storage.download(reference).await.expect_err("refused");
        assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
    }
    assert_eq!(server.faults.requests().len(), before);
}

#[tokio::test]
async fn a_blob_is_read_piece_by_piece_and_never_in_two_versions() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    let body = noise(100_000);
    storage.upload("a.zip", body.clone()).await.expect("stored");
    let mut reader = storage.range_reader("a.zip").await.expect("there");
    assert_eq!(reader.size(), 100_000);
    for (from, to) in [(0, 1), (99_000, 100_000), (10, 60_000), (0, 100_000)] {
        server.faults.fail_next(1, Fault::Status(503));
        let piece = reader.read(from as u64..to as u64).await.expect("fetched");
        assert!(piece == body.slice(from..to), "{from}..{to}");
    }
    assert!(matches!(
        storage.range_reader("gone.zip").await,
        Err(Error::NotFound { .. })
    ));

    for (first, then) in [("first", "other"), ("first", "fir"), ("first", "longer")] {
        for piece in [None, Some(0..2)] {
            storage
                .upload("a", Bytes::from(first))
                .await
                .expect("stored");
            let mut reader = storage.range_reader("a").await.expect("there");
            let has_read = piece.is_some();
            if let Some(piece) = piece {
                assert_eq!(reader.read(piece).await.expect("fetched").as_ref(), b"fi");
            }
            storage
                .upload("a", Bytes::from(then))
                .await
                .expect("stored");
            let result = reader.read(2..4).await;
            // One of the same size is a version like another if nothing has been read yet.
            if has_read || then.len() != first.len() {
                let error = result.expect_err("another blob has taken its place");
                assert!(
                    matches!(error, Error::ChangedWhileReading { .. }),
                    "{then}: {error:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_step_of_an_upload_in_blocks_is_tried_again() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    let body = noise(17 << 20);
    for fault in [Fault::Status(503), Fault::HangUp, Fault::LoseAnswer] {
        for target in ["comp=block&", "comp=blocklist"] {
            let is_step = move |seen: &Seen| seen.is("PUT", target);
            let left = server.faults.fail_first(1, fault, is_step);
            let url = write(&storage, "output/a.zip", &body).await;
            let url = url.unwrap_or_else(|error| panic!("{fault:?} {target}: {error}"));
            assert_eq!(
                left.load(Ordering::Relaxed),
                0,
                "{fault:?} {target} was not met"
            );
            let (_, kind, found) = server.get(&url).await;
            assert!(found == body, "{fault:?} {target}");
            assert_eq!(kind, "application/zip", "{fault:?} {target}");
        }
    }
    let tried = server.faults.requests();
    let heads = tried.iter().filter(|seen| seen.method == "HEAD").count();
    assert_eq!(heads, 1, "the one answer that was lost about a whole blob");
}

#[tokio::test]
async fn an_upload_that_fails_or_is_dropped_leaves_what_was_there() {
    let server = Azurite::start().await;
    let storage = server.client(&[]);
    let old = Bytes::from_static(b"old");
    storage.upload("a.zip", old.clone()).await.expect("stored");
    let body = noise(17 << 20);
    for target in ["comp=block&", "comp=blocklist"] {
        let refused = Fault::Status(403);
        server
            .faults
            .fail_if(refused, move |seen| seen.is("PUT", target));
        let error = write(&storage, "a.zip", &body).await.expect_err("refused");
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    }
    server.faults.heal();
    let mut writer = storage.object_writer("a.zip").expect("a good key");
    writer.write(&body).await.expect("written");
    drop(writer);
    storage.close().await;
    assert_eq!(storage.download("a.zip").await.expect("fetched"), old);
}

#[tokio::test]
async fn a_shared_access_signature_is_enough_for_what_it_allows_and_never_shows() {
    let server = Azurite::start().await;
    let logs = Logs::default();
    // With one subscriber alone, threads of other tests that have none would decide what is worth logging.
    let _second = Dispatch::new(tracing_subscriber::fmt().finish());
    let _guard = tracing::subscriber::set_default(logs.clone().subscriber());

    let writing = signature(&server, Method::PUT, "a.zip").await;
    let storage = with_signature(&server, &writing);
    storage.upload("a.zip", noise(10)).await.expect("stored");
    write(&storage, "a.zip", &noise(9 << 20))
        .await
        .expect("stored in blocks");
    let error = storage.download("a.zip").await.map(drop);
    let error = error.expect_err("not allowed");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    server.faults.fail_next(1, Fault::HangUp);
    storage.upload("a.zip", noise(20)).await.expect("stored");

    let reading = signature(&server, Method::GET, "a.zip").await;
    let found = with_signature(&server, &reading).download("a.zip").await;
    assert!(found.expect("fetched") == noise(20));

    let said = format!("{error} {error:?} {}", logs.text());
    assert!(said.contains("storage request failed"), "{said}");
    for token in [&writing, &reading] {
        let (_, secret) = token.split_once("sig=").expect("a signature");
        let secret = secret.split('&').next().expect("a value");
        assert!(secret.len() > 20 && !said.contains(secret), "{said}");
        assert!(!said.contains(KEY) && !said.contains("sig="), "{said}");
    }
}

/// What a program says.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn subscriber(self) -> impl tracing::Subscriber + Send + Sync {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || self.clone())
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no poison")).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no poison").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A token that allows one thing with one blob.
async fn signature(server: &Azurite, method: Method, key: &str) -> String {
    let store = MicrosoftAzureBuilder::new()
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_container_name(PRIVATE)
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .build()
        .expect("a client");
    let hour = Duration::from_secs(3600);
    let url = store.signed_url(method, &Path::from(key), hour).await;
    url.expect("a URL").query().expect("a token").to_owned()
}

fn with_signature(server: &Azurite, token: &str) -> Storage {
    server.client(&[
        ("STORAGE_BUCKET", &format!("az://{PRIVATE}")),
        ("AZURE_STORAGE_KEY", "NA"),
        ("AZURE_STORAGE_SAS_TOKEN", token),
    ])
}

#[tokio::test]
async fn a_workload_gets_a_token_for_its_identity_and_again_if_that_fails() {
    let token = r#"{"access_token":"my-access-token","expires_in":3600}"#;
    let authority = ScriptedHttp::start(vec![
        answer("500 Oops", "", ""),
        answer("400 Bad Request", "", r#"{"error":"invalid_client"}"#),
        answer("200 OK", "", token),
    ])
    .await;
    let store = ScriptedHttp::start(vec![answer("201 Created", "etag: \"1\"\r\n", "")]).await;
    let federated = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(federated.path(), "my-federated-token").expect("written");
    let storage = open(&[
        ("STORAGE_BUCKET", "az://images"),
        ("STORAGE_MAX_BACKOFF", "0.01"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "cells"),
        ("AZURE_STORAGE_ENDPOINT", &store.endpoint),
        ("AZURE_CLIENT_ID", "my-client"),
        ("AZURE_TENANT_ID", "my-tenant"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            federated.path().to_str().expect("plain"),
        ),
        ("AZURE_AUTHORITY_HOST", &format!("{}/", authority.endpoint)),
    ]);
    storage.upload("a.zip", noise(10)).await.expect("stored");
    let asked = authority.heads();
    assert_eq!(asked.len(), 3);
    assert!(
        asked[0].starts_with("POST /my-tenant/oauth2/v2.0/token "),
        "{asked:?}"
    );
    let stored = store.heads();
    assert_eq!(stored.len(), 1);
    assert!(
        stored[0].starts_with("PUT /images/a.zip ")
            && stored[0].contains("authorization: Bearer my-access-token"),
        "{stored:?}"
    );
}

#[tokio::test]
async fn without_credentials_from_anybody_the_upload_is_given_up() {
    let authority = ScriptedHttp::start(vec![Answer::Bytes(Vec::new())]).await;
    let federated = tempfile::NamedTempFile::new().expect("a file");
    let storage = open(&[
        ("STORAGE_BUCKET", "az://images"),
        ("STORAGE_MAX_BACKOFF", "0.01"),
        ("STORAGE_RETRY_TIMEOUT", "0.1"),
        ("AZURE_STORAGE_ACCOUNT", "cells"),
        ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1"),
        ("AZURE_CLIENT_ID", "my-client"),
        ("AZURE_TENANT_ID", "my-tenant"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            federated.path().to_str().expect("plain"),
        ),
        ("AZURE_AUTHORITY_HOST", &authority.endpoint),
    ]);
    let error = storage.upload("a.zip", noise(10)).await;
    let error = error.expect_err("no token");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("no credentials: "), "{error}");
}

#[tokio::test]
async fn results_can_be_published_at_another_address() {
    let server = Azurite::start().await;
    let public = ("STORAGE_PUBLIC_URL", "https://images.example/results/");
    let storage = server.client(&[public]);
    let url = storage.upload("output/a b.zip", noise(10)).await;
    assert_eq!(
        url.expect("stored"),
        "https://images.example/results/output/a%20b.zip"
    );
    let own = format!("{}/{CONTAINER}/output/a%20b.zip", server.endpoint());
    assert_eq!(storage.size(&own).await.expect("there too"), 10);
}
