//! Names of objects: bucket URLs, keys out of job hashes, and the public URLs of results.
//!
//! Pure text; nothing in here talks to a store.

use std::fmt::{self, Display};
use std::path::PathBuf;

use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::Error;

/// What a public URL encodes: everything but unreserved characters and `/`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The longest piece of a reference that an error message repeats, in characters.
const SHOWN_CHARS: usize = 200;

/// The place that holds inputs and results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// A bucket of Amazon S3, or of a server that speaks its protocol: `s3://name`.
    S3(String),
    /// A bucket of Google Cloud Storage: `gs://name`.
    Google(String),
    /// A folder of this machine: `file:///folder`.
    Folder(PathBuf),
}

impl Bucket {
    /// Reads `s3://name`, `gs://name` or `file:///folder`; scheme and name are lower-cased.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("expected a URL such as s3://name, gs://name or file:///folder")?;
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket_name(rest).map(Self::S3),
            "gs" => bucket_name(rest).map(Self::Google),
            "file" => folder(text).map(Self::Folder),
            other => Err(format!("the scheme `{other}` is none of s3, gs and file")),
        }
    }

    /// The base of public URLs when the operator names none: the bucket at its cloud's own address.
    pub(super) fn home(&self) -> String {
        match self {
            Self::S3(name) => format!("https://s3.amazonaws.com/{name}"),
            Self::Google(name) => format!("https://storage.googleapis.com/{name}"),
            Self::Folder(path) => {
                let encoded = utf8_percent_encode(&path.to_string_lossy(), ENCODED).to_string();
                format!("file://{}", encoded.trim_end_matches('/'))
            }
        }
    }
}

/// For messages that users read: a folder of this machine stays unnamed.
impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(name) => write!(f, "s3://{name}"),
            Self::Google(name) => write!(f, "gs://{name}"),
            Self::Folder(_) => write!(f, "the storage folder"),
        }
    }
}

/// A bucket together with the base of its public URLs.
#[derive(Clone, Debug)]
pub(super) struct Location {
    bucket: Bucket,
    public_base: String,
}

impl Location {
    /// `public_base` is what comes before `/<key>`.
    pub(super) fn new(bucket: Bucket, public_base: &str) -> Self {
        Self {
            bucket,
            public_base: public_base.trim_end_matches('/').to_owned(),
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The key that a job's `input_file_name` means: a key as it stands, or a URL of an object in this very bucket.
    ///
    /// Only URLs are percent-decoded; leading `/` are dropped. Other hosts, buckets and schemes, and keys that cannot
    /// be an object (empty, folders, with `.`, `..` or empty parts, or with control characters) are refused.
    pub(super) fn object_key(&self, reference: &str) -> Result<Path, Error> {
        let refuse = |reason| Error::Unusable {
            reference: shown(reference),
            bucket: self.bucket.to_string(),
            reason,
        };
        let key = match reference.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                self.key_in_url(scheme, rest).map_err(refuse)?
            }
            _ => reference.to_owned(),
        };
        parse_key(&key).map_err(refuse)
    }

    /// The key of an object that is about to be written. Never a URL.
    pub(super) fn new_key(&self, key: &str) -> Result<Path, Error> {
        let refuse = |reason| Error::Unusable {
            reference: shown(key),
            bucket: self.bucket.to_string(),
            reason,
        };
        parse_key(key).map_err(refuse)
    }

    /// Where anybody can read the object of this key.
    pub(super) fn public_url(&self, key: &str) -> String {
        format!("{}/{}", self.public_base, utf8_percent_encode(key, ENCODED))
    }

    fn key_in_url(&self, scheme: &str, rest: &str) -> Result<String, String> {
        let scheme = scheme.to_ascii_lowercase();
        let encoded = match scheme.as_str() {
            "s3" | "gs" => self.key_in_bucket_url(&scheme, rest)?,
            "https" | "http" | "file" => self.key_in_web_url(&scheme, rest)?,
            other => return Err(format!("URLs of scheme `{other}` are not accepted")),
        };
        let decoded = percent_decode_str(encoded).decode_utf8();
        decoded
            .map(String::from)
            .map_err(|_| "its percent-encoded bytes are no UTF-8".to_owned())
    }

