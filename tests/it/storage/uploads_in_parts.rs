//! Objects that are written piece by piece, and go up in parts if they are large.

use std::time::Duration;

use bytes::Bytes;
use redis_consumer::storage::{Error, ObjectWriter};

use crate::peers::faults::{Fault, Seen};
use crate::peers::objects::{noise, write};
use crate::peers::s3::S3Server;

#[tokio::test]
async fn large_objects_go_up_in_parts_and_small_ones_at_once() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    for (size, expected) in [
        (0, vec!["PUT"]),
        (8 << 20, vec!["PUT"]),
        (20_000_000, vec!["POST", "PUT", "PUT", "PUT", "POST"]),
    ] {
        let before = server.faults.requests().len();
        let body = noise(size);
        let url = write(&storage, "output/a.zip", &body)
            .await
            .expect("stored");
        assert_eq!(url, storage.public_url("output/a.zip"));
        assert_eq!(server.faults.methods()[before..], expected, "{size} bytes");
        assert_eq!(
            server.faults.requests()[before].headers["content-type"],
            "application/zip"
        );
        assert!(
            storage.download("output/a.zip").await.expect("fetched") == body,
            "{size} bytes came back changed"
        );
    }
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(ObjectWriter::MEMORY, 24 << 20);
}

#[tokio::test]
async fn the_access_list_is_that_of_the_object_not_of_its_parts() {
    let server = S3Server::start();
    let storage = server.client(&[("STORAGE_ACL", "publicRead")]);
    write(&storage, "output/a.zip", &noise(9 << 20))
        .await
        .expect("the server accepts the signatures");
    let lists: Vec<_> = server
        .faults
        .requests()
        .into_iter()
        .map(|seen| {
            (
                seen.method,
                seen.headers.get("x-amz-acl").cloned().unwrap_or_default(),
            )
        })
        .collect();
    let lists: Vec<_> = lists
        .iter()
        .map(|(method, list)| (method.as_str(), list.as_str()))
        .collect();
    assert_eq!(
        lists,
        [
            ("POST", "public-read"),
            ("PUT", ""),
            ("PUT", ""),
            ("POST", "")
        ]
    );
}

#[tokio::test]
async fn every_step_of_an_upload_in_parts_is_tried_again() {
    let server = S3Server::start();
    let storage = server.client(&[("STORAGE_STALL_TIMEOUT", "2")]);
    let body = noise(17 << 20);
    let steps = [
        ("POST", "uploads"),
        ("PUT", "partNumber=2"),
        ("PUT", "partNumber=3"),
        ("POST", "uploadId="),
    ];
    // A store that has begun its answer may still fail.
    for fault in [
        Fault::Status(503),
        Fault::HangUp,
        Fault::LoseAnswer,
        Fault::Silence,
        Fault::Status(200),
    ] {
        for (method, target) in steps {
            // A part may take as long as its size allows for, and this server denies access to an upload that it has finished.
            let fits = match fault {
                Fault::Status(200) | Fault::Silence => method == "POST",
                Fault::LoseAnswer => target != "uploadId=",
                _ => true,
            };
            if !fits {
                continue;
            }
            let is_step = move |seen: &Seen| seen.is(method, target);
            server.faults.fail_first(1, fault, is_step);
            let stored = write(&storage, "output/a.zip", &body).await;
            stored.unwrap_or_else(|error| panic!("{fault:?} {method} {target}: {error}"));
            assert!(
                storage.download("output/a.zip").await.expect("fetched") == body,
                "{fault:?} {method} {target}"
            );
            std::fs::remove_file(server.folder().join("output/a.zip")).expect("it was there");
        }
    }
    storage.close().await;
    // An upload whose beginning was not heard of cannot be given up.
    assert_eq!(server.open_uploads(), 1);
}

#[tokio::test]
async fn an_upload_that_fails_or_is_dropped_leaves_what_was_there() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    storage
        .upload("output/a.zip", Bytes::from_static(b"old"))
        .await
        .expect("stored");
    let body = noise(17 << 20);

    for (method, target) in [("PUT", "partNumber=2"), ("POST", "uploadId=")] {
        server
            .faults
            .fail_if(Fault::Status(403), move |seen| seen.is(method, target));
        let error = write(&storage, "output/a.zip", &body)
            .await
            .expect_err("refused");
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    }
    server
        .faults
        .fail_if(Fault::Status(404), |seen| seen.is("PUT", "partNumber=1"));
    let error = write(&storage, "output/a.zip", &body)
        .await
        .expect_err("the store has forgotten the upload");
    assert!(matches!(error, Error::Other { .. }), "{error:?}");

    server
        .faults
        .fail_if(Fault::Silence, |seen| seen.is("PUT", "partNumber=2"));
    let writing = tokio::spawn({
        let storage = storage.clone();
        async move { write(&storage, "output/a.zip", &body).await }
    });
    while !server
        .faults
        .requests()
        .iter()
        .rev()
        .take(2)
        .any(|seen| seen.is("PUT", "partNumber=2"))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.open_uploads() > 0, "it is under way");
    writing.abort();
    assert!(writing.await.expect_err("it was aborted").is_cancelled());
    storage.close().await;
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(
        storage
            .download("output/a.zip")
            .await
            .expect("fetched")
            .as_ref(),
        b"old"
    );
}
