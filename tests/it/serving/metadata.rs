//! What models say of themselves, and who remembers it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use redis_consumer::serving::{Client, Input, Method, Signature};
use redis_consumer::shared_cache::SharedCache;

use super::{client, is_right, model, predict, server, settings};

/// A cache that keeps one text and notes what it is asked to keep.
#[derive(Default)]
struct Shared {
    kept: Option<String>,
    put: Mutex<Vec<(String, String, Duration)>>,
}

#[async_trait]
impl SharedCache for Shared {
    async fn get(&self, _: &str) -> Option<String> {
        self.kept.clone()
    }

    async fn put(&self, key: &str, text: &str, lifetime: Duration) {
        self.put
            .lock()
            .expect("no panic")
            .push((key.to_owned(), text.to_owned(), lifetime));
    }
}

#[tokio::test]
async fn shared_metadata_are_trusted_without_asking_the_server() {
    let server = server().await;
    let kept = Some(Signature::new(vec![Input::float("image", &[-1, 2, 2, 1])]).to_json());
    let cache = Arc::new(Shared {
        kept,
        ..Shared::default()
    });
    let client = Client::new(
        settings("127.0.0.1", server.address().port(), &[]),
        Some(cache.clone()),
    );
    is_right(&predict(&client).await.expect("a prediction"));
    assert_eq!(server.faults().calls(Method::Metadata), 0);
    assert!(cache.put.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn metadata_of_the_server_are_shared_and_a_spoilt_cache_is_passed_over() {
    let server = server().await;
    for kept in [None, Some("{".to_owned())] {
        let cache = Arc::new(Shared {
            kept,
            ..Shared::default()
        });
        let settings = settings(
            "127.0.0.1",
            server.address().port(),
            &[("METADATA_EXPIRE_TIME", "7")],
        );
        Client::new(settings, Some(cache.clone()))
            .signature(&model())
            .await
            .expect("the server's");
        let json = Signature::new(vec![Input::float("image", &[-1, 2, 2, 1])]).to_json();
        assert_eq!(
            *cache.put.lock().expect("no panic"),
            [("Halves:3".to_owned(), json, Duration::from_secs(7))]
        );
    }
}

#[tokio::test]
async fn metadata_are_remembered_until_they_expire() {
    let server = server().await;
    let (long, short) = (
        client(&server, &[]),
        client(&server, &[("METADATA_EXPIRE_TIME", "0")]),
    );
    for _ in 0..3 {
        predict(&long.clone()).await.expect("a prediction");
    }
    assert_eq!(server.faults().calls(Method::Metadata), 1);
    for _ in 0..3 {
        predict(&short).await.expect("a prediction");
    }
    assert_eq!(server.faults().calls(Method::Metadata), 4);
}
