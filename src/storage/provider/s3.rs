//! Amazon S3, and servers that speak its protocol.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use object_store::HeaderValue;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequest;
use secrecy::{ExposeSecret, SecretString};

use super::super::transport::{Dialect, text_in_xml};
use super::acl::creates_object;
use super::object_path::key_below;
use super::store::{BoxError, CloudOptions, Store, client_options, no_retries};
use crate::settings::{Loader, Parsed, Secret, WebAddress, address_of};

/// The scheme of its bucket URLs.
pub(super) const SCHEME: &str = "s3";

/// The word in metrics.
pub(super) const LABEL: &str = "s3";

/// The error code of a bucket that does not exist.
pub(super) const NO_BUCKET: &str = "NoSuchBucket";

/// Endpoints that know a bucket by their host only.
const ACCELERATED: [&str; 2] = [
    "s3-accelerate.amazonaws.com",
    "s3-accelerate.dualstack.amazonaws.com",
];

/// Answers to requests that have gone to another region than that of the bucket, or were signed for another.
const OTHER_REGION: [&str; 3] = [
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
];

crate::settings! {
    /// Access to S3.
    struct S3Variables {
        /// Region of the bucket.
        aws_region: Option<String> = None => "that of `AWS_DEFAULT_REGION`",
        /// Counts if `AWS_REGION` is not set.
        aws_default_region: String = "us-east-1".to_owned(),
        /// Address of an S3-compatible server.
        aws_endpoint_url_s3: Option<Parsed<WebAddress>> = None => "that of `AWS_ENDPOINT_URL`",
        /// Counts if `AWS_ENDPOINT_URL_S3` is not set.
        aws_endpoint_url: Option<Parsed<WebAddress>> = None,
        /// ID of a static key; without it, the role of the pod or the machine is used.
        aws_access_key_id: Option<Secret> = None,
        /// Secret of the static key.
        aws_secret_access_key: Option<Secret> = None,
        /// Session token, for temporary static keys.
        aws_session_token: Option<Secret> = None,
        /// Role of the pod: file with its token. EKS sets it.
        aws_web_identity_token_file: Option<String> = None,
        /// Role of the pod: its name (ARN). EKS sets it.
        aws_role_arn: Option<String> = None,
        /// Role of the pod: name of the session.
        aws_role_session_name: Option<String> = None,
        /// Role of the pod: address of the Security Token Service.
        aws_endpoint_url_sts: Option<Parsed<WebAddress>> = None,
        /// Role of an ECS task: path of its credentials. ECS sets it.
        aws_container_credentials_relative_uri: Option<String> = None,
        /// Role of a container: address of its credentials. EKS Pod Identity sets it.
        aws_container_credentials_full_uri: Option<String> = None,
        /// Role of a container: file with the token for that address. EKS Pod Identity sets it.
        aws_container_authorization_token_file: Option<String> = None,
        /// Role of a machine: address of the instance metadata service.
        aws_ec2_metadata_service_endpoint: Option<String> = None,
    }
}

/// How to reach and satisfy S3.
#[derive(Clone, Debug)]
pub(in super::super) struct S3Settings {
    region: String,
    keys: Option<S3Keys>,
    chain: Vec<(AmazonS3ConfigKey, String)>,
    endpoint: Option<String>,
}

/// Static keys.
#[derive(Clone, Debug)]
struct S3Keys {
    id: SecretString,
    secret: SecretString,
    session_token: Option<SecretString>,
}

impl S3Settings {
    /// Loads the variables of AWS's tools; what is wrong with them is left with the loader.
    pub(super) fn load(loader: &mut Loader<'_>) -> Self {
        loader.load::<S3Variables>().check(loader)
    }
}

