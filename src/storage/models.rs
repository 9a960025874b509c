//! Models in the bucket.

use std::path::Path;

use async_trait::async_trait;

use super::client::Storage;
use super::error::Error;
use crate::error_class::{Classify as _, ErrorClass};
use crate::model_store::{ModelStore, StoreError};

#[async_trait]
impl ModelStore for Storage {
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, StoreError> {
        let mut listing = self.listing(prefix);
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(page) = listing.next_page().await.map_err(store_error)?
        {
            found.extend(page.into_iter().map(|it| (it.key, it.size_bytes)));
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn fetch(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        let fetched = self.download_to(key, file).await;
        fetched.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => store_error(error),
            Err(error) => StoreError {
                message: format!("{} cannot be written: {error}", file.display()),
                class: ErrorClass::Internal,
            },
        })
    }
}

fn store_error(error: Error) -> StoreError {
    StoreError {
        class: error.class(),
        message: error.to_string(),
    }
}
