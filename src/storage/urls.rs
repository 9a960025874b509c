//! Names of objects: keys and URLs out of job hashes, and the public URLs of results.
//!
//! Pure text; nothing in here talks to a store.

use object_store::path::{InvalidPart, Path, PathPart};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::error::Error;
use super::provider::{BUCKET_SCHEMES, Bucket, ENCODED};

/// The longest piece of a reference that an error message repeats, in characters.
const SHOWN_CHARS: usize = 200;

/// A bucket and the addresses of its objects.
#[derive(Clone, Debug)]
pub(super) struct ObjectUrls {
    bucket: Bucket,
    /// What comes before `/<key>` in the URLs that are given out.
    public_url: String,
    /// The same of other addresses of the bucket, which nobody is given but some have.
    other_urls: Vec<String>,
}

impl ObjectUrls {
    /// Without a `public_url` the bucket's own is given out.
    pub(super) fn new(
        bucket: Bucket,
        public_url: Option<&str>,
        own_url: String,
        mut other_urls: Vec<String>,
    ) -> Self {
        let public_url = public_url
            .unwrap_or(&own_url)
            .trim_end_matches('/')
            .to_owned();
        other_urls.push(own_url.trim_end_matches('/').to_owned());
        Self {
            bucket,
            public_url,
            other_urls,
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The key that a job's `input_file_name` means: a key as it stands, or a URL of an object in this very bucket.
    ///
    /// Only URLs are percent-decoded; leading `/` are dropped. Other hosts, buckets and schemes, and keys that cannot
    /// be an object (empty, folders, with `.` or `..` as a part, with control characters, or too long) are refused.
    pub(super) fn object_key(&self, reference: &str) -> Result<Path, Error> {
        let key = match reference.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => self.key_in_url(scheme, rest),
            _ => Ok(reference.to_owned()),
        };
        key.and_then(|key| self.parse_key(&key))
            .map_err(|reason| self.invalid(reference, reason))
    }

    /// The key of an object that is about to be written. Never a URL.
    pub(super) fn new_key(&self, key: &str) -> Result<Path, Error> {
        self.parse_key(key)
            .map_err(|reason| self.invalid(key, reason))
    }

    /// Where anybody can read the object of this key.
    pub(super) fn public_url(&self, key: &str) -> String {
        format!("{}/{}", self.public_url, utf8_percent_encode(key, ENCODED))
    }

    fn invalid(&self, reference: &str, reason: String) -> Error {
        Error::InvalidReference {
            reference: redacted(reference),
            bucket: self.bucket.to_string(),
            reason,
        }
    }

    fn parse_key(&self, text: &str) -> Result<Path, String> {
        let key = text.trim_start_matches('/');
        if key.is_empty() {
            return Err("it has no key".to_owned());
        }
        if key.ends_with('/') {
            return Err("it names a folder".to_owned());
        }
        if key.chars().any(|c| c.is_ascii_control()) {
            return Err("it contains a control character".to_owned());
        }
        if let Some(part) = key.split('/').find(|part| matches!(*part, "." | "..")) {
            return Err(format!("it contains the path segment `{part}`"));
        }
        if self.bucket.is_too_long(key) {
            return Err("it is longer than a key can be".to_owned());
        }
        // A path that is parsed as a whole may have no empty parts, though buckets tell `a//b` from `a/b`.
        let parts = key.split('/');
        let kept = parts.filter(|part| !part.is_empty() || self.bucket.keeps_empty_parts());
        kept.map(PathPart::parse)
            .try_fold(Path::ROOT, |path, part| Ok(path.join(part?)))
            .map_err(|_: InvalidPart| "it is not a valid object key".to_owned())
    }

    fn key_in_url(&self, scheme: &str, rest: &str) -> Result<String, String> {
        let scheme = scheme.to_ascii_lowercase();
        let encoded = match scheme.as_str() {
            "https" | "http" | "file" => self.key_in_web_url(&scheme, rest)?,
            scheme if BUCKET_SCHEMES.contains(&scheme) => self.key_in_bucket_url(scheme, rest)?,
            other => return Err(format!("URLs of scheme `{other}` are not accepted")),
        };
        let decoded = percent_decode_str(encoded).decode_utf8();
        decoded
            .map(String::from)
            .map_err(|_| "its percent-encoded bytes are not UTF-8".to_owned())
    }

    /// `s3://bucket/key`, `gs://bucket/key`, `az://container/key`.
    fn key_in_bucket_url<'u>(&self, scheme: &str, rest: &'u str) -> Result<&'u str, String> {
        let Some(ours) = self.bucket.name_in_scheme(scheme) else {
            return Err(format!("this {scheme}:// URL belongs to another store"));
        };
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.eq_ignore_ascii_case(ours) {
            Ok(key)
        } else {
            Err("the URL belongs to another bucket".to_owned())
        }
    }

    /// What [`ObjectUrls::public_url`] gives out, and the cloud's own HTTPS addresses of this bucket.
    fn key_in_web_url<'u>(&self, scheme: &str, rest: &'u str) -> Result<&'u str, String> {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.to_ascii_lowercase();
        let host = without_default_port(scheme, &host);
        let url = WebUrl { scheme, host, path };
        url.below(&self.public_url)
            .or_else(|| self.other_urls.iter().find_map(|base| url.below(base)))
            .or_else(|| {
                self.bucket
                    .key_in_url(host, path)
                    .filter(|_| scheme == "https")
            })
            .ok_or_else(|| "the URL belongs to another host or bucket".to_owned())
    }
}

