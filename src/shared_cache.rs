//! A cache that several processes share.
//!
//! The module that keeps it and the module that uses it know this trait, and not each other.

use std::time::Duration;

use async_trait::async_trait;

/// Texts under keys, each kept for a while. It never fails: a cache that is out of order is empty.
#[async_trait]
pub trait SharedCache: Send + Sync {
    /// The text under this key, if it is still there.
    async fn get(&self, key: &str) -> Option<String>;

    /// Keeps a text under this key for so long.
    async fn put(&self, key: &str, text: &str, lifetime: Duration);
}
