//! What every provider makes: a client for its bucket. No request is made in here.

use std::sync::Arc;
use std::time::Duration;

use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::super::transport::{Connector, Dialect};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Anything that keeps a client from being made.
pub(in super::super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client for a bucket.
#[derive(Clone)]
pub(in super::super) struct Store {
    pub(in super::super) objects: Arc<dyn ObjectStore>,
    /// The same client, for objects that are put together from parts. Folders have other means.
    pub(in super::super) parts: Option<Arc<dyn MultipartStore>>,
    /// The same client, for listings page by page. Folders have other means.
    pub(in super::super) pages: Option<Arc<dyn PaginatedListStore>>,
}

impl Store {
    pub(super) fn cloud(client: impl ObjectStore + MultipartStore + PaginatedListStore) -> Self {
        let client = Arc::new(client);
        Self {
            objects: Arc::clone(&client) as Arc<dyn ObjectStore>,
            parts: Some(Arc::clone(&client) as Arc<dyn MultipartStore>),
            pages: Some(client),
        }
    }
}

/// What uploads and connections to a cloud have in common, whichever cloud it is.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct CloudOptions<'s> {
    /// How long a server may say nothing before an attempt counts as failed.
    pub(in super::super) stall_timeout: Duration,
    /// Predefined access list of every upload.
    pub(in super::super) acl: Option<&'s str>,
}

impl CloudOptions<'_> {
    pub(super) fn connector(&self, endpoint: &str, dialect: impl Dialect) -> Connector {
        Connector {
            authority: authority(endpoint).to_owned(),
            stall_timeout: self.stall_timeout,
            dialect: Arc::new(dialect),
        }
    }
}

/// `host[:port]` of a web address.
fn authority(endpoint: &str) -> &str {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// No limit on a whole transfer, which may be large: silence is limited instead, in `transport` and while reading.
pub(super) fn client_options(endpoint: &str) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.starts_with("http:"))
}

/// The client itself never retries: `retry` does.
pub(super) fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use object_store::client::HttpRequest;

    /// A request without a body.
    pub(crate) fn request(method: &str, target: &str) -> HttpRequest {
        let (mut head, body) = HttpRequest::new(Vec::new().into()).into_parts();
        head.method = method.parse().expect("a method");
        head.uri = target.parse().expect("a target");
        HttpRequest::from_parts(head, body)
    }
}
