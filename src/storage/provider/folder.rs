//! A folder of this machine in place of a bucket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use percent_encoding::utf8_percent_encode;
use url::Url;

use super::object_path::ENCODED;
use super::store::{BoxError, Store};

/// The scheme of folder URLs.
pub(super) const SCHEME: &str = "file";

/// The word in metrics.
pub(super) const LABEL: &str = "folder";

/// The folder that a URL names.
pub(super) fn parse(url: &str) -> Result<PathBuf, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    url.to_file_path()
        .map_err(|()| "expected an absolute folder such as file:///folder".to_owned())
}

/// The URL of the folder, which is what the URLs of its files begin with.
pub(super) fn url(folder: &Path) -> String {
    let encoded = utf8_percent_encode(&folder.to_string_lossy(), ENCODED).to_string();
    format!("file://{}", encoded.trim_end_matches('/'))
}

/// A client for the folder, which is created if it is missing.
pub(super) fn open(folder: &Path) -> Result<Store, BoxError> {
    std::fs::create_dir_all(folder)?;
    Ok(Store {
        objects: Arc::new(LocalFileSystem::new_with_prefix(folder)?),
        parts: None,
    })
}

/// What keeps a file from being read or written.
pub(in super::super) enum FolderError {
    /// There is no such file.
    NotFound,
    /// It is not the version that was asked for.
    Changed,
    /// This user may not.
    Denied(String),
    /// Anything else, without the path.
    Other(String),
}

/// What an error of the client means; nothing about a folder is transient.
pub(in super::super) fn error(
    error: &object_store::Error,
    io: Option<io::ErrorKind>,
) -> FolderError {
    match (error, io) {
        (object_store::Error::NotFound { .. }, _) => FolderError::NotFound,
        (object_store::Error::Precondition { .. }, _) => FolderError::Changed,
        (_, Some(kind @ io::ErrorKind::PermissionDenied)) => FolderError::Denied(kind.to_string()),
        (_, Some(kind)) => FolderError::Other(kind.to_string()),
        (_, None) => FolderError::Other("a folder cannot hold a file of this name".to_owned()),
    }
}
