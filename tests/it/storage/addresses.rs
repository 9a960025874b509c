//! Keys, references and URLs: what names an object, and where results are published.

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::objects::KEYS;
use crate::peers::s3::S3Server;

#[tokio::test]
async fn whatever_its_key_an_object_comes_back_as_it_was_stored() {
    let server = S3Server::start();
    let storage = server.client(&[]);
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
async fn empty_parts_of_a_key_are_kept() {
    let server = S3Server::start();
    let storage = server.client(&[]);
    // What a folder of uploads that ends with a slash makes of a name.
    let url = storage
        .upload("uploads//lab//b.tif", Bytes::from_static(b"pixels"))
        .await
        .expect("stored, and its signature is right");
    for reference in ["uploads//lab//b.tif", &url] {
        let body = storage.download(reference).await.expect("fetched");
        assert_eq!(body, Bytes::from_static(b"pixels"), "{reference}");
    }
    let mut requests = server.faults.requests().into_iter();
    assert!(requests.all(|seen| seen.target == "/test-bucket/uploads//lab//b.tif"));
}

#[tokio::test]
async fn references_outside_the_bucket_make_no_request() {
    let server = S3Server::start();
    let storage = server.client(&[]);
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
    assert!(server.faults.requests().is_empty());
}

#[tokio::test]
async fn results_can_be_published_at_another_address() {
    let server = S3Server::start();
    let storage = server.client(&[("STORAGE_PUBLIC_URL", "https://images.example/results/")]);
    let url = storage
        .upload("output/a b.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    assert_eq!(url, "https://images.example/results/output/a%20b.zip");
    let own = format!("{}/test-bucket/output/a%20b.zip", server.endpoint());
    for reference in [&url, &own] {
        let body = storage.download(reference).await.expect("fetched");
        assert_eq!(body, Bytes::from_static(b"PK"), "{reference}");
    }
}
