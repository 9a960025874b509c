//! The object store client behind the settings. No request is made in here.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::{
    ClientOptions, HeaderValue, ObjectStore, RetryConfig, StaticCredentialProvider,
};
use secrecy::ExposeSecret;

use super::location::Bucket;
use super::settings::{AwsSettings, StorageSettings};
use super::transport::{Acl, Connector, Signer};

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// What comes before `/<key>` in public URLs.
pub(super) fn public_base(settings: &StorageSettings) -> String {
    let own = match &settings.bucket {
        Bucket::S3(name) => settings
            .aws
            .endpoint
            .as_ref()
            .map(|endpoint| format!("{endpoint}/{name}")),
        Bucket::Google(name) => settings
            .google
            .emulator
            .as_ref()
            .map(|endpoint| format!("{endpoint}/{name}")),
        Bucket::Folder(_) => None,
    };
    settings
        .public_url
        .clone()
        .or(own)
        .unwrap_or_else(|| settings.bucket.home())
}

/// A client for a bucket.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The same client, for objects that are put together from parts. Folders have other means.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
}

impl Store {
    fn cloud(client: impl ObjectStore + MultipartStore) -> Self {
        let client = Arc::new(client);
        Self {
            objects: Arc::clone(&client) as Arc<dyn ObjectStore>,
            parts: Some(client),
        }
    }
}

/// A client for the bucket of the settings.
pub(super) fn open(settings: &StorageSettings) -> Result<Store, Boxed> {
    match &settings.bucket {
        Bucket::S3(name) => amazon(settings, name).map(Store::cloud),
        Bucket::Google(name) => google(settings, name).map(Store::cloud),
        Bucket::Folder(path) => {
            std::fs::create_dir_all(path)?;
            Ok(Store {
                objects: Arc::new(LocalFileSystem::new_with_prefix(path)?),
                parts: None,
            })
        }
    }
}

fn amazon(settings: &StorageSettings, bucket: &str) -> Result<AmazonS3, Boxed> {
    let aws = &settings.aws;
    let amazon = || format!("https://s3.{}.amazonaws.com", aws.region);
    let endpoint = aws.endpoint.clone().unwrap_or_else(amazon);
    let mut connector = Connector {
        authority: authority(&endpoint),
        patience: settings.stall_timeout,
        acl: None,
    };
    let builder = with_credentials(AmazonS3Builder::new(), aws)
        .with_bucket_name(bucket)
        .with_region(&aws.region)
        .with_client_options(options(&endpoint))
        .with_retry(once())
        // TLS vouches for the body as well; hashing it would only cost time.
        .with_unsigned_payload(endpoint.starts_with("https:"))
        .with_endpoint(endpoint);
    let store = builder
        .clone()
        .with_http_connector(connector.clone())
        .build()?;
    let Some(acl) = &settings.acl else {
        return Ok(store);
    };

    let credentials = Arc::clone(store.credentials());
    let signer = Signer {
        region: aws.region.clone(),
        credentials: Arc::clone(&credentials),
    };
    connector.acl = Some(Acl {
        header: "x-amz-acl",
        value: HeaderValue::from_str(acl)?,
        signer: Some(signer),
    });
    Ok(builder
        .with_credentials(credentials)
        .with_http_connector(connector)
        .build()?)
}

fn with_credentials(builder: AmazonS3Builder, aws: &AwsSettings) -> AmazonS3Builder {
    let Some(keys) = &aws.keys else {
        return aws.chain.iter().fold(builder, |builder, (key, value)| {
            builder.with_config(*key, value)
        });
    };
    let builder = builder
        .with_access_key_id(keys.id.expose_secret())
        .with_secret_access_key(keys.secret.expose_secret());
    match &keys.session_token {
        Some(token) => builder.with_token(token.expose_secret()),
        None => builder,
    }
}

fn google(settings: &StorageSettings, bucket: &str) -> Result<GoogleCloudStorage, Boxed> {
    let google = &settings.google;
    let endpoint = google
        .emulator
        .as_deref()
        .unwrap_or("https://storage.googleapis.com");
    let acl = match &settings.acl {
        Some(name) => Some(Acl {
            header: "x-goog-acl",
            value: HeaderValue::from_str(name)?,
            signer: None,
        }),
        None => None,
    };
    let connector = Connector {
        authority: authority(endpoint),
        patience: settings.stall_timeout,
        acl,
    };
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(endpoint)
        .with_client_options(options(endpoint))
        .with_retry(once())
        .with_http_connector(connector);
    let builder = match (&google.emulator, &google.credentials) {
        (Some(_), _) => {
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                bearer: "emulator".to_owned(),
            })))
        }
        (None, Some(path)) => builder.with_application_credentials(path),
        (None, None) => builder,
    };
    Ok(builder.build()?)
}

/// `host[:port]` of a web address.
fn authority(endpoint: &str) -> String {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// No limit on a whole transfer, which may be large: silence is limited instead, in `transport` and while reading.
fn options(endpoint: &str) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_allow_http(endpoint.starts_with("http:"))
}

/// The client itself never retries: `retry` does.
fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}
