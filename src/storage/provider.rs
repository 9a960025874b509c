//! The stores that can hold inputs and results: one file each, and one enum that asks the right one.

mod acl;
mod azure;
mod folder;
mod gcs;
mod object_path;
mod s3;
mod store;

use std::fmt::{self, Display};
use std::io;
use std::path::PathBuf;

pub(super) use self::acl::{PREDEFINED_ACLS, wire_spelling};
use self::azure::AzureSettings;
pub(super) use self::folder::FolderError;
use self::gcs::GcsSettings;
pub(super) use self::object_path::ENCODED;
use self::s3::S3Settings;
use self::store::BoxError;
pub(super) use self::store::{CloudOptions, Store};
use super::transport::HttpStatusError;
use crate::settings::Loader;

/// The schemes of URLs that name a bucket and an object in it.
pub(super) const BUCKET_SCHEMES: [&str; 3] = [s3::SCHEME, gcs::SCHEME, azure::SCHEME];

/// The longest key of an object: in bytes, on Azure in characters.
const KEY_LENGTH: usize = 1024;

/// The place that holds inputs and results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// A bucket of Amazon S3, or of a server that speaks its protocol: `s3://name`.
    S3(String),
    /// A bucket of Google Cloud Storage: `gs://name`.
    Gcs(String),
    /// A container of Azure Blob Storage: `az://name`.
    Azure(String),
    /// A folder of this machine: `file:///folder`.
    Folder(PathBuf),
}

/// How to reach and satisfy each of the clouds.
#[derive(Clone, Debug)]
pub(super) struct ProviderSettings {
    s3: S3Settings,
    gcs: GcsSettings,
    azure: AzureSettings,
}

impl ProviderSettings {
    /// Loads the variables of all clouds; what is missing for this bucket, or wrong, is left with the loader.
    pub(super) fn load(loader: &mut Loader<'_>, bucket: &Bucket) -> Self {
        let settings = Self {
            s3: S3Settings::load(loader),
            gcs: GcsSettings::load(loader),
            azure: AzureSettings::load(loader),
        };
        if let Bucket::Azure(_) = bucket {
            settings.azure.check(loader);
        }
        settings
    }
}

