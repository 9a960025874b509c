//! Where objects are kept and how patiently they are fetched: the storage part of the environment.
//!
//! The variables of both profiles are understood; which of them names the bucket is decided here and nowhere else.
//! Credentials are handed to the object store from this snapshot, so that nothing else reads the environment.

use std::time::Duration;

use object_store::aws::AmazonS3ConfigKey;
use secrecy::SecretString;
use url::Url;

use super::provider::{AzureSettings, Bucket};
use crate::settings::{Entry, Env, Origin, Reader};

/// Every variable that can name the bucket, for the message when none does.
const BUCKET_VARIABLES: &str =
    "STORAGE_BUCKET, CLOUD_PROVIDER, AWS_S3_BUCKET, GKE_BUCKET, GCLOUD_STORAGE_BUCKET";

const BUCKET_DOC: &str =
    "bucket of inputs and results: s3://name, gs://name, az://name or file:///folder";

/// The access lists that S3 or Google predefine, as the wire spells them.
const PREDEFINED_ACLS: [&str; 6] = [
    "private",
    "public-read",
    "authenticated-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "project-private",
];

/// The places in which AWS clients look for credentials besides static keys.
const AWS_CHAIN: [(&str, AmazonS3ConfigKey); 8] = [
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        AmazonS3ConfigKey::WebIdentityTokenFile,
    ),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
    (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        AmazonS3ConfigKey::MetadataEndpoint,
    ),
];

/// Everything the operator can say about storage.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// Where inputs and results are.
    pub bucket: Bucket,
    /// What public URLs of results begin with, up to the `/` before the key; the cloud's own address if absent.
    pub public_url: Option<String>,
    /// Longest pause between two attempts of one transfer.
    pub max_backoff: Duration,
    /// How long a transfer is attempted again and again; `None` is for ever.
    pub retry_limit: Option<Duration>,
    /// How long a server may say nothing before an attempt counts as failed.
    pub stall_timeout: Duration,
    /// Predefined access list put on every upload, in wire spelling such as `public-read`.
    pub acl: Option<String>,
    /// Largest object that is downloaded, in bytes.
    pub max_download_bytes: u64,
    pub(super) aws: AwsSettings,
    pub(super) google: GoogleSettings,
    pub(super) azure: AzureSettings,
}

/// How to reach and satisfy S3.
#[derive(Clone, Debug)]
pub(super) struct AwsSettings {
    pub(super) region: String,
    pub(super) keys: Option<AwsKeys>,
    pub(super) chain: Vec<(AmazonS3ConfigKey, String)>,
    pub(super) endpoint: Option<String>,
}

/// Static keys.
#[derive(Clone, Debug)]
pub(super) struct AwsKeys {
    pub(super) id: SecretString,
    pub(super) secret: SecretString,
    pub(super) session_token: Option<SecretString>,
}

/// How to reach and satisfy Google Cloud Storage.
#[derive(Clone, Debug)]
pub(super) struct GoogleSettings {
    pub(super) credentials: Option<String>,
    pub(super) emulator: Option<String>,
}

impl StorageSettings {
    /// Reads the storage variables; what is wrong with them is left with the reader.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        let bucket = load_bucket(reader);
        let retry_limit = reader.seconds(
            "STORAGE_RETRY_TIMEOUT",
            600.0,
            "seconds after which a transfer is given up; 0 is never",
        );
        Self {
            public_url: web_address(
                reader,
                "STORAGE_PUBLIC_URL",
                "what public URLs have before /<key>",
            ),
            max_backoff: reader.seconds(
                "STORAGE_MAX_BACKOFF",
                60.0,
                "longest pause between two attempts, in seconds",
            ),
            retry_limit: (!retry_limit.is_zero()).then_some(retry_limit),
            stall_timeout: load_stall_timeout(reader),
            acl: load_acl(reader, &bucket),
            max_download_bytes: reader.bytes(
                "MAX_DOWNLOAD_BYTES",
                2 << 30,
                "largest input that is accepted, in bytes",
            ),
            aws: AwsSettings::load(reader),
            google: GoogleSettings::load(reader),
            azure: load_azure(reader, &bucket),
            bucket,
        }
    }
}

