//! What is known of models: for a while in memory, and in a cache that consumers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::model::{ModelId, Signature};
use crate::shared_cache::SharedCache;

/// The metadata of models, each trusted for a while.
pub(super) struct MetadataCache {
    shared: Option<Arc<dyn SharedCache>>,
    lifetime: Duration,
    known: Mutex<HashMap<ModelId, Known>>,
}

struct Known {
    since: Instant,
    signature: Arc<Signature>,
}

impl MetadataCache {
    /// A cache that knows nothing yet but what others have put into `shared`.
    pub(super) fn new(shared: Option<Arc<dyn SharedCache>>, lifetime: Duration) -> Self {
        Self {
            shared,
            lifetime,
            known: Mutex::default(),
        }
    }

    /// What a model takes, as long as that is known here or to other consumers.
    pub(super) async fn get(&self, model: &ModelId) -> Option<Arc<Signature>> {
        if let Some(signature) = self.remembered(model) {
            return Some(signature);
        }
        let text = self.shared.as_ref()?.get(&model.to_string()).await?;
        match Signature::from_json(&text) {
            Ok(signature) => Some(self.remember(model, signature)),
            Err(error) => {
                tracing::warn!(%model, %error, "ignoring invalid cached model metadata");
                None
            }
        }
    }

    /// Keeps what a server has said, for other consumers too.
    pub(super) async fn put(&self, model: &ModelId, signature: Signature) -> Arc<Signature> {
        if let Some(shared) = &self.shared {
            let (key, text) = (model.to_string(), signature.to_json());
            shared.put(&key, &text, self.lifetime).await;
        }
        self.remember(model, signature)
    }

    /// The models that something has been known of.
    pub(super) fn models(&self) -> Vec<ModelId> {
        self.known().keys().cloned().collect()
    }

    fn remembered(&self, model: &ModelId) -> Option<Arc<Signature>> {
        let known = self.known();
        let Known { since, signature } = known.get(model)?;
        (since.elapsed() < self.lifetime).then(|| Arc::clone(signature))
    }

    fn remember(&self, model: &ModelId, signature: Signature) -> Arc<Signature> {
        let signature = Arc::new(signature);
        let known = Known {
            since: Instant::now(),
            signature: Arc::clone(&signature),
        };
        self.known().insert(model.clone(), known);
        signature
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ModelId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
