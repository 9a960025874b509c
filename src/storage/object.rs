//! One object, and what goes wrong with it: the errors of clients and stores in the words of [`Error`].

use std::io;
use std::time::Duration;

use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{Attribute, Attributes};

use super::content_type::content_type;
use super::error::{Direction, Error, Failure};
use super::provider::{Bucket, FolderError};
use super::transport::{CredentialsError, HttpStatusError};
use super::unknown_size::CannotUnpack;
use super::urls::redacted;
use crate::descriptors;

/// The metadata of an object that has the SHA-256 of its content, in hexadecimal digits.
pub(super) const SHA256: &str = "sha256";

/// One object and where it is, for requests and messages.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) path: Path,
    pub(super) bucket: Bucket,
    pub(super) direction: Direction,
    /// What is to be stored, for those who would store the same again.
    pub(super) sha256: Option<String>,
}

impl Object {
    /// What the store is told of an object beside its bytes.
    pub(super) fn attributes(&self) -> Attributes {
        match &self.bucket {
            // Folders keep no attributes, and refuse them.
            Bucket::Folder(_) => Attributes::new(),
            _ => {
                let kind = (Attribute::ContentType, content_type(self.path.as_ref()));
                let mut attributes = Attributes::from_iter([kind]);
                if let Some(sha256) = &self.sha256 {
                    attributes.insert(Attribute::Metadata(SHA256.into()), sha256.clone().into());
                }
                attributes
            }
        }
    }

    /// The same for an object that is put together from parts. On Azure `provider::azure` tells, since the client cannot.
    pub(super) fn attributes_of_parts(&self) -> Attributes {
        match &self.bucket {
            Bucket::Azure(_) => Attributes::new(),
            _ => self.attributes(),
        }
    }

    /// What an error of the client means for this object, and whether it is transient.
    pub(super) fn failure(&self, error: &object_store::Error) -> Failure {
        tracing::debug!(storage.key = %self.path, storage.bucket = %self.bucket, %error, "storage request failed");
        let root = causes(error).last().map(ToString::to_string);
        let root = root.unwrap_or_default();
        // Whoever hands out credentials may be asked again, whatever the answer was.
        if causes(error).any(|cause| cause.is::<CredentialsError>()) {
            return Failure::Transient(format!("no credentials: {root}"));
        }
        if let Some(answer) = http_status_error(error) {
            return self.refused(answer);
        }
        let packed = causes(error).find_map(|cause| cause.downcast_ref::<CannotUnpack>());
        if let Some(why) = packed {
            return Failure::Permanent(self.other(why.to_string()));
        }
        // No answer at all: refused, cut off, or silent for too long.
        if causes(error).any(|cause| cause.is::<HttpError>()) {
            return Failure::Transient(root);
        }
        let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        if io.is_some_and(descriptors::is_shortage) {
            return Failure::Transient("too many open files".to_owned());
        }
        Failure::Permanent(self.without_request(error, io.map(io::Error::kind)))
    }

    /// What an error of a folder means, where nothing is transient.
    pub(super) fn permanent_failure(&self, error: &object_store::Error) -> Error {
        self.settled(self.failure(error))
    }

    /// A failure that is not met again.
    pub(super) fn settled(&self, failure: Failure) -> Error {
        match failure {
            Failure::Permanent(error) => error,
            Failure::Transient(reason) => self.other(reason),
        }
    }

    /// What an error means that no request has caused: trouble of a folder, or of the client itself.
    fn without_request(&self, error: &object_store::Error, io: Option<io::ErrorKind>) -> Error {
        match self.bucket.folder_error(error, io) {
            Some(FolderError::NotFound) => self.not_found(),
            Some(FolderError::NoFolder) if self.direction == Direction::Read => self.not_found(),
            Some(FolderError::NoFolder) => self.invalid("a part of it is a file".to_owned()),
            Some(FolderError::BadName(reason)) => self.invalid(reason),
            Some(FolderError::Changed) => self.changed(),
            Some(FolderError::Denied(reason)) => self.denied(reason),
            Some(FolderError::Other(reason)) => self.other(reason),
            None => self.other("unusable credentials or a malformed answer".to_owned()),
        }
    }