impl S3Variables {
    fn check(self, loader: &mut Loader<'_>) -> S3Settings {
        if self.aws_region.is_none() {
            loader.fall_back("AWS_REGION", "AWS_DEFAULT_REGION");
        }
        if self.aws_endpoint_url_s3.is_none() {
            loader.fall_back("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
        }
        let chain = self.chain();
        S3Settings {
            endpoint: self
                .aws_endpoint_url_s3
                .or(self.aws_endpoint_url)
                .map(address_of),
            region: self.aws_region.unwrap_or(self.aws_default_region),
            keys: S3Keys::check(
                loader,
                self.aws_access_key_id,
                self.aws_secret_access_key,
                self.aws_session_token,
            ),
            chain,
        }
    }

    /// Where AWS clients look for credentials beside static keys.
    fn chain(&self) -> Vec<(AmazonS3ConfigKey, String)> {
        use AmazonS3ConfigKey as Key;
        let token_service = self.aws_endpoint_url_sts.clone().map(address_of);
        let places = [
            (Key::WebIdentityTokenFile, &self.aws_web_identity_token_file),
            (Key::RoleArn, &self.aws_role_arn),
            (Key::RoleSessionName, &self.aws_role_session_name),
            (Key::StsEndpoint, &token_service),
            (
                Key::ContainerCredentialsRelativeUri,
                &self.aws_container_credentials_relative_uri,
            ),
            (
                Key::ContainerCredentialsFullUri,
                &self.aws_container_credentials_full_uri,
            ),
            (
                Key::ContainerAuthorizationTokenFile,
                &self.aws_container_authorization_token_file,
            ),
            (
                Key::MetadataEndpoint,
                &self.aws_ec2_metadata_service_endpoint,
            ),
        ];
        places
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect()
    }
}

impl S3Keys {
    fn check(
        loader: &mut Loader<'_>,
        id: Option<Secret>,
        secret: Option<Secret>,
        session_token: Option<Secret>,
    ) -> Option<Self> {
        match (id, secret) {
            (Some(Secret(id)), Some(Secret(secret))) => Some(Self {
                id,
                secret,
                session_token: session_token.map(|Secret(token)| token),
            }),
            (None, None) => None,
            (Some(_), None) => {
                loader.problem(
                    "AWS_SECRET_ACCESS_KEY",
                    "is missing though AWS_ACCESS_KEY_ID is set",
                );
                None
            }
            (None, Some(_)) => {
                loader.problem(
                    "AWS_ACCESS_KEY_ID",
                    "is missing though AWS_SECRET_ACCESS_KEY is set",
                );
                None
            }
        }
    }
}

/// What public URLs begin with when the operator names nothing else.
pub(super) fn default_public_url(bucket: &str, settings: &S3Settings) -> String {
    let endpoint = settings.endpoint.as_deref();
    format!(
        "{}/{bucket}",
        endpoint.unwrap_or("https://s3.amazonaws.com")
    )
}

/// The key in the addresses that AWS gives out: `<endpoint>/<bucket>/<key>` or `<bucket>.<endpoint>/<key>`.
pub(super) fn key_in_url<'u>(bucket: &str, host: &str, path: &'u str) -> Option<&'u str> {
    if is_amazon_endpoint(host) {
        return key_below(bucket, path);
    }
    let endpoint = host.strip_prefix(bucket)?.strip_prefix('.')?;
    let is_endpoint = is_amazon_endpoint(endpoint) || ACCELERATED.contains(&endpoint);
    is_endpoint.then_some(path)
}

/// `s3.amazonaws.com`, or with a region as it is written today (`s3.us-west-2.…`) or was (`s3-us-west-2.…`), each also for
/// both kinds of IP (`s3.dualstack.us-west-2.…`) and certified (`s3-fips.us-west-2.…`).
fn is_amazon_endpoint(host: &str) -> bool {
    let Some(rest) = host
        .strip_prefix("s3")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com"))
    else {
        return false;
    };
    let is_numbered = |region: &str| region.ends_with(|c: char| c.is_ascii_digit());
    if let Some(region) = rest.strip_prefix('-')
        && is_region(region)
        && is_numbered(region)
    {
        return true;
    }
    let rest = rest.strip_prefix("-fips").unwrap_or(rest);
    let rest = rest.strip_prefix(".dualstack").unwrap_or(rest);
    rest.is_empty() || rest.strip_prefix('.').is_some_and(is_region)
}

fn is_region(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !text.is_empty() && text.chars().all(is_allowed)
}

/// A client for the bucket.
pub(super) fn open(
    bucket: &str,
    settings: &S3Settings,
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
        .with_http_connector(options.connector(&endpoint, S3::new(settings, None)))
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
        .with_http_connector(options.connector(&endpoint, S3::new(settings, Some(acl))))
        .build()?;
    Ok(Store::cloud(client))
}

fn with_credentials(builder: AmazonS3Builder, settings: &S3Settings) -> AmazonS3Builder {
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
    region: String,
}

impl S3 {
    fn new(settings: &S3Settings, acl: Option<SignedAcl>) -> Self {
        Self {
            acl,
            region: settings.region.clone(),
        }
    }
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

