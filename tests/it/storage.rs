//! Storage against a real S3 server, a stand-in for Google's, and a folder.

use std::time::Duration;

use bytes::Bytes;
use redis_consumer::settings::{Env, Loader};
use redis_consumer::storage::{Error, ObjectWriter, Storage, StorageSettings};

use crate::peers::s3::{self, Fault, S3Server};
use crate::peers::scripted_http::{Answer, ScriptedHttp, answer};

/// Keys as users make them.
const KEYS: [&str; 7] = [
    "output/0123456789abcdef.zip",
    "uploads/my cells.tif",
    "uploads/100%25.tif",
    "uploads/50% off?.tif",
    "uploads/Zellkern-ü 細胞.tif",
    "output/a,b;c:d+e=f&g@h!'(i)*~[j].csv",
    "single",
];

fn open(pairs: &[(&str, &str)]) -> Storage {
    open_env(pairs.iter().copied().collect())
}

/// A client of this server, with short pauses and these variables as well.
fn client(server: &S3Server, pairs: &[(&str, &str)]) -> Storage {
    let own = server.environment().into_iter().chain(quick());
    open_env(
        own.chain(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
        .collect(),
    )
}

fn quick() -> Vec<(String, String)> {
    [
        ("STORAGE_MAX_BACKOFF", "0.01"),
        ("STORAGE_RETRY_TIMEOUT", "30"),
    ]
    .map(|(a, b)| (a.to_owned(), b.to_owned()))
    .into()
}

fn open_env(env: Env) -> Storage {
    let mut loader = Loader::new(&env);
    let settings = StorageSettings::load(&mut loader);
    loader.finish().expect("usable settings");
    Storage::open(&settings).expect("a client")
}

/// Bytes that do not repeat for a while.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Puts an object together from many pieces.
async fn write(storage: &Storage, key: &str, body: &[u8]) -> Result<String, Error> {
    let mut upload = storage.object_writer(key)?;
    for piece in body.chunks(700_001) {
        upload.write(piece).await?;
    }
    upload.finish().await
}

fn methods(server: &S3Server) -> Vec<String> {
    server
        .requests()
        .into_iter()
        .map(|seen| seen.method)
        .collect()
}

#[tokio::test]
async fn whatever_its_key_an_object_comes_back_as_it_was_stored() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
    for key in KEYS {
        let body = Bytes::from(format!("the pixels of {key}"));
        let url = storage.upload(key, body.clone()).await.expect("stored");
        assert_eq!(url, storage.public_url(key));
        assert_eq!(url, storage.public_url(&format!("/{key}")));
        assert_eq!(storage.download(key).await.expect("fetched"), body, "{key}");
        assert_eq!(
            storage.download(&url).await.expect("fetched by URL"),
            body,
            "{url}"
        );
        assert_eq!(
            storage
                .download(&format!("/{key}"))
                .await
                .expect("fetched with a slash"),
            body,
            "{key}"
        );
        assert_eq!(
            std::fs::read(server.folder().join(key)).expect("a file of that very name"),
            body
        );
    }
}

#[tokio::test]
async fn empty_and_large_objects_survive_the_journey() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
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
async fn uploads_name_their_content_type_and_no_access_list_by_default() {
    let server = S3Server::start();
    client(&server, &[])
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    let requests = server.requests();
    assert_eq!(requests[0].target, "/test-bucket/output/a.zip");
    assert_eq!(requests[0].headers["content-type"], "application/zip");
    assert!(!requests[0].headers.contains_key("x-amz-acl"));
}

