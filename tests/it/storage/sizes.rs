//! Objects of every size, and those that are too large.

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::objects::google;
use crate::peers::s3::S3Server;
use crate::peers::scripted_http::{Answer, ScriptedHttp};

#[tokio::test]
async fn empty_and_large_objects_survive_the_journey() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    for size in [0, 1, 5_000_003] {
        let body: Bytes = (0..size)
            .map(|place: usize| place.to_le_bytes()[0] ^ place.to_le_bytes()[1])
            .collect();
        storage.upload("a.bin", body.clone()).await.expect("stored");
        assert!(
            storage.download("a.bin").await.expect("fetched") == body,
            "{size} bytes came back changed"
        );
    }
}

#[tokio::test]
async fn an_object_above_the_limit_is_refused_unread() {
    let server = S3Server::start();
    let storage = server.client(&[("MAX_DOWNLOAD_BYTES", "1000")]);
    storage
        .upload("fits", Bytes::from(vec![0; 1000]))
        .await
        .expect("stored");
    storage
        .upload("does not", Bytes::from(vec![0; 1001]))
        .await
        .expect("stored");
    assert_eq!(storage.download("fits").await.expect("fetched").len(), 1000);
    let error = storage
        .download("does not")
        .await
        .expect_err("one byte too many");
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size_bytes: 1001,
                limit_bytes: 1000,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_size_is_believed_before_the_body_is_read() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n";
    let server = ScriptedHttp::start(vec![Answer::ThenSilence(head.to_vec())]).await;
    let storage = google(&server, &[]);
    let error = storage.download("a").await.expect_err("100 GB");
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size_bytes: 99_999_999_999,
                ..
            }
        ),
        "{error:?}"
    );
}