impl Bucket {
    /// Reads `s3://name`, `gs://name`, `az://name` or `file:///folder`; scheme and name are lower-cased.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("expected a URL such as s3://name, gs://name, az://name or file:///folder")?;
        match scheme.to_ascii_lowercase().as_str() {
            s3::SCHEME => bucket_name(rest).map(Self::S3),
            gcs::SCHEME => bucket_name(rest).map(Self::Gcs),
            azure::SCHEME => bucket_name(rest).map(Self::Azure),
            folder::SCHEME => folder::parse(text).map(Self::Folder),
            other => Err(format!(
                "the scheme `{other}` is not one of s3, gs, az and file"
            )),
        }
    }

    /// The bucket as the operator wrote it, folders included.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Folder(path) => folder::url(path),
            bucket => bucket.to_string(),
        }
    }

    /// What public URLs begin with, up to the `/` before the key, when the operator names nothing else.
    pub(super) fn default_public_url(&self, settings: &ProviderSettings) -> String {
        match self {
            Self::S3(name) => s3::default_public_url(name, &settings.s3),
            Self::Gcs(name) => gcs::default_public_url(name, &settings.gcs),
            Self::Azure(name) => azure::default_public_url(name, &settings.azure),
            Self::Folder(path) => folder::url(path),
        }
    }

    /// What other addresses of its objects begin with, up to the `/` before the key.
    pub(super) fn other_addresses(&self, settings: &ProviderSettings) -> Vec<String> {
        match self {
            Self::Azure(name) => azure::other_addresses(name, &settings.azure),
            Self::S3(_) | Self::Gcs(_) | Self::Folder(_) => Vec::new(),
        }
    }

    /// Whether keys may have empty parts (`a//b`); those of a folder are no parts.
    pub(super) fn keeps_empty_parts(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }

    /// Whether no object can have a key as long as this.
    pub(super) fn is_too_long(&self, key: &str) -> bool {
        match self {
            Self::S3(_) | Self::Gcs(_) => key.len() > KEY_LENGTH,
            Self::Azure(_) => key.chars().count() > KEY_LENGTH,
            // The file system says so itself.
            Self::Folder(_) => false,
        }
    }

    /// Why an object of this key must not be touched, if it is a file that leads out of the folder or never ends.
    pub(super) async fn objection(&self, key: &str) -> Option<String> {
        match self {
            Self::Folder(root) => folder::objection(root, key).await,
            Self::S3(_) | Self::Gcs(_) | Self::Azure(_) => None,
        }
    }

    /// A client for the bucket. Makes no request; a folder is created if it is missing.
    pub(super) fn open(
        &self,
        settings: &ProviderSettings,
        options: CloudOptions<'_>,
    ) -> Result<Store, BoxError> {
        match self {
            Self::S3(name) => s3::open(name, &settings.s3, options),
            Self::Gcs(name) => gcs::open(name, &settings.gcs, options),
            Self::Azure(name) => azure::open(name, &settings.azure, options),
            Self::Folder(path) => folder::open(path),
        }
    }

    /// The word in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::S3(_) => s3::LABEL,
            Self::Gcs(_) => gcs::LABEL,
            Self::Azure(_) => azure::LABEL,
            Self::Folder(_) => folder::LABEL,
        }
    }

    /// The name of the bucket if URLs of this scheme are of its store.
    pub(super) fn name_in_scheme(&self, scheme: &str) -> Option<&str> {
        match self {
            Self::S3(name) => (scheme == s3::SCHEME).then_some(name),
            Self::Gcs(name) => (scheme == gcs::SCHEME).then_some(name),
            Self::Azure(name) => (scheme == azure::SCHEME).then_some(name),
            Self::Folder(_) => None,
        }
    }

    /// The key in an address that its cloud gives to its objects, beside those below the public URL.
    pub(super) fn key_in_url<'u>(&self, host: &str, path: &'u str) -> Option<&'u str> {
        match self {
            Self::S3(name) => s3::key_in_url(name, host, path),
            Self::Gcs(name) => gcs::key_in_url(name, host, path),
            Self::Azure(_) | Self::Folder(_) => None,
        }
    }

    /// Whether an error says that the whole bucket does not exist.
    pub(super) fn is_missing(&self, error: &HttpStatusError) -> bool {
        let code = match self {
            Self::S3(_) => s3::NO_BUCKET,
            Self::Gcs(_) => gcs::NO_BUCKET,
            Self::Azure(_) => azure::NO_BUCKET,
            Self::Folder(_) => return false,
        };
        error.status == 404 && error.code.as_deref() == Some(code)
    }

    /// Whether an error says that the store does not know the parts of an object any more.
    pub(super) fn has_forgotten_parts(&self, error: &HttpStatusError) -> bool {
        match self {
            Self::S3(_) | Self::Gcs(_) => error.status == 404,
            Self::Azure(_) => error.code.as_deref() == Some(azure::NO_UPLOAD),
            Self::Folder(_) => false,
        }
    }

    /// What an error without an answer means for a folder; `None` for stores that answer.
    pub(super) fn folder_error(
        &self,
        error: &object_store::Error,
        io: Option<io::ErrorKind>,
    ) -> Option<FolderError> {
        match self {
            Self::Folder(_) => Some(folder::error(error, io)),
            Self::S3(_) | Self::Gcs(_) | Self::Azure(_) => None,
        }
    }
}

/// For messages that users read: a folder of this machine stays unnamed.
impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(name) => write!(f, "{}://{name}", s3::SCHEME),
            Self::Gcs(name) => write!(f, "{}://{name}", gcs::SCHEME),
            Self::Azure(name) => write!(f, "{}://{name}", azure::SCHEME),
            Self::Folder(_) => write!(f, "the storage folder"),
        }
    }
}

fn bucket_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_allowed) {
        return Err(format!(
            "`{name}` is not a bucket name (letters, digits, `-`, `.` and `_`, without a path)"
        ));
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_bucket_are_lower_cased() {
        for (text, expected) in [
            ("S3://My-Bucket", Bucket::S3("my-bucket".to_owned())),
            ("GS://a.b_c/", Bucket::Gcs("a.b_c".to_owned())),
            ("AZ://Cells", Bucket::Azure("cells".to_owned())),
            (
                "file:///Data/My%20Images",
                Bucket::Folder(PathBuf::from("/Data/My Images")),
            ),
        ] {
            assert_eq!(Bucket::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_bucket_url_needs_a_known_scheme_and_takes_no_path() {
        for text in [
            "my-bucket",
            "ftp://x",
            "s3://",
            "s3://a/b",
            "gs://a b",
            "az://a/b",
            "s3://../x",
            "s3://..",
            "file://host/x",
        ] {
            assert!(Bucket::parse(text).is_err(), "{text}");
        }
    }
}