    /// `s3://bucket/key`, `gs://bucket/key`.
    fn key_in_bucket_url<'u>(&self, scheme: &str, rest: &'u str) -> Result<&'u str, String> {
        let ours = match (&self.bucket, scheme) {
            (Bucket::S3(name), "s3") | (Bucket::Google(name), "gs") => name,
            _ => return Err(format!("a {scheme}:// URL is of another store")),
        };
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.eq_ignore_ascii_case(ours) {
            Ok(key)
        } else {
            Err("the URL is of another bucket".to_owned())
        }
    }

    /// The cloud's own HTTPS addresses of this bucket, and what [`Location::public_url`] gives out.
    fn key_in_web_url<'u>(&self, scheme: &str, rest: &'u str) -> Result<&'u str, String> {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        if let Some(key) = self.key_below_public_base(scheme, rest) {
            return Ok(key);
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.to_ascii_lowercase();
        let key = match &self.bucket {
            Bucket::S3(name) if scheme == "https" => key_on_amazon(name, &host, path),
            Bucket::Google(name) if scheme == "https" && host == "storage.googleapis.com" => {
                key_below(name, path)
            }
            _ => None,
        };
        key.ok_or_else(|| "the URL is of another host or bucket".to_owned())
    }

    fn key_below_public_base<'u>(&self, scheme: &str, rest: &'u str) -> Option<&'u str> {
        let (base_scheme, base) = self.public_base.split_once("://")?;
        (base_scheme == scheme)
            .then(|| rest.strip_prefix(base)?.strip_prefix('/'))
            .flatten()
    }
}

fn bucket_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty()
        || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !name.chars().all(allowed)
    {
        return Err(format!(
            "`{name}` is no bucket name (letters, digits, `-`, `.` and `_`, without a path)"
        ));
    }
    Ok(name.to_ascii_lowercase())
}

fn folder(text: &str) -> Result<PathBuf, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    url.to_file_path()
        .map_err(|()| "expected an absolute folder such as file:///folder".to_owned())
}

/// What is worth repeating of a reference: a query may hold a signature, and the rest may be long.
fn shown(reference: &str) -> String {
    let is_url = reference
        .split_once("://")
        .is_some_and(|(scheme, _)| is_scheme(scheme));
    let plain = if is_url {
        reference.split(['?', '#']).next().unwrap_or_default()
    } else {
        reference
    };
    plain.chars().take(SHOWN_CHARS).collect()
}

fn is_scheme(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(allowed)
}

fn parse_key(text: &str) -> Result<Path, String> {
    let key = text.trim_start_matches('/');
    if key.is_empty() {
        return Err("it names no object".to_owned());
    }
    if key.ends_with('/') {
        return Err("it names a folder".to_owned());
    }
    if key.chars().any(|c| c.is_ascii_control()) {
        return Err("it has a control character".to_owned());
    }
    if let Some(part) = key.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        return Err(format!("a part of it is `{part}`"));
    }
    Path::parse(key).map_err(|_| "it is no object key".to_owned())
}

/// `s3[.region].amazonaws.com/<bucket>/<key>` and `<bucket>.s3[.region].amazonaws.com/<key>`.
fn key_on_amazon<'u>(bucket: &str, host: &str, path: &'u str) -> Option<&'u str> {
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
    let is_region = |region: &str| {
        !region.is_empty()
            && region
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    middle.is_empty() || middle.strip_prefix('.').is_some_and(is_region)
}