    fn hint(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        if !matches!(status, 301 | 307 | 400) {
            return None;
        }
        let ours = &self.region;
        let in_head = headers.get("x-amz-bucket-region");
        let named = in_head
            .and_then(|region| region.to_str().ok().map(str::to_owned))
            .or_else(|| text_in_xml(body, "Region"))
            .filter(|region| is_region(region));
        match named {
            Some(region) if region == *ours => None,
            Some(region) => Some(format!(
                "the bucket is in the region {region}, but AWS_REGION is {ours}"
            )),
            None => self
                .error_code(headers, body)
                .filter(|code| OTHER_REGION.contains(&code.as_str()))
                .map(|_| {
                    format!("the bucket is in another region than AWS_REGION, which is {ours}")
                }),
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
    use crate::settings::Env;

    fn load(pairs: &[(&str, &str)]) -> (S3Settings, String) {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = S3Settings::load(&mut loader);
        let problems = loader.finish().err();
        (
            settings,
            problems.map(|it| it.to_string()).unwrap_or_default(),
        )
    }

    #[test]
    fn keys_that_are_placeholders_leave_the_choice_to_the_provider_chain() {
        let placeholder = [
            ("AWS_ACCESS_KEY_ID", "specify_me"),
            ("AWS_SECRET_ACCESS_KEY", "specify_me"),
        ];
        let role = [
            ("AWS_ROLE_ARN", "arn:x"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ];
        assert!(load(&placeholder).0.keys.is_none());
        assert_eq!(load(&role).0.chain.len(), 2);
        let (_, problems) = load(&[("AWS_ACCESS_KEY_ID", "id")]);
        assert!(
            problems.contains("AWS_SECRET_ACCESS_KEY: is missing"),
            "{problems}"
        );
    }

    #[test]
    fn the_address_for_s3_wins_over_the_one_for_all_of_aws() {
        let general = ("AWS_ENDPOINT_URL", "http://general");
        let special = ("AWS_ENDPOINT_URL_S3", "http://special");
        let endpoint = |pairs: &[_]| load(pairs).0.endpoint;
        assert_eq!(endpoint(&[general]).as_deref(), Some("http://general"));
        assert_eq!(
            endpoint(&[general, special]).as_deref(),
            Some("http://special")
        );
        let (_, problems) = load(&[("AWS_ENDPOINT_URL", "ftp://x")]);
        assert!(problems.contains("AWS_ENDPOINT_URL"), "{problems}");
    }

    #[test]
    fn a_bucket_of_another_region_is_told_with_the_region() {
        let (settings, _) = load(&[("AWS_REGION", "us-west-2")]);
        let hint = |status, region: Option<&'static str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(region) = region {
                headers.insert("x-amz-bucket-region", HeaderValue::from_static(region));
            }
            S3::new(&settings, None).hint(status, &headers, body.as_bytes())
        };
        let named = "the bucket is in the region eu-central-1, but AWS_REGION is us-west-2";
        let xml =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>";
        assert_eq!(hint(301, Some("eu-central-1"), "").as_deref(), Some(named));
        assert_eq!(hint(400, None, xml).as_deref(), Some(named));
        assert!(
            hint(301, None, "<Code>PermanentRedirect</Code>")
                .is_some_and(|hint| hint.contains("AWS_REGION, which is us-west-2"))
        );
        assert_eq!(
            hint(400, Some("us-west-2"), ""),
            None,
            "it is something else"
        );
        assert_eq!(hint(403, Some("eu-central-1"), ""), None);
        assert_eq!(hint(400, Some("<b>"), "<Code>InvalidRequest</Code>"), None);
    }

    #[test]
    fn addresses_of_aws_in_every_form_are_of_the_bucket() {
        let key = |url: &'static str| {
            let (host, path) = url.split_once('/').expect("a path");
            key_in_url("b", host, path)
        };
        for endpoint in [
            "s3.amazonaws.com",
            "s3.us-west-2.amazonaws.com",
            "s3-us-west-2.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "s3.dualstack.us-west-2.amazonaws.com",
            "s3-fips.us-gov-west-1.amazonaws.com",
            "s3-fips.dualstack.us-east-1.amazonaws.com",
            "s3-fips-us-gov-west-1.amazonaws.com",
        ] {
            assert_eq!(
                key_in_url("b", endpoint, "b/k/x"),
                Some("k/x"),
                "{endpoint}"
            );
            assert_eq!(
                key_in_url("b", &format!("b.{endpoint}"), "k/x"),
                Some("k/x"),
                "{endpoint}"
            );
            assert_eq!(key_in_url("b", endpoint, "c/k"), None, "{endpoint}");
            assert_eq!(
                key_in_url("b", &format!("c.{endpoint}"), "k"),
                None,
                "{endpoint}"
            );
        }
        for endpoint in ACCELERATED {
            assert_eq!(key_in_url("b", &format!("b.{endpoint}"), "k"), Some("k"));
            assert_eq!(key_in_url("b", endpoint, "b/k"), None, "{endpoint}");
        }
        for url in [
            "s3-control.us-west-2.amazonaws.com/b/k",
            "s3-website.us-west-2.amazonaws.com/b/k",
            "s3-evil.amazonaws.com/b/k",
            "s3evil.amazonaws.com/b/k",
            "s3.us-west-2.amazonaws.com.evil.example/b/k",
        ] {
            assert_eq!(key(url), None, "{url}");
        }
    }

    #[test]
    fn only_digests_are_hexadecimal() {
        assert_eq!(from_hex(b"00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(b"UNSIGNED-PAYLOAD"), None);
        assert_eq!(from_hex(b"abc"), None);
    }
}
