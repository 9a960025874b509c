//! A folder as a bucket.

use std::time::Duration;

use bytes::Bytes;

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
