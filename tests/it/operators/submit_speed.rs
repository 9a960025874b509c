//! How long `submit` takes beside a client that only sends the files. A measurement, which is asked for by name:
//! `cargo test --release --locked --workspace --all-features --test it submit_speed -- --ignored --nocapture`.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::peers::objects::noise_of;
use crate::peers::redis::Redis;
use crate::peers::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

const FILES: u64 = 5000;
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn five_thousand_files_beside_a_minimal_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = folder.path().join("images");
    fs::create_dir(&images).expect("a folder");
    for number in 0..FILES {
        let path = images.join(format!("t{number:04}.tif"));
        fs::write(path, noise_of(number, 500_000)).expect("a file");
    }
    let redis = Redis::start_in_memory();
    for round in 0..2 {
        let bucket = S3Server::start();
        let minimal = minimal_client(&bucket, &images).await;
        drop(bucket);
        let bucket = S3Server::start();
        let own = own_client(&bucket, &redis, &images, &format!("q{round}"));
        println!(
            "minimal {minimal:.1} s, submit {own:.1} s, ratio {:.2}",
            own / minimal
        );
    }
}

async fn minimal_client(bucket: &S3Server, images: &std::path::Path) -> f64 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store: Arc<dyn ObjectStore> = Arc::new(
        AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_endpoint(bucket.endpoint())
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_allow_http(true)
            .build()
            .expect("a client"),
    );
    let begun = Instant::now();
    let mut files: Vec<_> = fs::read_dir(images)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let sending = files.into_iter().map(|path| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let body = tokio::fs::read(&path).await.expect("a file");
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let key = Path::from(format!("uploads/minimal/{name}"));
            store.put(&key, body.into()).await.expect("it is stored");
        })
    });
    let mut sent = stream::iter(sending).buffer_unordered(AT_ONCE);
    while let Some(sent) = sent.next().await {
        sent.expect("it ends");
    }
    begun.elapsed().as_secs_f64()
}

fn own_client(bucket: &S3Server, redis: &Redis, images: &std::path::Path, queue: &str) -> f64 {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(["submit", "--queue", queue, "--quiet"])
        .arg(images)
        .env_clear()
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis.port().to_string())
        .env("STORAGE_ACL", "none")
        .envs(bucket.environment())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(redis.ask::<u64>(&["LLEN", queue]), FILES);
    begun.elapsed().as_secs_f64()
}
