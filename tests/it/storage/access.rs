//! Whether the store lets a request pass: credentials, signatures, access lists and content types.

use bytes::Bytes;
use redis_consumer::storage::Error;

use crate::peers::s3::{self, S3Server};
use crate::peers::scripted_http::{ScriptedHttp, answer};

#[tokio::test]
async fn uploads_name_their_content_type_and_no_access_list_by_default() {
    let server = S3Server::start();
    server
        .client(&[])
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    let requests = server.faults.requests();
    assert_eq!(requests[0].target, "/test-bucket/output/a.zip");
    assert_eq!(requests[0].headers["content-type"], "application/zip");
    assert!(!requests[0].headers.contains_key("x-amz-acl"));
}

#[tokio::test]
async fn an_access_list_is_part_of_the_signature() {
    let server = S3Server::start();
    let storage = server.client(&[("STORAGE_ACL", "publicRead")]);
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("the server accepts the signature");
    storage.download("output/a.zip").await.expect("fetched");
    let requests = server.faults.requests();
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
    let storage = server.client(&[("AWS_SECRET_ACCESS_KEY", "wrong")]);
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
    assert_eq!(server.faults.methods(), ["GET", "PUT"], "a denial is final");
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
    let storage = server.client(&[
        ("AWS_ACCESS_KEY_ID", "NA"),
        ("AWS_SECRET_ACCESS_KEY", "NA"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &platform.endpoint),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.path().to_str().expect("plain"),
        ),
    ]);
    storage
        .upload("output/a.zip", Bytes::from_static(b"PK"))
        .await
        .expect("stored");
    assert_eq!(platform.heads().len(), 3);
    assert!(platform.heads()[0].contains("my-token"));
    assert_eq!(server.faults.methods(), ["PUT"]);
}