#[tokio::test]
async fn an_access_list_is_part_of_the_signature() {
    let server = S3Server::start();
    let storage = client(&server, &[("STORAGE_ACL", "publicRead")]);
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("the server accepts the signature");
    storage.download("output/a.zip").await.expect("fetched");
    let requests = server.requests();
    assert_eq!(requests[0].headers["x-amz-acl"], "public-read");
    let (_, signed) = requests[0].headers["authorization"]
        .split_once("SignedHeaders=")
        .expect("a signature");
    let signed = signed.split(',').next().expect("a list");
    assert!(
        signed.split(';').any(|name| name == "x-amz-acl"),
        "{signed}"
    );
    assert!(
        !requests[1].headers.contains_key("x-amz-acl"),
        "a download asks for no access list"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_denied_at_once() {
    let server = S3Server::start();
    let storage = client(&server, &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    let error = storage
        .download("uploads/a.tif")
        .await
        .expect_err("the signature is wrong");
    assert!(
        matches!(&error, Error::PermissionDenied { key, .. } if key == "uploads/a.tif"),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("SignatureDoesNotMatch"),
        "{error}"
    );
    let error = storage
        .upload("output/a.zip", Bytes::new())
        .await
        .expect_err("the signature is wrong");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    assert_eq!(methods(&server), ["GET", "PUT"], "a denial is final");
}

#[tokio::test]
async fn a_missing_object_is_missing_at_once() {
    let server = S3Server::start();
    let error = client(&server, &[])
        .download("uploads/gone.tif")
        .await
        .expect_err("there is none");
    assert!(matches!(&error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "`uploads/gone.tif` is not in s3://test-bucket"
    );
    assert_eq!(methods(&server), ["GET"]);
}

#[tokio::test]
async fn a_busy_or_rude_server_is_asked_again_until_it_answers() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
    let faults = [429, 500, 502, 503, 504]
        .map(Fault::Status)
        .into_iter()
        .chain([Fault::HangUp]);
    for fault in faults {
        let before = server.requests().len();
        server.fail_next(2, fault);
        storage
            .upload("output/a.zip", Bytes::from_static(b"PK"))
            .await
            .expect("stored in the end");
        server.fail_next(2, fault);
        assert_eq!(
            storage
                .download("output/a.zip")
                .await
                .expect("fetched in the end")
                .as_ref(),
            b"PK"
        );
        assert_eq!(
            methods(&server)[before..],
            ["PUT", "PUT", "PUT", "GET", "GET", "GET"],
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn other_refusals_are_final_and_carry_the_word_of_the_store() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
    for status in [400, 405, 409, 501] {
        server.fail_next(1, Fault::Status(status));
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
    assert_eq!(methods(&server), ["PUT"; 4]);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up() {
    let server = S3Server::start();
    server.fail_for(Duration::from_secs(3600), Fault::Status(503));
    let storage = client(&server, &[("STORAGE_RETRY_TIMEOUT", "1")]);
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
    assert_eq!(*attempts as usize, server.requests().len());
    assert!(*attempts > 1, "it was asked again");
    assert_eq!(reason, "HTTP 503 InjectedFault");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_given_up_with_the_cause() {
    let server = S3Server::start();
    let storage = client(
        &server,
        &[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("STORAGE_RETRY_TIMEOUT", "0.05"),
        ],
    );
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
    let storage = client(&server, &[("STORAGE_STALL_TIMEOUT", "0.3")]);
    server.fail_next(1, Fault::Silence);
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored by a later attempt");
    server.fail_next(1, Fault::Silence);
    storage
        .download("output/a.zip")
        .await
        .expect("fetched by a later attempt");
    // A loaded machine may need more than the two attempts each.
    let methods = methods(&server);
    assert!(
        methods.starts_with(&["PUT", "PUT"].map(str::to_owned))
            && methods.ends_with(&["GET", "GET"].map(str::to_owned))
    );
}

#[tokio::test]
async fn nobody_is_asked_again_once_the_caller_has_left() {
    let server = S3Server::start();
    server.fail_for(Duration::from_secs(3600), Fault::Status(503));
    let storage = client(&server, &[]);
    let caller = tokio::spawn(async move { storage.download("uploads/a.tif").await });
    while server.requests().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    caller.abort();
    assert!(caller.await.expect_err("it was aborted").is_cancelled());
    let asked = server.requests().len();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        server.requests().len() <= asked + 1,
        "at most the request that was under way arrives"
    );
}

#[tokio::test]
async fn an_object_above_the_limit_is_refused_unread() {
    let server = S3Server::start();
    let storage = client(&server, &[("MAX_DOWNLOAD_BYTES", "1000")]);
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
    let storage = open(&[
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", &server.endpoint),
    ]);
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

#[tokio::test]
async fn references_outside_the_bucket_make_no_request() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
    for reference in [
        "../x",
        "s3://other/x",
        "https://evil.example/test-bucket/x",
        "",
    ] {
        let error = storage.download(reference).await.expect_err("refused");
        assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
        let error = storage
            .upload("a/../../x", Bytes::new())
            .await
            .expect_err("refused");
        assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_container_gets_its_keys_from_its_platform_and_again_if_that_fails() {
    let server = S3Server::start();
    let keys = format!(
        r#"{{"AccessKeyId":"{}","SecretAccessKey":"{}","Token":"t","Expiration":"2999-01-01T00:00:00Z","RoleArn":"r"}}"#,
        s3::ACCESS_KEY,
        s3::SECRET_KEY
    );
    let platform = ScriptedHttp::start(vec![
        answer("500 Oops", "", ""),
        answer("404 Not Found", "", ""),
        answer("200 OK", "", &keys),
    ])
    .await;
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "my-token").expect("written");
    let storage = client(
        &server,
        &[
            ("AWS_ACCESS_KEY_ID", "NA"),
            ("AWS_SECRET_ACCESS_KEY", "NA"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &platform.endpoint),
            (
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                token.path().to_str().expect("plain"),
            ),
        ],
    );
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    assert_eq!(platform.heads().len(), 3);
    assert!(platform.heads()[0].contains("my-token"));
    assert_eq!(methods(&server), ["PUT"]);
}

#[tokio::test]
async fn google_gets_a_public_object_of_the_right_type() {
    let stored = answer("200 OK", "etag: \"1\"\r\nx-goog-generation: 1\r\n", "");
    let server = ScriptedHttp::start(vec![stored]).await;
    let pairs = [
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", server.endpoint.as_str()),
    ];
    open(&pairs)
        .upload("output/my cells.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    open(&[pairs[0], pairs[1], ("STORAGE_ACL", "none")])
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
    let emulator = [
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", server.endpoint.as_str()),
    ];
    let storage = open(&[emulator[0], emulator[1], ("STORAGE_MAX_BACKOFF", "0.01")]);
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

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_is_fetched_again() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n\r\n";
    let answers = vec![
        Answer::Bytes(format!("{head}pix").into_bytes()),
        Answer::ThenSilence(format!("{head}pixe").into_bytes()),
        Answer::Bytes(format!("{head}pixels").into_bytes()),
    ];
    let server = ScriptedHttp::start(answers).await;
    let storage = open(&[
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", &server.endpoint),
        ("STORAGE_MAX_BACKOFF", "0.01"),
        ("STORAGE_STALL_TIMEOUT", "0.3"),
    ]);
    assert_eq!(
        storage.download("a").await.expect("fetched").as_ref(),
        b"pixels"
    );
    assert!(server.heads().len() >= 3);
}

#[tokio::test]
async fn an_object_is_read_piece_by_piece() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    let body = noise(100_000);
    for storage in [client(&server, &[]), open(&[("STORAGE_BUCKET", &url)])] {
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
    let storage = client(
        &server,
        &[
            ("STORAGE_STALL_TIMEOUT", "0.3"),
            ("MAX_DOWNLOAD_BYTES", "10"),
        ],
    );
    storage
        .upload("a", Bytes::from_static(b"0123456789"))
        .await
        .expect("stored");
    let mut source = storage.range_reader("a").await.expect("it is there");
    for fault in [Fault::Status(503), Fault::HangUp, Fault::Silence] {
        server.fail_next(2, fault);
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
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    for storage in [client(&server, &[]), open(&[("STORAGE_BUCKET", &url)])] {
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

#[tokio::test]
async fn large_objects_go_up_in_parts_and_small_ones_at_once() {
    let server = S3Server::start();
    let storage = client(&server, &[]);
    for (size, expected) in [
        (0, vec!["PUT"]),
        (8 << 20, vec!["PUT"]),
        (20_000_000, vec!["POST", "PUT", "PUT", "PUT", "POST"]),
    ] {
        let before = server.requests().len();
        let body = noise(size);
        let url = write(&storage, "output/a.zip", &body)
            .await
            .expect("stored");
        assert_eq!(url, storage.public_url("output/a.zip"));
        assert_eq!(methods(&server)[before..], expected, "{size} bytes");
        assert_eq!(
            server.requests()[before].headers["content-type"],
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
    let storage = client(&server, &[("STORAGE_ACL", "publicRead")]);
    write(&storage, "output/a.zip", &noise(9 << 20))
        .await
        .expect("the server accepts the signatures");
    let lists: Vec<_> = server
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
    let storage = client(&server, &[("STORAGE_STALL_TIMEOUT", "2")]);
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
            let mut left = 1;
            server.fail_if(fault, move |seen| {
                let hit = left > 0 && seen.is(method, target);
                left -= usize::from(hit);
                hit
            });
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
    let storage = client(&server, &[]);
    storage
        .upload("output/a.zip", Bytes::from_static(b"old"))
        .await
        .expect("stored");
    let body = noise(17 << 20);

    for (method, target) in [("PUT", "partNumber=2"), ("POST", "uploadId=")] {
        server.fail_if(Fault::Status(403), move |seen| seen.is(method, target));
        let error = write(&storage, "output/a.zip", &body)
            .await
            .expect_err("refused");
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    }
    server.fail_if(Fault::Status(404), |seen| seen.is("PUT", "partNumber=1"));
    let error = write(&storage, "output/a.zip", &body)
        .await
        .expect_err("the store has forgotten the upload");
    assert!(matches!(error, Error::Other { .. }), "{error:?}");

    server.fail_if(Fault::Silence, |seen| seen.is("PUT", "partNumber=2"));
    let writing = tokio::spawn({
        let storage = storage.clone();
        async move { write(&storage, "output/a.zip", &body).await }
    });
    while !server
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

#[tokio::test]
async fn google_gets_large_objects_in_parts() {
    let begun = answer(
        "200 OK",
        "",
        "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
    );
    let part = answer("200 OK", "etag: \"p\"\r\n", "");
    let failed = answer("200 OK", "", "<Error><Code>InternalError</Code></Error>");
    let whole = answer(
        "200 OK",
        "x-goog-generation: 1\r\n",
        "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
    );
    let server = ScriptedHttp::start(vec![
        begun.clone(),
        part.clone(),
        part.clone(),
        failed,
        whole,
    ])
    .await;
    let emulator = [
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", server.endpoint.as_str()),
    ];
    let storage = open(&[emulator[0], emulator[1], ("STORAGE_MAX_BACKOFF", "0.01")]);
    write(&storage, "output/a.zip", &noise(9 << 20))
        .await
        .expect("stored");
    let heads = server.heads();
    let first: Vec<_> = heads
        .iter()
        .map(|head| head.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let object = "/b/output%2Fa%2Ezip";
    assert_eq!(first[0], format!("POST {object}?uploads="));
    assert!(
        heads[0].contains("x-goog-acl: public-read")
            && heads[0].contains("content-type: application/zip")
    );
    assert!(
        first[1].starts_with(&format!("PUT {object}?partNumber=")),
        "{first:?}"
    );
    assert_eq!(
        first[3..],
        [
            format!("POST {object}?uploadId=u1"),
            format!("POST {object}?uploadId=u1")
        ]
    );
    assert!(
        heads[1..].iter().all(|head| !head.contains("x-goog-acl")),
        "{heads:?}"
    );

    // The parts are put together, and the answer is lost.
    let lost = Answer::Bytes(Vec::new());
    let forgotten = answer(
        "404 Not Found",
        "",
        "<Error><Code>NoSuchUpload</Code></Error>",
    );
    for (size, is_ours) in [(9 << 20, true), (1 << 20, false)] {
        let head =
            "etag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nconnection: close\r\n";
        let there = Answer::Bytes(
            format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{head}\r\n").into_bytes(),
        );
        let answers = vec![
            begun.clone(),
            part.clone(),
            part.clone(),
            lost.clone(),
            forgotten.clone(),
            there,
        ];
        let server = ScriptedHttp::start(answers).await;
        let emulator = [
            ("STORAGE_BUCKET", "gs://b"),
            ("STORAGE_EMULATOR_HOST", server.endpoint.as_str()),
        ];
        let storage = open(&[emulator[0], emulator[1], ("STORAGE_MAX_BACKOFF", "0.01")]);
        let stored = write(&storage, "output/a.zip", &noise(9 << 20)).await;
        assert_eq!(stored.is_ok(), is_ours, "{stored:?}");
        assert!(
            server.heads()[5].starts_with(&format!("HEAD {object} ")),
            "{:?}",
            server.heads()
        );
    }
}

#[tokio::test]
async fn a_folder_shows_a_file_that_is_written_piece_by_piece_when_it_is_whole() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = open(&[(
        "STORAGE_BUCKET",
        &format!("file://{}", root.path().display()),
    )]);
    let names = || {
        let entries = std::fs::read_dir(root.path()).expect("a folder");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("plain")
            })
            .collect::<Vec<_>>()
    };
    let body = noise(20_000_000);
    write(&storage, "x", &body).await.expect("stored");
    assert_eq!(
        (
            std::fs::read(root.path().join("x")).expect("a file") == body,
            names().len()
        ),
        (true, 1)
    );

    let mut upload = storage.object_writer("x").expect("a good key");
    upload.write(&body).await.expect("written");
    assert_eq!(names().len(), 2, "the old one, and what is to replace it");
    assert!(storage.download("x").await.expect("fetched") == body);
    drop(upload);
    while names() != ["x"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(storage.object_writer("../x").is_err());
    let error = write(&storage, "x/y", &body)
        .await
        .expect_err("x is a file");
    assert!(
        !error.to_string().contains(&*root.path().to_string_lossy()),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_serves_as_a_bucket() {
    let parent = tempfile::tempdir().expect("a folder");
    let root = parent.path().join("my data");
    let url = format!("file://{}", root.display());
    let storage = open(&[("STORAGE_BUCKET", &url)]);
    for key in KEYS {
        let body = Bytes::from(key);
        let url = storage.upload(key, body.clone()).await.expect("stored");
        assert!(url.starts_with("file:///") && !url.contains(' '), "{url}");
        assert_eq!(storage.download(key).await.expect("fetched"), body);
        assert_eq!(storage.download(&url).await.expect("fetched by URL"), body);
        assert_eq!(
            std::fs::read(root.join(key)).expect("a file of that very name"),
            body
        );
    }
}

#[tokio::test]
async fn a_folder_has_the_same_errors_and_names_no_path_in_them() {
    let root = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", root.path().display());
    let storage = open(&[("STORAGE_BUCKET", &url), ("MAX_DOWNLOAD_BYTES", "10")]);
    storage
        .upload("folder/large", Bytes::from(vec![0; 11]))
        .await
        .expect("stored");
    let errors = [
        (
            storage.download("gone").await,
            "`gone` is not in the storage folder",
        ),
        (
            storage.download("folder").await,
            "`folder` is not in the storage folder",
        ),
        (storage.download("folder/large").await, "11 bytes"),
        (storage.download("folder/large/x").await, "`folder/large/x`"),
        (
            storage.download("../x").await,
            "`../x` does not name an object in the storage folder",
        ),
        (
            storage.download("a#1").await,
            "request for `a#1` in the storage folder failed",
        ),
        (
            storage
                .upload("folder/large/x", Bytes::new())
                .await
                .map(Bytes::from),
            "`folder/large/x`",
        ),
        (
            storage
                .upload(&"x".repeat(300), Bytes::new())
                .await
                .map(Bytes::from),
            "failed",
        ),
    ];
    for (result, expected) in errors {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(
            !message.contains(&*root.path().to_string_lossy()),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_file_is_replaced_in_one_step() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = open(&[(
        "STORAGE_BUCKET",
        &format!("file://{}", root.path().display()),
    )]);
    let bodies = [
        Bytes::from(vec![b'a'; 1 << 20]),
        Bytes::from(vec![b'b'; 2 << 20]),
    ];
    storage
        .upload("x", bodies[0].clone())
        .await
        .expect("stored");
    let writer = tokio::spawn({
        let (storage, bodies) = (storage.clone(), bodies.clone());
        async move {
            for turn in 0..40 {
                storage
                    .upload("x", bodies[turn % 2].clone())
                    .await
                    .expect("stored");
            }
        }
    });
    while !writer.is_finished() {
        let read = storage.download("x").await.expect("fetched");
        assert!(
            bodies.contains(&read),
            "{} bytes of a half-written file",
            read.len()
        );
    }
    writer.await.expect("no panic");
    assert_eq!(
        std::fs::read_dir(root.path()).expect("a folder").count(),
        1,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn results_can_be_published_at_another_address() {
    let server = S3Server::start();
    let storage = client(
        &server,
        &[("STORAGE_PUBLIC_URL", "https://images.example/results/")],
    );
    let url = storage
        .upload("output/a b.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    assert_eq!(url, "https://images.example/results/output/a%20b.zip");
}
