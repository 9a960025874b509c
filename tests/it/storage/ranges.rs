//! Objects that are read piece by piece.

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::faults::Fault;
use crate::peers::objects::{folder, noise};
use crate::peers::s3::S3Server;

#[tokio::test]
async fn an_object_is_read_piece_by_piece() {
    let server = S3Server::start();
    let root = tempfile::tempdir().expect("a folder");
    let body = noise(100_000);
    for storage in [server.client(&[]), folder(root.path())] {
        storage
            .upload("uploads/a.zip", body.clone())
            .await
            .expect("stored");
        let mut source = storage
            .range_reader("uploads/a.zip")
            .await
            .expect("it is there");
        assert_eq!(source.size(), 100_000);
        for range in [99_000..100_000, 0..1, 500..70_000, 0..100_000] {
            let piece = source.read(range.clone()).await.expect("fetched");
            assert!(
                piece == body[range.start as usize..range.end as usize],
                "{range:?}"
            );
        }
        assert!(matches!(
            storage.range_reader("uploads/gone.zip").await,
            Err(Error::NotFound { .. })
        ));
    }
    let ranges: Vec<_> = server
        .faults
        .requests()
        .into_iter()
        .filter_map(|seen| seen.headers.get("range").cloned())
        .collect();
    assert_eq!(
        ranges,
        [
            "bytes=99000-99999",
            "bytes=0-0",
            "bytes=500-69999",
            "bytes=0-99999"
        ]
    );
}

#[tokio::test]
async fn pieces_are_asked_for_again_and_limited_as_whole_objects_are() {
    let server = S3Server::start();
    let storage = server.client(&[
        ("STORAGE_STALL_TIMEOUT", "0.3"),
        ("MAX_DOWNLOAD_BYTES", "10"),
    ]);
    storage
        .upload("a", Bytes::from_static(b"0123456789"))
        .await
        .expect("stored");
    let mut source = storage.range_reader("a").await.expect("it is there");
    for fault in [Fault::Status(503), Fault::HangUp, Fault::Silence] {
        server.faults.fail_next(2, fault);
        assert_eq!(
            source
                .read(2..5)
                .await
                .expect("fetched in the end")
                .as_ref(),
            b"234",
            "{fault:?}"
        );
    }
    storage
        .upload("b", Bytes::from_static(b"0123456789a"))
        .await
        .expect("stored");
    assert!(matches!(
        storage.range_reader("b").await,
        Err(Error::TooLarge {
            size_bytes: 11,
            limit_bytes: 10,
            ..
        })
    ));
}

#[tokio::test]
async fn pieces_of_two_versions_are_never_mixed() {
    let server = S3Server::start();
    let root = tempfile::tempdir().expect("a folder");
    for storage in [server.client(&[]), folder(root.path())] {
        for (first, then, piece) in [
            ("first", "other", Some(0..2)),
            ("first", "1", Some(0..2)),
            ("first", "longer", None),
        ] {
            storage
                .upload("a", Bytes::from(first))
                .await
                .expect("stored");
            let mut source = storage.range_reader("a").await.expect("it is there");
            if let Some(piece) = piece {
                assert_eq!(source.read(piece).await.expect("fetched").as_ref(), b"fi");
            }
            storage
                .upload("a", Bytes::from(then))
                .await
                .expect("stored");
            let error = source
                .read(2..4)
                .await
                .expect_err("another object has taken its place");
            assert!(
                matches!(error, Error::ChangedWhileReading { .. }),
                "{error:?}"
            );
            assert!(
                error
                    .to_string()
                    .contains("changed while it was being read"),
                "{error}"
            );
        }
    }
}
