//! Objects of which the store does not tell the size, or tells another.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use redis_consumer::storage::Error;

use crate::peers::objects::{google, noise};
use crate::peers::scripted_http::{Answer, ScriptedHttp};

/// A head as Google sends it for an object that it unpacks on the way: neither length nor `ETag`.
fn unpacked_on_the_way() -> String {
    "HTTP/1.1 200 OK\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ntransfer-encoding: chunked\r\n\
    warning: 214 UploadServer gunzipped\r\nconnection: close\r\n\r\n"
        .to_owned()
}

fn chunked(head: &str, body: &[u8]) -> Answer {
    let mut answer = head.as_bytes().to_vec();
    for chunk in body.chunks(1000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    Answer::Bytes(answer)
}

fn head_only() -> Answer {
    Answer::Bytes(unpacked_on_the_way().into_bytes())
}

fn body_of(body: &[u8]) -> Answer {
    chunked(&unpacked_on_the_way(), body)
}

#[tokio::test]
async fn an_object_without_a_length_is_read_to_its_end() {
    let body = noise(100_000);
    let server = ScriptedHttp::start(vec![body_of(&body), head_only(), body_of(&body)]).await;
    let storage = google(&server, &[]);
    assert!(storage.download("a").await.expect("fetched") == body);
    assert_eq!(storage.size("a").await.expect("counted"), 100_000);
    assert!(server.heads()[1].starts_with("HEAD "));
}

#[tokio::test]
async fn the_length_of_what_is_stored_is_not_that_of_what_comes() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\netag: \"1\"\r\nx-goog-stored-content-encoding: gzip\r\n\
        last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n\r\n";
    let body = noise(5000);
    let answers = vec![Answer::Bytes(head.as_bytes().to_vec()), body_of(&body)];
    let server = ScriptedHttp::start(answers).await;
    let size = google(&server, &[]).size("a").await.expect("counted");
    assert_eq!(size, 5000);
}

#[tokio::test]
async fn one_that_breaks_off_is_fetched_again() {
    let body = noise(10_000);
    let Answer::Bytes(whole) = body_of(&body) else {
        panic!("bytes")
    };
    let broken = Answer::Bytes(whole[..5000].to_vec());
    let server = ScriptedHttp::start(vec![broken, body_of(&body)]).await;
    let storage = google(&server, &[]);
    assert!(storage.download("a").await.expect("fetched") == body);
}

#[tokio::test]
async fn its_pieces_are_read_in_one_passage_as_long_as_they_are_in_order() {
    let body = noise(100_000);
    let server = ScriptedHttp::start(vec![head_only(), body_of(&body)]).await;
    let storage = google(&server, &[]);
    let mut source = storage.range_reader("a").await.expect("it is there");
    assert_eq!(source.size(), 100_000);
    for range in [90_000..100_000, 0..10, 10..50_000, 60_000..60_001, 5..7] {
        let piece = source.read(range.clone()).await.expect("fetched");
        assert!(
            piece == body[range.start as usize..range.end as usize],
            "{range:?}"
        );
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 5, "size, count, end, beginning, beginning");
    assert!(heads.iter().all(|head| !head.contains("range:")));
}

#[tokio::test]
async fn one_that_becomes_another_under_way_is_told() {
    let (body, other) = (noise(1000), noise(900));
    let answers = vec![head_only(), body_of(&body), body_of(&other)];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[]);
    let mut source = storage.range_reader("a").await.expect("it is there");
    let error = source.read(0..1000).await.expect_err("it is shorter now");
    assert!(
        matches!(error, Error::ChangedWhileReading { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_limit_holds_for_what_comes() {
    let server = ScriptedHttp::start(vec![head_only(), body_of(&noise(2000))]).await;
    let storage = google(&server, &[("MAX_DOWNLOAD_BYTES", "1999")]);
    let error = storage.size("a").await.expect_err("one byte too many");
    assert_eq!(
        error.to_string(),
        "`a` in gs://b has more bytes than the limit of 1999"
    );
    let error = storage.download("a").await.expect_err("one byte too many");
    assert!(
        matches!(
            error,
            Error::LongerThanLimit {
                limit_bytes: 1999,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_range_without_a_length_has_that_of_the_range() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\netag: \"1\"\r\n\
        last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n\r\n";
    let part = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 10-14/100\r\netag: \"1\"\r\n\
        last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let answers = vec![
        Answer::Bytes(head.as_bytes().to_vec()),
        chunked(part, b"piece"),
    ];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[]);
    let mut source = storage.range_reader("a").await.expect("it is there");
    let piece = source.read(10..15).await.expect("fetched");
    assert_eq!(piece, Bytes::from_static(b"piece"));
}

#[tokio::test]
async fn what_a_store_hands_out_packed_is_unpacked() {
    let body = vec![7; 3 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&body).expect("fits in memory");
    let packed = encoder.finish().expect("fits in memory");
    let head = |length: usize, encoding: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\netag: \"1\"\r\ncontent-encoding: {encoding}\r\n\
            last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n\r\n"
        )
        .into_bytes()
    };
    let answer = |encoding: &str, body: &[u8]| {
        Answer::Bytes([head(body.len(), encoding), body.to_vec()].concat())
    };
    let answers = vec![
        answer("gzip", &packed),
        Answer::Bytes(head(packed.len(), "gzip")),
        answer("gzip", &packed),
        answer("gzip", b"II*\0 not packed at all"),
        answer("aws-chunked", b"as it is"),
        answer("gzip", &packed[..packed.len() / 2]),
        answer("br", b"\x0b\x02\x80abc\x03"),
        Answer::Bytes(head(7, "br")),
        answer("br", b"\x0b\x02\x80abc\x03"),
    ];
    let server = ScriptedHttp::start(answers).await;
    let storage = google(&server, &[]);
    assert!(storage.download("a").await.expect("unpacked") == body);
    assert_eq!(storage.size("a").await.expect("counted"), 3 << 20);
    let plain = storage.download("a").await.expect("as it is");
    assert_eq!(plain, Bytes::from_static(b"II*\0 not packed at all"));
    let plain = storage.download("a").await.expect("as it is");
    assert_eq!(plain, Bytes::from_static(b"as it is"));
    let error = storage.download("a").await.expect_err("half of it");
    assert!(
        error
            .to_string()
            .contains("its Content-Encoding is gzip, but it cannot be unpacked"),
        "{error}"
    );
    let refused = "its Content-Encoding is br, which cannot be unpacked here";
    let error = storage.download("a").await.expect_err("Brotli");
    assert!(error.to_string().contains(refused), "{error}");
    let error = storage.size("a").await.expect_err("Brotli");
    assert!(error.to_string().contains(refused), "{error}");
}