impl AwsSettings {
    fn load(reader: &mut Reader<'_>) -> Self {
        let chain = AWS_CHAIN
            .iter()
            .filter_map(|(name, key)| Some((*key, reader.env().get(name)?.to_owned())))
            .collect();
        let special = web_address(
            reader,
            "AWS_ENDPOINT_URL_S3",
            "address of an S3-compatible server",
        );
        let general = web_address(
            reader,
            "AWS_ENDPOINT_URL",
            "address of an S3-compatible server",
        );
        Self {
            region: reader.first_of(
                &["AWS_REGION", "AWS_DEFAULT_REGION"],
                "us-east-1".to_owned(),
                "region of the bucket",
            ),
            keys: AwsKeys::load(reader),
            chain,
            endpoint: special.or(general),
        }
    }
}

impl AwsKeys {
    fn load(reader: &mut Reader<'_>) -> Option<Self> {
        let id = reader.secret(
            "AWS_ACCESS_KEY_ID",
            "static key; without it the pod's role is used",
        );
        let secret = reader.secret(
            "AWS_SECRET_ACCESS_KEY",
            "static key; without it the pod's role is used",
        );
        let session_token = reader.secret("AWS_SESSION_TOKEN", "belongs to temporary static keys");
        match (id, secret) {
            (Some(id), Some(secret)) => Some(Self {
                id,
                secret,
                session_token,
            }),
            (None, None) => None,
            (Some(_), None) => {
                reader.problem(
                    "AWS_SECRET_ACCESS_KEY",
                    "is missing though AWS_ACCESS_KEY_ID is set",
                );
                None
            }
            (None, Some(_)) => {
                reader.problem(
                    "AWS_ACCESS_KEY_ID",
                    "is missing though AWS_SECRET_ACCESS_KEY is set",
                );
                None
            }
        }
    }
}

impl GoogleSettings {
    fn load(reader: &mut Reader<'_>) -> Self {
        let doc = "credentials file; without it gcloud's own or the metadata server";
        Self {
            credentials: reader.optional("GOOGLE_APPLICATION_CREDENTIALS", doc),
            emulator: web_address(
                reader,
                "STORAGE_EMULATOR_HOST",
                "address of a Google Cloud Storage emulator",
            ),
        }
    }
}

fn load_azure(reader: &mut Reader<'_>, bucket: &Bucket) -> AzureSettings {
    let azure = AzureSettings::load(reader);
    if let Bucket::Azure(_) = bucket {
        azure.check(reader);
    }
    azure
}

/// The bucket by the rule of precedence; a stand-in after a problem, which ends the start anyway.
fn load_bucket(reader: &mut Reader<'_>) -> Bucket {
    let env = reader.env();
    let (name, bucket) = match env.get("STORAGE_BUCKET").filter(|text| is_usable(text)) {
        Some(url) => {
            let bucket = Bucket::parse(url);
            if let Some(warning) = bucket
                .as_ref()
                .ok()
                .and_then(|bucket| disagreement(env, bucket))
            {
                reader.warn(warning);
            }
            ("STORAGE_BUCKET", bucket)
        }
        None => pair(reader),
    };
    match bucket {
        Ok(bucket) => {
            let origin = Origin::Variable(name.to_owned());
            reader.derived(Entry {
                name: "STORAGE_BUCKET",
                value: bucket.url(),
                origin,
                doc: BUCKET_DOC,
            });
            bucket
        }
        Err(message) => {
            reader.problem(name, message);
            Bucket::S3("default-bucket".to_owned())
        }
    }
}

/// Whether a `STORAGE_BUCKET` has a scheme and a name that is no placeholder, such as the `s3://default-bucket` of old.
fn is_usable(url: &str) -> bool {
    let Some((_, name)) = url.split_once("://") else {
        return false;
    };
    [("name", name)]
        .into_iter()
        .collect::<Env>()
        .get("name")
        .is_some()
}