/// A URL in its parts, without query and fragment.
struct WebUrl<'u, 'h> {
    scheme: &'h str,
    /// In lower case.
    host: &'h str,
    path: &'u str,
}

impl<'u> WebUrl<'u, '_> {
    /// What comes after a base and a `/`.
    fn below(&self, base: &str) -> Option<&'u str> {
        let (scheme, rest) = base.split_once("://")?;
        let (host, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let host = without_default_port(scheme, host);
        if scheme != self.scheme || !host.eq_ignore_ascii_case(self.host) {
            return None;
        }
        if folder.is_empty() {
            return Some(self.path);
        }
        self.path.strip_prefix(folder)?.strip_prefix('/')
    }
}

fn without_default_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    host.strip_suffix(port).unwrap_or(host)
}

/// What is worth repeating of a reference: a query may hold a signature, and the rest may be long.
pub(super) fn redacted(reference: &str) -> String {
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
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bucket at its cloud, with the public URLs that the cloud itself has.
    fn at(url: &str) -> ObjectUrls {
        let bucket = Bucket::parse(url).expect("a bucket URL");
        let own = match &bucket {
            Bucket::S3(name) => format!("https://s3.amazonaws.com/{name}"),
            Bucket::Gcs(name) => format!("https://storage.googleapis.com/{name}"),
            Bucket::Azure(name) => format!("https://cells.blob.core.windows.net/{name}"),
            Bucket::Folder(_) => bucket.url(),
        };
        let others = match &bucket {
            Bucket::Azure(name) => vec![format!("https://cells.dfs.core.windows.net/{name}")],
            _ => Vec::new(),
        };
        ObjectUrls::new(bucket, None, own, others)
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
    fn keys_are_literal() {
        for text in [
            "uploads/a.tif",
            "a.tif",
            "uploads/50% of it.tif",
            "up/a%20b.tif",
            "ü/ñ (1)+[2]~.tif",
            "a:b,c/d?e#f",
            "up//b.tif",
            "up///lab//c.tif",
        ] {
            assert_eq!(key("s3://b", text), text);
            assert_eq!(key("s3://b", &format!("/{text}")), text);
        }
    }

    #[test]
    fn empty_parts_belong_to_a_key_but_not_to_a_file() {
        for bucket in ["gs://b", "az://b"] {
            assert_eq!(key(bucket, "up//b.tif"), "up//b.tif");
        }
        assert_eq!(
            key("s3://b", "https://s3.amazonaws.com/b/up//b.tif"),
            "up//b.tif"
        );
        assert_eq!(key("file:///data", "up//b.tif"), "up/b.tif");
        refusal("s3://b", "a//../b");
    }

    #[test]
    fn keys_longer_than_any_store_takes_are_refused() {
        let long = |letter: &str, count| letter.repeat(count);
        for bucket in ["s3://b", "gs://b"] {
            key(bucket, &long("x", 1024));
            assert!(refusal(bucket, &long("ü", 513)).contains("longer than a key can be"));
        }
        key("az://b", &long("ü", 1024));
        refusal("az://b", &long("x", 1025));
    }

    #[test]
    fn keys_that_cannot_be_an_object_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it has no key"),
            ("//", "it has no key"),
            ("uploads/", "names a folder"),
            ("../x", "the path segment `..`"),
            ("a/../../etc/passwd", "the path segment `..`"),
            ("./x", "the path segment `.`"),
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
            "https://s3-us-west-2.amazonaws.com/b/up/a%20b.tif",
            "https://b.s3.dualstack.us-west-2.amazonaws.com/up/a%20b.tif",
            "https://b.s3-accelerate.amazonaws.com/up/a%20b.tif",
            "https://b.s3.amazonaws.com:443/up/a%20b.tif",
        ] {
            assert_eq!(key("s3://b", url), "up/a b.tif", "{url}");
        }
        for url in [
            "gs://b/up/a%20b.tif",
            "https://storage.googleapis.com/b/up/a%20b.tif",
        ] {
            assert_eq!(key("gs://b", url), "up/a b.tif", "{url}");
        }
        for url in [
            "az://b/up/a%20b.tif",
            "AZ://B/up/a%20b.tif",
            "https://cells.blob.core.windows.net/b/up/a%20b.tif",
            "https://Cells.blob.core.windows.net/b/up/a%20b.tif?sv=1&sig=x",
            "https://cells.blob.core.windows.net:443/b/up/a%20b.tif",
            "https://cells.dfs.core.windows.net/b/up/a%20b.tif",
        ] {
            assert_eq!(key("az://b", url), "up/a b.tif", "{url}");
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
        for url in [
            "az://other/a.tif",
            "s3://b/a.tif",
            "https://cells.blob.core.windows.net/other/a.tif",
            "https://others.blob.core.windows.net/b/a.tif",
            "https://cells.blob.core.windows.net.evil.example/b/a.tif",
            "http://cells.blob.core.windows.net/b/a.tif",
            "https://cells.blob.core.windows.net@evil.example/b/a.tif",
        ] {
            refusal("az://b", url);
        }
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
        assert_eq!(
            at("az://b").public_url("a b/0.zip"),
            "https://cells.blob.core.windows.net/b/a%20b/0.zip"
        );
        let behind_a_proxy = ObjectUrls::new(
            Bucket::S3("b".to_owned()),
            Some("https://images.example/results/"),
            "http://minio:9000/b".to_owned(),
            Vec::new(),
        );
        for url in [
            "https://images.example/results/k",
            "https://images.example:443/results/k",
            "http://minio:9000/b/k",
        ] {
            let key = behind_a_proxy.object_key(url).expect("ours");
            assert_eq!(key.as_ref(), "k", "{url}");
        }
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
            for bucket in ["s3://b", "gs://b", "az://b", "file:///data/x y"] {
                let urls = at(bucket);
                let url = urls.public_url(&text);
                prop_assert!(url.is_ascii());
                prop_assert_eq!(urls.object_key(&url).expect("our own URL").to_string(), text.clone());
            }
        }

        #[test]
        fn no_reference_leaves_the_bucket(text in "(s3://b/|https://b\\.s3\\.amazonaws\\.com/|/)?([a%2eE./\\\\]|\\PC){0,24}") {
            if let Ok(path) = at("s3://b").object_key(&text) {
                prop_assert!(!path.is_root());
                prop_assert!(path.as_ref().split('/').all(|part| !matches!(part, "." | "..")));
            }
        }
    }
}
