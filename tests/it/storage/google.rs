//! A stand-in for Google's store.

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::objects::{google, noise, write};
use crate::peers::scripted_http::{Answer, ScriptedHttp, answer};

#[tokio::test]
async fn google_gets_a_public_object_of_the_right_type() {
    let stored = answer("200 OK", "etag: \"1\"\r\nx-goog-generation: 1\r\n", "");
    let server = ScriptedHttp::start(vec![stored]).await;
    google(&server, &[])
        .upload("output/my cells.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    google(&server, &[("STORAGE_ACL", "none")])
        .upload("a", Bytes::new())
        .await
        .expect("stored");
    let heads = server.heads();
    let first: Vec<_> = heads[0].lines().collect();
    assert_eq!(first[0], "PUT /b/output%2Fmy%20cells%2Ezip HTTP/1.1");
    for line in [
        "x-goog-acl: public-read",
        "content-type: application/zip",
        "content-length: 2",
    ] {
        assert!(first.contains(&line), "{line} is missing in {first:?}");
    }
    assert!(!heads[1].contains("x-goog-acl"));
}

#[tokio::test]
async fn google_is_asked_again_by_the_same_rules() {
    let found = answer(
        "200 OK",
        "etag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
        "pixels",
    );
    let denied = "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Details>me@example</Details></Error>";
    let answers = vec![
        answer("503 Busy", "", ""),
        answer("429 Slow down", "", ""),
        found,
        answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"),
        answer("403 Forbidden", "", denied),
    ];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[]);
    assert_eq!(
        storage.download("a b").await.expect("fetched").as_ref(),
        b"pixels"
    );
    assert!(matches!(
        storage.download("a").await,
        Err(Error::NotFound { .. })
    ));
    let error = storage.download("a").await.expect_err("denied");
    assert_eq!(
        error.to_string(),
        "gs://b denies access to `a` (HTTP 403 AccessDenied)"
    );
    assert_eq!(server.heads().len(), 5);
    assert!(
        server.heads()[0].starts_with("GET /b/a%20b HTTP/1.1"),
        "{:?}",
        server.heads()[0]
    );
}

/// Where the store finds `output/a.zip`.
const OBJECT: &str = "/b/output%2Fa%2Ezip";

/// An upload in parts has begun.
fn begun() -> Answer {
    answer(
        "200 OK",
        "",
        "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
    )
}

/// A part has arrived.
fn part() -> Answer {
    answer("200 OK", "etag: \"p\"\r\n", "")
}

/// The parts are put together, and the answer is lost: an object of another size is not ours.
async fn assert_found_after_a_lost_answer(size: usize, is_ours: bool) {
    let lost = Answer::Bytes(Vec::new());
    let forgotten = answer(
        "404 Not Found",
        "",
        "<Error><Code>NoSuchUpload</Code></Error>",
    );
    let head =
        "etag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n";
    let there = Answer::Bytes(
        format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{head}\r\n").into_bytes(),
    );
    let answers = vec![begun(), part(), part(), lost, forgotten, there];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[]);
    let stored = write(&storage, "output/a.zip", &noise(9 << 20)).await;
    assert_eq!(stored.is_ok(), is_ours, "{stored:?}");
    assert!(
        server.heads()[5].starts_with(&format!("HEAD {OBJECT} ")),
        "{:?}",
        server.heads()
    );
}

#[tokio::test]
async fn google_gets_large_objects_in_parts() {
    let (begun, part) = (begun(), part());
    let failed = answer("200 OK", "", "<Error><Code>InternalError</Code></Error>");
    let whole = answer(
        "200 OK",
        "x-goog-generation: 1\r\n",
        "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
    );
    let server = ScriptedHttp::start(vec![begun, part.clone(), part, failed, whole]).await;
    let storage = google(&server, &[]);
    write(&storage, "output/a.zip", &noise(9 << 20))
        .await
        .expect("stored");
    let heads = server.heads();
    let first: Vec<_> = heads
        .iter()
        .map(|head| head.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(first[0], format!("POST {OBJECT}?uploads="));
    assert!(
        heads[0].contains("x-goog-acl: public-read")
            && heads[0].contains("content-type: application/zip")
    );
    assert!(
        first[1].starts_with(&format!("PUT {OBJECT}?partNumber=")),
        "{first:?}"
    );
    assert_eq!(
        first[3..],
        [
            format!("POST {OBJECT}?uploadId=u1"),
            format!("POST {OBJECT}?uploadId=u1")
        ]
    );
    assert!(
        heads[1..].iter().all(|head| !head.contains("x-goog-acl")),
        "{heads:?}"
    );

    for (size, is_ours) in [(9 << 20, true), (1 << 20, false)] {
        assert_found_after_a_lost_answer(size, is_ours).await;
    }
}