fn key_below<'u>(bucket: &str, path: &'u str) -> Option<&'u str> {
    let (name, key) = path.split_once('/')?;
    name.eq_ignore_ascii_case(bucket).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(url: &str) -> Location {
        let bucket = Bucket::parse(url).expect("a bucket URL");
        let base = bucket.home();
        Location::new(bucket, &base)
    }

    fn key(url: &str, reference: &str) -> String {
        at(url)
            .object_key(reference)
            .expect("a usable reference")
            .to_string()
    }

    fn refusal(url: &str, reference: &str) -> String {
        at(url)
            .object_key(reference)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn scheme_and_bucket_are_lower_cased() {
        assert_eq!(
            Bucket::parse("S3://My-Bucket"),
            Ok(Bucket::S3("my-bucket".to_owned()))
        );
        assert_eq!(
            Bucket::parse("GS://a.b_c/"),
            Ok(Bucket::Google("a.b_c".to_owned()))
        );
        assert_eq!(
            Bucket::parse("file:///Data/My%20Images"),
            Ok(Bucket::Folder(PathBuf::from("/Data/My Images")))
        );
    }

    #[test]
    fn a_bucket_url_needs_a_known_scheme_and_takes_no_path() {
        for text in [
            "my-bucket",
            "ftp://x",
            "s3://",
            "s3://a/b",
            "gs://a b",
            "s3://../x",
            "s3://..",
            "file://host/x",
        ] {
            assert!(Bucket::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_literal() {
        for text in [
            "uploads/a.tif",
            "a.tif",
            "uploads/50% of it.tif",
            "up/a%20b.tif",
            "ü/ñ (1)+[2]~.tif",
            "a:b,c/d?e#f",
        ] {
            assert_eq!(key("s3://b", text), text);
            assert_eq!(key("s3://b", &format!("/{text}")), text);
        }
    }

    #[test]
    fn keys_that_cannot_be_an_object_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "names no object"),
            ("//", "names no object"),
            ("uploads/", "names a folder"),
            ("a//b", "a part of it is ``"),
            ("../x", "a part of it is `..`"),
            ("a/../../etc/passwd", "a part of it is `..`"),
            ("./x", "a part of it is `.`"),
            ("a\0b", "control character"),
        ] {
            let message = refusal("s3://b", text);
            assert!(message.contains(reason), "{text:?}: {message}");
        }
    }

    #[test]
    fn urls_of_the_configured_bucket_are_decoded_keys() {
        for url in [
            "s3://b/up/a%20b.tif",
            "S3://B/up/a%20b.tif",
            "https://s3.amazonaws.com/b/up/a%20b.tif",
            "https://s3.eu-west-1.amazonaws.com/b/up/a%20b.tif",
            "https://b.s3.amazonaws.com/up/a%20b.tif",
            "https://b.s3.us-east-2.amazonaws.com/up/a%20b.tif?versionId=1",
            "HTTPS://B.S3.amazonaws.com/up/a%20b.tif#x",
        ] {
            assert_eq!(key("s3://b", url), "up/a b.tif", "{url}");
        }
        for url in [
            "gs://b/up/a%20b.tif",
            "https://storage.googleapis.com/b/up/a%20b.tif",
        ] {
            assert_eq!(key("gs://b", url), "up/a b.tif", "{url}");
        }
    }

    #[test]
    fn urls_of_anything_else_are_refused() {
        for url in [
            "s3://other/a.tif",
            "gs://b/a.tif",
            "https://s3.amazonaws.com/other/a.tif",
            "https://other.s3.amazonaws.com/a.tif",
            "https://b.s3.amazonaws.com.evil.example/a.tif",
            "https://s3.amazonaws.com:8443/b/a.tif",
            "https://s3.amazonaws.com@evil.example/b/a.tif",
            "https://s3.x.y.amazonaws.com/b/a.tif",
            "https://s3..amazonaws.com/b/a.tif",
            "https://evil.example/b/a.tif",
            "https://storage.googleapis.com/b/a.tif",
            "http://s3.amazonaws.com/b/a.tif",
            "http://169.254.169.254/latest/meta-data",
            "ftp://b/a.tif",
            "file:///etc/passwd",
        ] {
            refusal("s3://b", url);
        }
        refusal("gs://b", "https://storage.googleapis.com/other/a.tif");
        refusal("file:///data", "file:///etc/passwd");
        refusal("file:///data", "file:///data-of-others/x");
    }

    #[test]
    fn encoded_dots_in_a_url_do_not_climb() {
        refusal("s3://b", "https://s3.amazonaws.com/b/%2e%2e/other/a.tif");
        refusal("file:///data", "file:///data/%2E%2E/x");
    }

    #[test]
    fn a_refused_url_is_shown_without_its_signature() {
        let message = refusal(
            "s3://b",
            "https://evil.example/b/a.tif?X-Amz-Signature=abc123",
        );
        assert!(
            message.contains("evil.example") && !message.contains("abc123"),
            "{message}"
        );
    }

    #[test]
    fn public_urls_have_the_form_of_each_cloud() {
        assert_eq!(
            at("s3://b").public_url("output/0a.zip"),
            "https://s3.amazonaws.com/b/output/0a.zip"
        );
        assert_eq!(
            at("gs://b").public_url("a b/ü~+%.zip"),
            "https://storage.googleapis.com/b/a%20b/%C3%BC~%2B%25.zip"
        );
        assert_eq!(
            at("file:///My%20data/").public_url("x y"),
            "file:///My%20data/x%20y"
        );
        let behind_a_proxy = Location::new(
            Bucket::S3("b".to_owned()),
            "https://images.example/results/",
        );
        assert_eq!(
            behind_a_proxy.public_url("k"),
            "https://images.example/results/k"
        );
    }

    #[test]
    fn a_folder_stays_unnamed_in_messages() {
        assert!(!refusal("file:///home/somebody", "../x").contains("somebody"));
    }

    proptest! {
        #[test]
        fn the_public_url_of_a_key_leads_back_to_it(parts in prop::collection::vec("[^/\\p{Cc}]{1,12}", 1..5)) {
            prop_assume!(parts.iter().all(|part| part != "." && part != ".."));
            let text = parts.join("/");
            for bucket in ["s3://b", "gs://b", "file:///data/x y"] {
                let location = at(bucket);
                let url = location.public_url(&text);
                prop_assert!(url.is_ascii());
                prop_assert_eq!(location.object_key(&url).expect("our own URL").to_string(), text.clone());
            }
        }

        #[test]
        fn no_reference_leaves_the_bucket(text in "(s3://b/|https://b\\.s3\\.amazonaws\\.com/|/)?([a%2eE./\\\\]|\\PC){0,24}") {
            if let Ok(path) = at("s3://b").object_key(&text) {
                prop_assert!(!path.is_root());
                prop_assert!(path.as_ref().split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}
