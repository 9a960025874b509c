//! A folder as a bucket.

use std::ops::Add as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use redis_consumer::storage::Error;
use rustix::fs::{CWD, FileType, Mode};

use crate::peers::objects::{KEYS, folder, noise, open, write};

#[tokio::test]
async fn a_folder_serves_as_a_bucket() {
    let parent = tempfile::tempdir().expect("a folder");
    let root = parent.path().join("my data");
    let storage = folder(&root);
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
            "`a#1` does not name an object in the storage folder: a folder cannot hold a file of this name",
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
            "longer than a file name can be",
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
async fn a_folder_shows_a_file_that_is_written_piece_by_piece_when_it_is_whole() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
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
async fn a_file_is_replaced_in_one_step() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
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
async fn names_that_no_file_can_have_are_wrong_input() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
    storage.upload("file", Bytes::new()).await.expect("stored");
    let long = "é".repeat(200);
    for key in [&*long, &format!("{long}/a"), &"a/".repeat(5000).add("b")] {
        for error in [
            storage.download(key).await.map(drop),
            storage.size(key).await.map(drop),
            storage.upload(key, Bytes::new()).await.map(drop),
            write(&storage, key, &noise(9 << 20)).await.map(drop),
        ] {
            let error = error.expect_err("too long");
            assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
        }
    }
    let error = storage.download("file/a").await.expect_err("no folder");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = storage.upload("file/a", Bytes::new()).await;
    let error = error.expect_err("no folder");
    assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
}

#[tokio::test]
async fn empty_parts_of_a_key_are_none_of_a_path() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
    let body = Bytes::from_static(b"pixels");
    storage
        .upload("uploads/a", body.clone())
        .await
        .expect("stored");
    assert_eq!(storage.download("uploads//a").await.expect("fetched"), body);
}

#[tokio::test]
async fn links_that_lead_out_are_not_followed() {
    let (root, outside) = (tempfile::tempdir(), tempfile::tempdir());
    let (root, outside) = (root.expect("a folder"), outside.expect("a folder"));
    let storage = folder(root.path());
    std::fs::write(outside.path().join("secret"), "secret").expect("written");
    storage
        .upload("inside/a", Bytes::from_static(b"pixels"))
        .await
        .expect("stored");
    let link = |to: &Path, name: &str| symlink(to, root.path().join(name)).expect("a link");
    link(outside.path(), "folder");
    link(&outside.path().join("secret"), "file");
    link(&outside.path().join("gone"), "gone");
    link(&root.path().join("inside"), "same");
    for key in ["folder/secret", "file"] {
        for error in [
            storage.download(key).await.map(drop),
            storage.size(key).await.map(drop),
            storage.range_reader(key).await.map(drop),
            storage.upload(key, Bytes::new()).await.map(drop),
            write(&storage, key, &noise(9 << 20)).await.map(drop),
        ] {
            let error = error.expect_err("it leads out");
            assert_eq!(
                error.to_string(),
                format!(
                    "`{key}` does not name an object in the storage folder: a symbolic link leads out of the folder"
                )
            );
        }
    }
    let error = storage.upload("folder/new/a", Bytes::new()).await;
    error.expect_err("it would be written outside");
    assert!(!outside.path().join("new").exists());
    let error = storage.download("gone").await.expect_err("nothing there");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let inside = storage.download("same/a").await.expect("it stays inside");
    assert_eq!(inside, Bytes::from_static(b"pixels"));
}

#[tokio::test]
async fn what_never_ends_is_not_opened() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
    let pipe = root.path().join("pipe");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, mode, 0).expect("a pipe");
    let socket = root.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for key in ["pipe", "socket"] {
        let error = storage.download(key).await.expect_err("no file");
        assert_eq!(
            error.to_string(),
            format!(
                "`{key}` does not name an object in the storage folder: it is not a regular file"
            )
        );
        assert!(matches!(error, Error::InvalidReference { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_nobody_needs_is_removed() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = folder(root.path());
    for key in ["a/1", "a/2", "b"] {
        storage.upload(key, Bytes::new()).await.expect("stored");
    }
    let keys = ["a/1", "a/2", "gone", "../x"].map(str::to_owned);
    storage.remove(keys.into()).await;
    assert!(!root.path().join("a/1").exists() && !root.path().join("a/2").exists());
    assert!(root.path().join("b").exists());
}
