//! The cache of model metadata that all consumers of a Kiosk share: hash `<model>:<version>`, field `metadata`.

use std::time::Duration;

use async_trait::async_trait;

use super::client::Queue;
use crate::shared_cache::SharedCache;

/// Reads and writes the shared metadata cache.
#[derive(Clone)]
pub struct MetadataStore {
    queue: Queue,
}

impl Queue {
    /// A store for model metadata on the same server.
    pub fn metadata_store(&self) -> MetadataStore {
        MetadataStore {
            queue: self.clone(),
        }
    }
}

#[async_trait]
impl SharedCache for MetadataStore {
    /// The cached text of a model such as `NuclearSegmentation:6`, if there is one.
    async fn get(&self, model: &str) -> Option<String> {
        self.queue
            .inner
            .commands
            .command(&redis::Cmd::hget(model, "metadata"))
            .await
            .ok()?
    }

    /// Caches a text for a while. A failure only costs the next reader a question to the model server.
    async fn put(&self, model: &str, metadata: &str, lifetime: Duration) {
        let mut both = redis::cmd("EVAL");
        both.arg("redis.call('HSET', KEYS[1], 'metadata', ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[2])");
        both.arg(1)
            .arg(model)
            .arg(metadata)
            .arg(lifetime.as_secs().max(1));
        if let Err(error) = self.queue.inner.commands.command::<()>(&both).await {
            tracing::debug!(model.name = model, error = %error, "could not cache the model's metadata");
        }
    }
}
