//! Where objects are kept and how patiently they are fetched: the storage part of the environment. What a provider wants to
//! know of it stands in the provider's file.
//!
//! The variables of both profiles are understood; which of them names the bucket is decided here and nowhere else.
//! Credentials are handed to the object store from this snapshot, so that nothing else reads the environment.

use std::time::Duration;

use super::provider::{Bucket, PREDEFINED_ACLS, ProviderSettings, wire_spelling};
use crate::settings::{Bytes, Loader, Parsed, Seconds, WebAddress, address_of, is_placeholder};

/// Every variable that can name the bucket, for the message when none does.
const BUCKET_VARIABLES: &str =
    "STORAGE_BUCKET, CLOUD_PROVIDER, AWS_S3_BUCKET, GKE_BUCKET, GCLOUD_STORAGE_BUCKET";

crate::settings! {
    /// The bucket.
    struct BucketVariables {
        /// Bucket of inputs and results: `s3://name`, `gs://name`, `az://name` or `file:///folder`.
        storage_bucket: Option<String> = None => "must be set",
        /// Cloud of the bucket if `STORAGE_BUCKET` is not set: `aws`, or one of `gke`, `gcp` and `google`.
        cloud_provider: Option<String> = None,
        /// Name of the S3 bucket if `STORAGE_BUCKET` is not set.
        aws_s3_bucket: Option<String> = None,
        /// Name of the Google Cloud Storage bucket if `STORAGE_BUCKET` is not set.
        gke_bucket: Option<String> = None,
        /// Counts if `GKE_BUCKET` is not set.
        gcloud_storage_bucket: Option<String> = None,
    }
}

crate::settings! {
    /// Downloads and uploads.
    struct TransferVariables {
        /// Base of the public URLs of results, to which `/<key>` is appended.
        storage_public_url: Option<Parsed<WebAddress>> = None => "the address of the bucket itself",
        /// How long a failing transfer is retried, in seconds; 0 means no limit.
        storage_retry_timeout: Seconds = Seconds::new(600),
        /// Longest delay between two attempts of a transfer, in seconds.
        storage_max_backoff: Seconds = Seconds::new(60),
        /// How long the server may be silent before an attempt counts as failed, in seconds; more than 0.
        storage_stall_timeout: Seconds = Seconds::new(60),
        /// Predefined ACL of uploads, such as `publicRead`; `none` for buckets with uniform access. Must not be set on Azure.
        storage_acl: Option<String> = None => "`publicRead` on Google, else `none`",
        /// Largest input that is accepted, in bytes.
        max_download_bytes: Bytes = Bytes(2 << 30),
    }
}

/// Everything the operator can say about storage.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// Where inputs and results are.
    pub bucket: Bucket,
    /// What public URLs of results begin with, up to the `/` before the key; the cloud's own address if absent.
    pub public_url: Option<String>,
    /// Longest delay between two attempts of one transfer.
    pub max_backoff: Duration,
    /// How long a transfer is attempted again and again; `None` is forever.
    pub retry_limit: Option<Duration>,
    /// How long a server may say nothing before an attempt counts as failed.
    pub stall_timeout: Duration,
    /// Predefined access list put on every upload, in wire spelling such as `public-read`.
    pub acl: Option<String>,
    /// Largest object that is downloaded, in bytes.
    pub max_download_bytes: u64,
    pub(super) providers: ProviderSettings,
}

impl StorageSettings {
    /// Loads the storage variables; what is wrong with them is left with the loader.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let bucket = loader.load::<BucketVariables>().check(loader);
        let transfer: TransferVariables = loader.load();
        Self {
            acl: transfer.acl(loader, &bucket),
            stall_timeout: transfer.stall_timeout(loader),
            public_url: transfer.storage_public_url.map(address_of),
            max_backoff: transfer.storage_max_backoff.0,
            retry_limit: transfer.storage_retry_timeout.limit(),
            max_download_bytes: transfer.max_download_bytes.0,
            providers: ProviderSettings::load(loader, &bucket),
            bucket,
        }
    }
}

impl BucketVariables {
    /// The bucket by the rule of precedence; a stand-in after a problem, which ends the start anyway.
    fn check(&self, loader: &mut Loader<'_>) -> Bucket {
        let (name, bucket) = match self.storage_bucket.as_deref().filter(|url| is_usable(url)) {
            Some(url) => {
                let bucket = Bucket::parse(url);
                let disagreement = bucket.as_ref().ok().and_then(|it| self.disagreement(it));
                disagreement
                    .into_iter()
                    .for_each(|warning| loader.warn(warning));
                ("STORAGE_BUCKET", bucket)
            }
            None => self.of_the_cloud(loader),
        };
        match bucket {
            Ok(bucket) => {
                loader.derive_from(name, "STORAGE_BUCKET", bucket.url());
                bucket
            }
            Err(message) => {
                loader.problem(name, message);
                Bucket::S3("default-bucket".to_owned())
            }
        }
    }

