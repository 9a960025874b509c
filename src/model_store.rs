//! Where models come from that no folder of this machine has.
//!
//! The module that keeps them and the module that runs them know this trait, and not each other.

use std::path::Path;

use async_trait::async_trait;

use crate::error_class::ErrorClass;

/// Files of models under keys.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Keys that begin with this text, and the bytes under each; no more than `limit` of them.
    ///
    /// # Errors
    /// Why they cannot be listed.
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, StoreError>;

    /// Writes what is under a key into a file, which is new or replaced.
    ///
    /// # Errors
    /// Why it cannot be had, or the file not be written.
    async fn fetch(&self, key: &str, file: &Path) -> Result<(), StoreError>;
}

/// Why a store does not give what it was asked for.
#[derive(Debug)]
pub struct StoreError {
    /// What went wrong.
    pub message: String,
    /// Of what kind it is.
    pub class: ErrorClass,
}