/// What the operator should know if `CLOUD_PROVIDER` and its bucket variable mean another place than `bucket`.
fn disagreement(env: &Env, bucket: &Bucket) -> Option<String> {
    let (name, other) = match env.get("CLOUD_PROVIDER") {
        Some(provider) => {
            let cloud = Cloud::parse(provider)?;
            let differs = !cloud.has(bucket);
            cloud
                .bucket(env)
                .or_else(|| differs.then_some(("CLOUD_PROVIDER", provider)))?
        }
        None => Cloud::Google
            .bucket(env)
            .or_else(|| Cloud::Amazon.bucket(env))?,
    };
    let cloud = if name == "AWS_S3_BUCKET" {
        Cloud::Amazon
    } else {
        Cloud::Google
    };
    let agrees = name != "CLOUD_PROVIDER" && cloud.at(other).as_ref() == Ok(bucket);
    let shown = bucket.url();
    (!agrees).then(|| format!("STORAGE_BUCKET={shown} is used, {name}={other} is ignored"))
}

/// The bucket that `CLOUD_PROVIDER` and the variables of the clouds name, and the variable at fault or in force.
fn pair(reader: &mut Reader<'_>) -> (&'static str, Result<Bucket, String>) {
    let env = reader.env();
    let cloud = match env.get("CLOUD_PROVIDER") {
        Some(text) => match Cloud::parse(text) {
            Some(cloud) => Some(cloud),
            None => {
                return (
                    "CLOUD_PROVIDER",
                    Err(format!("`{text}` is none of aws, gke, gcp and google")),
                );
            }
        },
        None => [Cloud::Google, Cloud::Amazon]
            .into_iter()
            .find(|cloud| cloud.bucket(env).is_some()),
    };
    let Some((cloud, (name, value))) = cloud.and_then(|cloud| Some((cloud, cloud.bucket(env)?)))
    else {
        return (BUCKET_VARIABLES, Err(nothing_usable(env, cloud)));
    };
    if let Some(ignored) = env.get("STORAGE_BUCKET") {
        reader.warn(format!(
            "STORAGE_BUCKET={ignored} is no bucket URL, {name}={value} is used"
        ));
    }
    (name, cloud.at(value))
}

fn nothing_usable(env: &Env, cloud: Option<Cloud>) -> String {
    let wanted = match cloud {
        None => "set STORAGE_BUCKET to s3://name, gs://name or file:///folder",
        Some(Cloud::Amazon) => {
            "set AWS_S3_BUCKET (as CLOUD_PROVIDER is aws) or STORAGE_BUCKET=s3://name"
        }
        Some(Cloud::Google) => {
            "set GKE_BUCKET (as CLOUD_PROVIDER is gke) or STORAGE_BUCKET=gs://name"
        }
    };
    match env.get("STORAGE_BUCKET") {
        Some(text) => format!("no usable bucket (`{text}` is no bucket URL): {wanted}"),
        None => format!("no usable bucket: {wanted}"),
    }
}

/// The value of `CLOUD_PROVIDER`.
#[derive(Clone, Copy)]
enum Cloud {
    Amazon,
    Google,
}

impl Cloud {
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "aws" => Some(Self::Amazon),
            "gke" | "gcp" | "google" => Some(Self::Google),
            _ => None,
        }
    }

    /// The variable of this cloud that is set, and its value.
    fn bucket(self, env: &Env) -> Option<(&'static str, &str)> {
        let names: &[&'static str] = match self {
            Self::Amazon => &["AWS_S3_BUCKET"],
            Self::Google => &["GKE_BUCKET", "GCLOUD_STORAGE_BUCKET"],
        };
        names.iter().find_map(|name| Some((*name, env.get(name)?)))
    }

    fn has(self, bucket: &Bucket) -> bool {
        matches!(
            (self, bucket),
            (Self::Amazon, Bucket::S3(_)) | (Self::Google, Bucket::Google(_))
        )
    }

    fn at(self, name: &str) -> Result<Bucket, String> {
        match self {
            Self::Amazon => Bucket::parse(&format!("s3://{name}")),
            Self::Google => Bucket::parse(&format!("gs://{name}")),
        }
    }
}