    /// What the operator should know if `CLOUD_PROVIDER` and its bucket variable mean another place than `bucket`.
    fn disagreement(&self, bucket: &Bucket) -> Option<String> {
        let clouds = match self.cloud_provider.as_deref() {
            Some(provider) => vec![Cloud::parse(provider)?],
            None => vec![Cloud::Google, Cloud::Amazon],
        };
        let named = clouds
            .iter()
            .find_map(|cloud| Some((cloud, cloud.bucket(self)?)));
        let (name, ignored) = match named {
            Some((cloud, (_, value))) if cloud.at(value).as_ref() == Ok(bucket) => return None,
            Some((_, variable)) => variable,
            None if clouds.iter().any(|cloud| cloud.has(bucket)) => return None,
            None => ("CLOUD_PROVIDER", self.cloud_provider.as_deref()?),
        };
        let used = bucket.url();
        Some(format!(
            "STORAGE_BUCKET={used} is used, {name}={ignored} is ignored"
        ))
    }

    /// The bucket that `CLOUD_PROVIDER` and the variables of the clouds name, and the variable at fault or in force.
    fn of_the_cloud(&self, loader: &mut Loader<'_>) -> (&'static str, Result<Bucket, String>) {
        let cloud = match self.cloud_provider.as_deref() {
            Some(text) => match Cloud::parse(text) {
                Some(cloud) => Some(cloud),
                None => {
                    let message =
                        format!("`{text}` cannot be used: expected aws, gke, gcp or google");
                    return ("CLOUD_PROVIDER", Err(message));
                }
            },
            None => [Cloud::Google, Cloud::Amazon]
                .into_iter()
                .find(|cloud| cloud.bucket(self).is_some()),
        };
        let Some((cloud, (name, value))) =
            cloud.and_then(|cloud| Some((cloud, cloud.bucket(self)?)))
        else {
            return (BUCKET_VARIABLES, Err(self.nothing_usable(cloud)));
        };
        if let Some(ignored) = &self.storage_bucket {
            loader.warn(format!(
                "STORAGE_BUCKET={ignored} is not a bucket URL, {name}={value} is used"
            ));
        }
        (name, cloud.at(value))
    }

    fn nothing_usable(&self, cloud: Option<Cloud>) -> String {
        let wanted = match cloud {
            None => "set STORAGE_BUCKET to s3://name, gs://name, az://name or file:///folder",
            Some(Cloud::Amazon) => {
                "set AWS_S3_BUCKET (as CLOUD_PROVIDER is aws) or STORAGE_BUCKET=s3://name"
            }
            Some(Cloud::Google) => {
                "set GKE_BUCKET (as CLOUD_PROVIDER is gke) or STORAGE_BUCKET=gs://name"
            }
        };
        match &self.storage_bucket {
            Some(text) => format!("no usable bucket (`{text}` is not a bucket URL): {wanted}"),
            None => format!("no usable bucket: {wanted}"),
        }
    }
}

/// Whether a `STORAGE_BUCKET` has a scheme and a name that is not a placeholder, such as the `s3://default-bucket` of old.
fn is_usable(url: &str) -> bool {
    url.split_once("://")
        .map(|(_, name)| name.trim())
        .is_some_and(|name| !name.is_empty() && !is_placeholder(name))
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
    fn bucket(self, variables: &BucketVariables) -> Option<(&'static str, &str)> {
        let (name, value) = match (self, &variables.gke_bucket) {
            (Self::Amazon, _) => ("AWS_S3_BUCKET", &variables.aws_s3_bucket),
            (Self::Google, Some(_)) => ("GKE_BUCKET", &variables.gke_bucket),
            (Self::Google, None) => ("GCLOUD_STORAGE_BUCKET", &variables.gcloud_storage_bucket),
        };
        Some((name, value.as_deref()?))
    }

    fn has(self, bucket: &Bucket) -> bool {
        matches!(
            (self, bucket),
            (Self::Amazon, Bucket::S3(_)) | (Self::Google, Bucket::Gcs(_))
        )
    }

    fn at(self, name: &str) -> Result<Bucket, String> {
        match self {
            Self::Amazon => Bucket::parse(&format!("s3://{name}")),
            Self::Google => Bucket::parse(&format!("gs://{name}")),
        }
    }
}

impl TransferVariables {
    fn stall_timeout(&self, loader: &mut Loader<'_>) -> Duration {
        let Seconds(timeout) = self.storage_stall_timeout;
        if timeout.is_zero() {
            loader.refuse("STORAGE_STALL_TIMEOUT", 0, "expected more than 0 seconds");
        }
        timeout
    }

    /// The access list of uploads: public on Google, where results would be unreadable otherwise, none on S3.
    fn acl(&self, loader: &mut Loader<'_>, bucket: &Bucket) -> Option<String> {
        let default = match bucket {
            Bucket::Gcs(_) => "publicRead",
            _ => "none",
        };
        let acl = wire_spelling(self.storage_acl.as_deref().unwrap_or(default));
        loader.derive("STORAGE_ACL", &acl);
        if acl == "none" {
            return None;
        }
        if let Bucket::Azure(_) = bucket {
            let why = "has no effect on Azure, where a container is public or private as a whole; leave it out";
            loader.problem("STORAGE_ACL", why);
            return None;
        }
        if !PREDEFINED_ACLS.contains(&acl.as_str()) {
            let expected = format!("expected none or one of {}", PREDEFINED_ACLS.join(", "));
            loader.refuse("STORAGE_ACL", &acl, expected);
        }
        Some(acl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Problems};

    fn load(pairs: &[(&str, &str)]) -> Result<(StorageSettings, Vec<String>), Problems> {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = StorageSettings::load(&mut loader);
        loader.finish().map(|loaded| (settings, loaded.warnings))
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
                Some("STORAGE_BUCKET=plain is not a bucket URL"),
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
