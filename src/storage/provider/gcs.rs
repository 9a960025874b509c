//! Google Cloud Storage.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{HeaderValue, StaticCredentialProvider};

use super::super::transport::Dialect;
use super::acl::creates_object;
use super::object_path::key_below;
use super::store::{BoxError, CloudOptions, Store, client_options, no_retries};
use crate::settings::{Loader, Parsed, WebAddress, address_of};

/// The scheme of its bucket URLs.
pub(super) const SCHEME: &str = "gs";

/// The word in metrics.
pub(super) const LABEL: &str = "gcs";

/// The error code of a bucket that does not exist.
pub(super) const NO_BUCKET: &str = "NoSuchBucket";

/// Where objects are: for programs, by its older name, and for people who are signed in.
const HOSTS: [&str; 3] = [
    "storage.googleapis.com",
    "commondatastorage.googleapis.com",
    "storage.cloud.google.com",
];

/// Where the JSON API is, too.
const JSON_HOST: &str = "www.googleapis.com";

const ENDPOINT: &str = "https://storage.googleapis.com";

crate::settings! {
    /// Access to Google Cloud Storage.
    struct GcsVariables {
        /// File with credentials; without it, those of gcloud or of the metadata server are used.
        google_application_credentials: Option<String> = None,
        /// Address of a Google Cloud Storage emulator.
        storage_emulator_host: Option<Parsed<WebAddress>> = None,
    }
}

/// How to reach and satisfy Google Cloud Storage.
#[derive(Clone, Debug)]
pub(in super::super) struct GcsSettings {
    credentials: Option<String>,
    emulator: Option<String>,
}

impl GcsSettings {
    /// Loads the variables of Google's tools.
    pub(super) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: GcsVariables = loader.load();
        Self {
            credentials: variables.google_application_credentials,
            emulator: variables.storage_emulator_host.map(address_of),
        }
    }
}

/// What public URLs begin with when the operator names nothing else.
pub(super) fn default_public_url(bucket: &str, settings: &GcsSettings) -> String {
    let endpoint = settings.emulator.as_deref();
    format!("{}/{bucket}", endpoint.unwrap_or(ENDPOINT))
}

/// The key in the addresses that Google gives out: `<host>/<bucket>/<key>`, `<bucket>.<host>/<key>`, and those of its JSON
/// API, which programs find as the link of an object.
pub(super) fn key_in_url<'u>(bucket: &str, host: &str, path: &'u str) -> Option<&'u str> {
    if host == JSON_HOST {
        return key_in_json_url(bucket, path);
    }
    if HOSTS.contains(&host) {
        return key_below(bucket, path).or_else(|| key_in_json_url(bucket, path));
    }
    let host = host.strip_prefix(bucket)?.strip_prefix('.')?;
    HOSTS.contains(&host).then_some(path)
}

/// The key in `[download/]storage/v1/b/<bucket>/o/<key>`, of which it is one part.
fn key_in_json_url<'u>(bucket: &str, path: &'u str) -> Option<&'u str> {
    let path = path.strip_prefix("download/").unwrap_or(path);
    let key = key_below(bucket, path.strip_prefix("storage/v1/b/")?)?;
    key.strip_prefix("o/").filter(|key| !key.contains('/'))
}

/// A client for the bucket.
pub(super) fn open(
    bucket: &str,
    settings: &GcsSettings,
    options: CloudOptions<'_>,
) -> Result<Store, BoxError> {
    let endpoint = settings.emulator.as_deref().unwrap_or(ENDPOINT);
    let acl = options.acl.map(HeaderValue::from_str).transpose()?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(endpoint)
        .with_client_options(client_options(endpoint))
        .with_retry(no_retries())
        .with_http_connector(options.connector(endpoint, Gcs { acl }));
    let client = match (&settings.emulator, &settings.credentials) {
        (Some(_), _) => builder.with_credentials(Arc::new(emulator_credentials())),
        (None, Some(path)) => builder.with_application_credentials(path),
        (None, None) => builder,
    };
    Ok(Store::cloud(client.build()?))
}

/// Emulators take any token.
fn emulator_credentials() -> StaticCredentialProvider<GcpCredential> {
    StaticCredentialProvider::new(GcpCredential {
        bearer: "emulator".to_owned(),
    })
}

#[derive(Debug)]
struct Gcs {
    /// The access list that uploads carry. Tokens sign nothing, so it is just one more header.
    acl: Option<HeaderValue>,
}

#[async_trait]
impl Dialect for Gcs {
    async fn apply(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        if let Some(acl) = self.acl.clone().filter(|_| creates_object(request)) {
            request.headers_mut().insert("x-goog-acl", acl);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_google_in_every_form_are_of_the_bucket() {
        for (host, path) in [
            ("storage.googleapis.com", "b/up%2Fa.tif"),
            ("storage.cloud.google.com", "b/up%2Fa.tif"),
            ("commondatastorage.googleapis.com", "b/up%2Fa.tif"),
            ("b.storage.googleapis.com", "up%2Fa.tif"),
            ("www.googleapis.com", "storage/v1/b/b/o/up%2Fa.tif"),
            ("storage.googleapis.com", "storage/v1/b/b/o/up%2Fa.tif"),
            (
                "storage.googleapis.com",
                "download/storage/v1/b/b/o/up%2Fa.tif",
            ),
        ] {
            assert_eq!(
                key_in_url("b", host, path),
                Some("up%2Fa.tif"),
                "{host}/{path}"
            );
        }
        for (host, path) in [
            ("storage.googleapis.com", "c/a.tif"),
            ("c.storage.googleapis.com", "a.tif"),
            ("www.googleapis.com", "b/a.tif"),
            ("www.googleapis.com", "storage/v1/b/c/o/a.tif"),
            ("www.googleapis.com", "storage/v1/b/b/o/a.tif/acl"),
            ("storage.googleapis.com.evil.example", "b/a.tif"),
        ] {
            assert_eq!(key_in_url("b", host, path), None, "{host}/{path}");
        }
    }
}