fn load_stall_timeout(reader: &mut Reader<'_>) -> Duration {
    let name = "STORAGE_STALL_TIMEOUT";
    let timeout = reader.seconds(
        name,
        60.0,
        "silence of the server after which an attempt has failed, in seconds",
    );
    if timeout.is_zero() {
        reader.problem(name, "must be above 0");
    }
    timeout
}

/// The access list of uploads: public on Google, where results would be unreadable otherwise, none on S3.
fn load_acl(reader: &mut Reader<'_>, bucket: &Bucket) -> Option<String> {
    let set = reader.env().get("STORAGE_ACL");
    let default = if matches!(bucket, Bucket::Google(_)) {
        "publicRead"
    } else {
        "none"
    };
    let acl = wire_spelling(set.unwrap_or(default));
    let origin = set.map_or(Origin::Default, |_| {
        Origin::Variable("STORAGE_ACL".to_owned())
    });
    let doc = "predefined access list of uploads, such as publicRead; none for buckets with uniform access";
    reader.derived(Entry {
        name: "STORAGE_ACL",
        value: acl.clone(),
        origin,
        doc,
    });
    if acl == "none" {
        return None;
    }
    if let Bucket::Azure(_) = bucket {
        reader.problem(
            "STORAGE_ACL",
            "has no meaning on Azure, where a container is public or not as a whole: leave it out",
        );
        return None;
    }
    if !PREDEFINED_ACLS.contains(&acl.as_str()) {
        reader.problem(
            "STORAGE_ACL",
            format!(
                "`{acl}` is neither none nor one of {}",
                PREDEFINED_ACLS.join(", ")
            ),
        );
    }
    Some(acl)
}

