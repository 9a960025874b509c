//! What is asked again and what is given up.

use std::time::Duration;

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::faults::Fault;
use crate::peers::objects::google;
use crate::peers::s3::S3Server;
use crate::peers::scripted_http::{Answer, ScriptedHttp};

#[tokio::test]
async fn a_missing_object_is_missing_at_once() {
    let server = S3Server::start();
    let error = server
        .client(&[])
        .download("uploads/gone.tif")
        .await
        .expect_err("there is none");
    assert!(matches!(&error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "`uploads/gone.tif` is not in s3://test-bucket"
    );
    assert_eq!(server.faults.methods(), ["GET"]);
}

#[tokio::test]
async fn a_busy_or_rude_server_is_asked_again_until_it_answers() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    let faults = [429, 500, 502, 503, 504]
        .map(Fault::Status)
        .into_iter()
        .chain([Fault::HangUp]);
    for fault in faults {
        let before = server.faults.requests().len();
        server.faults.fail_next(2, fault);
        storage
            .upload("output/a.zip", Bytes::from_static(b"PK"))
            .await
            .expect("stored in the end");
        server.faults.fail_next(2, fault);
        assert_eq!(
            storage
                .download("output/a.zip")
                .await
                .expect("fetched in the end")
                .as_ref(),
            b"PK"
        );
        assert_eq!(
            server.faults.methods()[before..],
            ["PUT", "PUT", "PUT", "GET", "GET", "GET"],
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn other_refusals_are_final_and_carry_the_word_of_the_store() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    for status in [400, 405, 409, 501] {
        server.faults.fail_next(1, Fault::Status(status));
        let error = storage
            .upload("output/a.zip", Bytes::new())
            .await
            .expect_err("refused");
        assert!(matches!(error, Error::Other { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .contains(&format!("HTTP {status} InjectedFault")),
            "{error}"
        );
    }
    assert_eq!(server.faults.methods(), ["PUT"; 4]);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up() {
    let server = S3Server::start();
    server
        .faults
        .fail_for(Duration::from_secs(3600), Fault::Status(503));
    let storage = server.client(&[("STORAGE_RETRY_TIMEOUT", "1")]);
    let error = storage
        .download("uploads/a.tif")
        .await
        .expect_err("busy for an hour");
    let Error::Unavailable {
        attempts, reason, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*attempts as usize, server.faults.requests().len());
    assert!(*attempts > 1, "it was asked again");
    assert_eq!(reason, "HTTP 503 InjectedFault");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_given_up_with_the_cause() {
    let server = S3Server::start();
    let storage = server.client(&[
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("STORAGE_RETRY_TIMEOUT", "0.05"),
    ]);
    let error = storage
        .download("uploads/a.tif")
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(
        !error.to_string().contains("127.0.0.1"),
        "addresses are none of the user's business: {error}"
    );
}

#[tokio::test]
async fn a_silent_server_counts_as_unavailable() {
    let server = S3Server::start();
    let storage = server.client(&[("STORAGE_STALL_TIMEOUT", "0.3")]);
    server.faults.fail_next(1, Fault::Silence);
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored by a later attempt");
    server.faults.fail_next(1, Fault::Silence);
    storage
        .download("output/a.zip")
        .await
        .expect("fetched by a later attempt");
    // A loaded machine may need more than the two attempts each.
    let methods = server.faults.methods();
    assert!(
        methods.starts_with(&["PUT", "PUT"].map(str::to_owned))
            && methods.ends_with(&["GET", "GET"].map(str::to_owned))
    );
}

#[tokio::test]
async fn nobody_is_asked_again_once_the_caller_has_left() {
    let server = S3Server::start();
    server
        .faults
        .fail_for(Duration::from_secs(3600), Fault::Status(503));
    let storage = server.client(&[]);
    let caller = tokio::spawn(async move { storage.download("uploads/a.tif").await });
    while server.faults.requests().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    caller.abort();
    assert!(caller.await.expect_err("it was aborted").is_cancelled());
    let asked = server.faults.requests().len();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        server.faults.requests().len() <= asked + 1,
        "at most the request that was under way arrives"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_is_fetched_again() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n\r\n";
    let answers = vec![
        Answer::Bytes(format!("{head}pix").into_bytes()),
        Answer::ThenSilence(format!("{head}pixe").into_bytes()),
        Answer::Bytes(format!("{head}pixels").into_bytes()),
    ];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[("STORAGE_STALL_TIMEOUT", "0.3")]);
    assert_eq!(
        storage.download("a").await.expect("fetched").as_ref(),
        b"pixels"
    );
    assert!(server.heads().len() >= 3);
}

#[tokio::test]
async fn a_bucket_of_another_region_is_named_with_it() {
    let server = S3Server::start();
    let elsewhere = "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-central-1\r\ncontent-length: 0\r\n\
        connection: close\r\n\r\n";
    let other = ScriptedHttp::start(vec![Answer::Bytes(elsewhere.as_bytes().to_vec())]).await;
    let storage = server.client(&[
        ("AWS_ENDPOINT_URL", &other.endpoint),
        ("AWS_REGION", "us-west-2"),
    ]);
    let error = storage.download("a").await.expect_err("it is elsewhere");
    assert_eq!(
        error.to_string(),
        "request for `a` in s3://test-bucket failed: HTTP 301: the bucket is in the region eu-central-1, but AWS_REGION is \
        us-west-2"
    );
}
