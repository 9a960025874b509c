//! Amazon S3, and servers that speak its protocol.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::HeaderValue;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequest;
use secrecy::ExposeSecret;

use super::super::settings::AwsSettings;
use super::super::transport::Dialect;
use super::acl::creates_object;
use super::store::{BoxError, CloudOptions, Store, client_options, no_retries};
use super::web::key_below;

/// The scheme of its bucket URLs.
pub(super) const SCHEME: &str = "s3";

/// The word in metrics.
pub(super) const LABEL: &str = "s3";

/// The error code of a bucket that does not exist.
pub(super) const NO_BUCKET: &str = "NoSuchBucket";

/// What public URLs begin with when the operator names nothing else.
pub(super) fn default_public_url(bucket: &str, settings: &AwsSettings) -> String {
    let endpoint = settings.endpoint.as_deref();
    format!(
        "{}/{bucket}",
        endpoint.unwrap_or("https://s3.amazonaws.com")
    )
}

/// The key in `s3[.region].amazonaws.com/<bucket>/<key>` or `<bucket>.s3[.region].amazonaws.com/<key>`.
pub(super) fn key_in_url<'u>(bucket: &str, host: &str, path: &'u str) -> Option<&'u str> {
    if is_amazon_endpoint(host) {
        return key_below(bucket, path);
    }
    let endpoint = host.strip_prefix(bucket)?.strip_prefix('.')?;
    is_amazon_endpoint(endpoint).then_some(path)
}

fn is_amazon_endpoint(host: &str) -> bool {
    let Some(middle) = host
        .strip_prefix("s3")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com"))
    else {
        return false;
    };
    middle.is_empty() || middle.strip_prefix('.').is_some_and(is_region)
}

fn is_region(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !text.is_empty() && text.chars().all(is_allowed)
}

/// A client for the bucket.
pub(super) fn open(
    bucket: &str,
    settings: &AwsSettings,
    options: CloudOptions<'_>,
) -> Result<Store, BoxError> {
    let amazon = || format!("https://s3.{}.amazonaws.com", settings.region);
    let endpoint = settings.endpoint.clone().unwrap_or_else(amazon);
    let builder = with_credentials(AmazonS3Builder::new(), settings)
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_client_options(client_options(&endpoint))
        .with_retry(no_retries())
        // TLS vouches for the body as well; hashing it would only cost time.
        .with_unsigned_payload(endpoint.starts_with("https:"))
        .with_endpoint(&endpoint);
    let plain = builder
        .clone()
        .with_http_connector(options.connector(&endpoint, S3 { acl: None }))
        .build()?;
    let Some(acl) = options.acl else {
        return Ok(Store::cloud(plain));
    };

    // The access list is signed with the credentials of the client, so the client comes first.
    let credentials = Arc::clone(plain.credentials());
    let acl = SignedAcl {
        value: HeaderValue::from_str(acl)?,
        region: settings.region.clone(),
        credentials: Arc::clone(&credentials),
    };
    let client = builder
        .with_credentials(credentials)
        .with_http_connector(options.connector(&endpoint, S3 { acl: Some(acl) }))
        .build()?;
    Ok(Store::cloud(client))
}

fn with_credentials(builder: AmazonS3Builder, settings: &AwsSettings) -> AmazonS3Builder {
    let Some(keys) = &settings.keys else {
        return settings
            .chain
            .iter()
            .fold(builder, |builder, (key, value)| {
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

#[derive(Debug)]
struct S3 {
    acl: Option<SignedAcl>,
}

/// The access list that uploads carry. It is part of the signature, and the client signs before it hands a request over.
#[derive(Debug)]
struct SignedAcl {
    value: HeaderValue,
    region: String,
    credentials: AwsCredentialProvider,
}

#[async_trait]
impl Dialect for S3 {
    async fn apply(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        match &self.acl {
            Some(acl) if creates_object(request) => acl.apply(request).await,
            _ => Ok(()),
        }
    }
}

impl SignedAcl {
    async fn apply(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let headers = request.headers_mut();
        headers.insert("x-amz-acl", self.value.clone());
        let digest = headers
            .get("x-amz-content-sha256")
            .and_then(|value| from_hex(value.as_bytes()));
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(digest.is_some())
            .try_authorize(request, digest.as_deref())
    }
}

/// The bytes of a digest, or nothing for words such as `UNSIGNED-PAYLOAD`.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|&[high, low]| u8::try_from(hex_digit(high)? * 16 + hex_digit(low)?).ok())
        .collect()
}

fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_hexadecimal() {
        assert_eq!(from_hex(b"00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(b"UNSIGNED-PAYLOAD"), None);
        assert_eq!(from_hex(b"abc"), None);
    }
}