/// `publicRead`, as Google's JSON API says, is `public-read` on the wire.
fn wire_spelling(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    for (place, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 && !text.ends_with('-') {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// An `http://` or `https://` address without a trailing slash; a bare `host:port` is taken as plain HTTP.
pub(super) fn web_address(
    reader: &mut Reader<'_>,
    name: &'static str,
    doc: &'static str,
) -> Option<String> {
    let text = reader.optional(name, doc)?;
    let text = if text.contains("://") {
        text
    } else {
        format!("http://{text}")
    };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            reader.problem(name, format!("`{text}` is no http:// or https:// address"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Problems;

    fn load(pairs: &[(&str, &str)]) -> Result<(StorageSettings, Vec<String>), Problems> {
        let env: Env = pairs.iter().copied().collect();
        let mut reader = Reader::new(&env);
        let settings = StorageSettings::load(&mut reader);
        reader.finish().map(|(_, warnings)| (settings, warnings))
    }

    fn bucket(pairs: &[(&str, &str)]) -> String {
        let (settings, warnings) = load(pairs).expect("usable settings");
        assert!(warnings.is_empty(), "{warnings:?}");
        settings.bucket.url()
    }

    fn problem(pairs: &[(&str, &str)]) -> String {
        load(pairs)
            .map(|(settings, _)| settings)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn a_storage_bucket_wins() {
        assert_eq!(bucket(&[("STORAGE_BUCKET", "S3://Mine")]), "s3://mine");
        assert_eq!(
            bucket(&[("STORAGE_BUCKET", "gs://mine"), ("AWS_S3_BUCKET", "NA")]),
            "gs://mine"
        );
        assert_eq!(
            bucket(&[("STORAGE_BUCKET", "file:///my/data")]),
            "file:///my/data"
        );
    }

    #[test]
    fn the_old_pair_counts_when_no_storage_bucket_is_usable() {
        for unusable in [
            "",
            "NA",
            "default-bucket",
            "s3://default-bucket",
            "gs://specify_me",
        ] {
            let pairs = [
                ("STORAGE_BUCKET", unusable),
                ("CLOUD_PROVIDER", "AWS"),
                ("AWS_S3_BUCKET", "Old"),
            ];
            let (settings, _) = load(&pairs).expect("the pair is usable");
            assert_eq!(settings.bucket.url(), "s3://old", "{unusable:?}");
        }
        for provider in ["gke", "GCP", "google"] {
            assert_eq!(
                bucket(&[
                    ("CLOUD_PROVIDER", provider),
                    ("GKE_BUCKET", "a"),
                    ("AWS_S3_BUCKET", "b")
                ]),
                "gs://a"
            );
            assert_eq!(
                bucket(&[("CLOUD_PROVIDER", provider), ("GCLOUD_STORAGE_BUCKET", "c")]),
                "gs://c"
            );
        }
        assert_eq!(
            bucket(&[
                ("CLOUD_PROVIDER", "gke"),
                ("GKE_BUCKET", "a"),
                ("GCLOUD_STORAGE_BUCKET", "c")
            ]),
            "gs://a"
        );
    }

    #[test]
    fn without_a_provider_the_one_bucket_that_is_set_counts_and_google_if_both_are() {
        assert_eq!(
            bucket(&[("AWS_S3_BUCKET", "a"), ("GKE_BUCKET", "default-bucket")]),
            "s3://a"
        );
        assert_eq!(
            bucket(&[("CLOUD_PROVIDER", "NA"), ("GCLOUD_STORAGE_BUCKET", "c")]),
            "gs://c"
        );
        assert_eq!(
            bucket(&[("AWS_S3_BUCKET", "a"), ("GCLOUD_STORAGE_BUCKET", "c")]),
            "gs://c"
        );
    }

    #[test]
    fn nothing_usable_is_a_problem_that_names_the_variables() {
        for pairs in [
            &[][..],
            &[("STORAGE_BUCKET", "s3://default-bucket")],
            &[("STORAGE_BUCKET", "no-scheme")],
            &[("CLOUD_PROVIDER", "aws"), ("GKE_BUCKET", "a")],
            &[
                ("CLOUD_PROVIDER", "gke"),
                ("AWS_S3_BUCKET", "a"),
                ("GKE_BUCKET", "NA"),
            ],
        ] {
            let message = problem(pairs);
            for name in [
                "STORAGE_BUCKET",
                "CLOUD_PROVIDER",
                "AWS_S3_BUCKET",
                "GKE_BUCKET",
                "GCLOUD_STORAGE_BUCKET",
            ] {
                assert!(message.contains(name), "{name} is missing in {message}");
            }
        }
        assert!(
            problem(&[("STORAGE_BUCKET", "ftp://x"), ("GKE_BUCKET", "a")])
                .contains("STORAGE_BUCKET: the scheme `ftp`")
        );
        assert!(
            problem(&[("CLOUD_PROVIDER", "azure"), ("GKE_BUCKET", "a")])
                .contains("CLOUD_PROVIDER: `azure`")
        );
        assert!(problem(&[("GKE_BUCKET", "a/b")]).contains("GKE_BUCKET: "));
    }

    #[test]
    fn a_pair_that_disagrees_is_ignored_with_a_warning() {
        let new = ("STORAGE_BUCKET", "gs://new");
        for (pairs, expected) in [
            (
                &[new, ("CLOUD_PROVIDER", "gke"), ("GKE_BUCKET", "new")][..],
                None,
            ),
            (
                &[new, ("CLOUD_PROVIDER", "gke"), ("GKE_BUCKET", "old")],
                Some("GKE_BUCKET=old is ignored"),
            ),
            (
                &[new, ("CLOUD_PROVIDER", "aws"), ("AWS_S3_BUCKET", "new")],
                Some("AWS_S3_BUCKET=new is ignored"),
            ),
            (
                &[new, ("CLOUD_PROVIDER", "aws")],
                Some("CLOUD_PROVIDER=aws is ignored"),
            ),
            (
                &[new, ("AWS_S3_BUCKET", "old")],
                Some("AWS_S3_BUCKET=old is ignored"),
            ),
            (&[new, ("AWS_S3_BUCKET", "NA")], None),
            (
                &[("STORAGE_BUCKET", "plain"), ("GKE_BUCKET", "old")],
                Some("STORAGE_BUCKET=plain is no bucket URL"),
            ),
        ] {
            let (_, warnings) = load(pairs).expect("usable settings");
            let matches = warnings
                .first()
                .map(String::as_str)
                .zip(expected)
                .map(|(text, part)| text.contains(part));
            assert_eq!(
                (warnings.len(), matches),
                (usize::from(expected.is_some()), expected.map(|_| true)),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn keys_that_are_placeholders_leave_the_choice_to_the_provider_chain() {
        let bucket = ("STORAGE_BUCKET", "s3://b");
        let placeholder = [
            bucket,
            ("AWS_ACCESS_KEY_ID", "specify_me"),
            ("AWS_SECRET_ACCESS_KEY", "specify_me"),
        ];
        let role = [
            bucket,
            ("AWS_ROLE_ARN", "arn:x"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ];
        assert!(load(&placeholder).expect("usable").0.aws.keys.is_none());
        assert_eq!(load(&role).expect("usable").0.aws.chain.len(), 2);
        assert!(
            problem(&[bucket, ("AWS_ACCESS_KEY_ID", "id")])
                .contains("AWS_SECRET_ACCESS_KEY: is missing")
        );
    }

    #[test]
    fn uploads_are_public_on_google_and_as_the_bucket_says_on_amazon() {
        let acl = |pairs: &[(&str, &str)]| load(pairs).expect("usable").0.acl;
        let (google, amazon) = (("STORAGE_BUCKET", "gs://b"), ("STORAGE_BUCKET", "s3://b"));
        assert_eq!(acl(&[google]).as_deref(), Some("public-read"));
        assert_eq!(acl(&[google, ("STORAGE_ACL", "none")]), None);
        assert_eq!(
            acl(&[google, ("STORAGE_ACL", "bucketOwnerFullControl")]).as_deref(),
            Some("bucket-owner-full-control")
        );
        assert_eq!(acl(&[amazon]), None);
        assert_eq!(
            acl(&[amazon, ("STORAGE_ACL", "public-read")]).as_deref(),
            Some("public-read")
        );
        assert!(problem(&[amazon, ("STORAGE_ACL", "publik")]).contains("STORAGE_ACL: `publik`"));
    }

    #[test]
    fn addresses_of_other_servers_may_lack_their_scheme_but_not_be_something_else() {
        let bucket = ("STORAGE_BUCKET", "gs://b");
        let emulator = |text| {
            load(&[bucket, ("STORAGE_EMULATOR_HOST", text)])
                .expect("usable")
                .0
                .google
                .emulator
        };
        assert_eq!(
            emulator("localhost:4443").as_deref(),
            Some("http://localhost:4443")
        );
        assert_eq!(
            emulator("https://gcs.example/").as_deref(),
            Some("https://gcs.example")
        );
        assert!(problem(&[bucket, ("AWS_ENDPOINT_URL", "ftp://x")]).contains("AWS_ENDPOINT_URL"));
        let both = [
            bucket,
            ("AWS_ENDPOINT_URL", "http://general"),
            ("AWS_ENDPOINT_URL_S3", "http://special"),
        ];
        assert_eq!(
            load(&both).expect("usable").0.aws.endpoint.as_deref(),
            Some("http://special")
        );
    }

    #[test]
    fn zero_means_no_limit_for_retries_and_is_refused_for_silence() {
        let bucket = ("STORAGE_BUCKET", "gs://b");
        assert_eq!(
            load(&[bucket]).expect("usable").0.retry_limit,
            Some(Duration::from_secs(600))
        );
        assert_eq!(
            load(&[bucket, ("STORAGE_RETRY_TIMEOUT", "0")])
                .expect("usable")
                .0
                .retry_limit,
            None
        );
        assert!(
            problem(&[bucket, ("STORAGE_STALL_TIMEOUT", "0")]).contains("STORAGE_STALL_TIMEOUT")
        );
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let pairs = [
            ("STORAGE_BUCKET", "s3://b"),
            ("AWS_ACCESS_KEY_ID", "my-id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let text = format!("{:?}", load(&pairs).expect("usable").0);
        assert!(
            !text.contains("hunter2") && !text.contains("my-id"),
            "{text}"
        );
    }
}