    fn refused(&self, answer: &HttpStatusError) -> Failure {
        let reason = answer.to_string();
        match answer.status {
            // A 200 that carries an error is a store that failed halfway.
            200 | 408 | 429 | 500 | 502 | 503 | 504 => Failure::Transient(reason),
            404 if self.direction == Direction::Read && !self.bucket.is_missing(answer) => {
                Failure::Permanent(self.not_found())
            }
            // Only ranges can be unsatisfiable, and those asked for were inside the object.
            416 => Failure::Permanent(self.changed()),
            401 | 403 => Failure::Permanent(self.denied(reason)),
            _ => Failure::Permanent(self.other(reason)),
        }
    }

    /// Whether it may be touched at all.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        match self.bucket.objection(self.path.as_ref()).await {
            Some(reason) => Err(Failure::Permanent(self.invalid(reason))),
            None => Ok(()),
        }
    }

    fn invalid(&self, reason: String) -> Error {
        Error::InvalidReference {
            reference: redacted(self.path.as_ref()),
            bucket: self.bucket.to_string(),
            reason,
        }
    }

    pub(super) fn not_found(&self) -> Error {
        Error::NotFound {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
        }
    }

    pub(super) fn changed(&self) -> Error {
        Error::ChangedWhileReading {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
        }
    }

    fn denied(&self, reason: String) -> Error {
        Error::PermissionDenied {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
            reason,
            direction: self.direction,
        }
    }

    fn other(&self, reason: String) -> Error {
        Error::Other {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
            reason,
            direction: self.direction,
        }
    }

    pub(super) fn too_large(&self, size_bytes: u64, limit_bytes: u64) -> Failure {
        Failure::Permanent(Error::TooLarge {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
            size_bytes,
            limit_bytes,
        })
    }

    pub(super) fn longer_than(&self, limit_bytes: u64) -> Failure {
        Failure::Permanent(Error::LongerThanLimit {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
            limit_bytes,
        })
    }

    pub(super) fn unavailable(&self, attempts: u32, elapsed: Duration, reason: String) -> Error {
        Error::Unavailable {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
            attempts,
            elapsed,
            reason,
            direction: self.direction,
        }
    }
}

/// The answer of the store behind an error, if there was one.
pub(super) fn http_status_error(error: &object_store::Error) -> Option<&HttpStatusError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Failure {
        refused_by(Bucket::Gcs("b".to_owned()), status, code)
    }

    fn refused_by(bucket: Bucket, status: u16, code: Option<&str>) -> Failure {
        let object = Object {
            path: Path::from("up/a.tif"),
            bucket,
            direction: Direction::Read,
            sha256: None,
        };
        object.refused(&HttpStatusError {
            status,
            code: code.map(str::to_owned),
            hint: None,
        })
    }

    fn permanent(failure: Failure) -> Error {
        match failure {
            Failure::Permanent(error) => error,
            Failure::Transient(reason) => panic!("it would be repeated: {reason}"),
        }
    }

    #[test]
    fn busy_stores_may_recover() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(
                matches!(refused(status, None), Failure::Transient(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn a_shortage_of_files_passes_in_a_folder_too() {
        let object = Object {
            path: Path::from("up/a.tif"),
            bucket: Bucket::parse("file:///data").expect("a folder"),
            direction: Direction::Read,
            sha256: None,
        };
        let error = |number| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from_raw_os_error(number)),
        };
        assert!(matches!(object.failure(&error(24)), Failure::Transient(_)));
        assert!(matches!(object.failure(&error(5)), Failure::Permanent(_)));
    }

    #[test]
    fn other_refusals_are_permanent_and_tell_apart_what_a_caller_can_do() {
        let error = |status, code| permanent(refused(status, code));
        assert!(matches!(
            error(404, Some("NoSuchKey")),
            Error::NotFound { .. }
        ));
        assert!(matches!(
            error(403, Some("AccessDenied")),
            Error::PermissionDenied { .. }
        ));
        assert!(matches!(error(401, None), Error::PermissionDenied { .. }));
        assert!(matches!(
            error(416, None),
            Error::ChangedWhileReading { .. }
        ));
        for status in [301, 400, 405, 409, 412, 501] {
            assert!(
                matches!(error(status, None), Error::Other { .. }),
                "{status}"
            );
        }
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_not_a_missing_object() {
        for (url, code) in [
            ("s3://b", "NoSuchBucket"),
            ("gs://b", "NoSuchBucket"),
            ("az://b", "ContainerNotFound"),
        ] {
            let bucket = Bucket::parse(url).expect("a bucket URL");
            let error = permanent(refused_by(bucket, 404, Some(code)));
            assert_eq!(
                error.to_string(),
                format!("request for `up/a.tif` in {url} failed: HTTP 404 {code}")
            );
        }
    }
}
