//! A folder of this machine in place of a bucket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use percent_encoding::utf8_percent_encode;
use tokio::fs;
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
        pages: None,
    })
}

/// Why a file must not be touched: a symbolic link leads out of the folder, or it is none of those that end.
///
/// What is not there is judged by the folder that it would be in.
pub(super) async fn objection(root: &Path, key: &str) -> Option<String> {
    let root = fs::canonicalize(root).await.ok()?;
    let path = root.join(key);
    for place in path.ancestors() {
        let Ok(real) = fs::canonicalize(place).await else {
            continue;
        };
        if !real.starts_with(&root) {
            return Some("a symbolic link leads out of the folder".to_owned());
        }
        break;
    }
    let found = fs::metadata(&path).await.ok()?;
    let is_special = !found.is_file() && !found.is_dir();
    is_special.then(|| "it is not a regular file".to_owned())
}

/// What keeps a file from being read or written.
pub(in super::super) enum FolderError {
    /// There is no such file.
    NotFound,
    /// A part of its path is a file.
    NoFolder,
    /// No file can have this name.
    BadName(String),
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
        (_, Some(io::ErrorKind::NotADirectory)) => FolderError::NoFolder,
        (_, Some(io::ErrorKind::InvalidFilename)) => {
            FolderError::BadName("a part of it is longer than a file name can be".to_owned())
        }
        (_, Some(kind)) => FolderError::Other(kind.to_string()),
        (_, None) => FolderError::BadName("a folder cannot hold a file of this name".to_owned()),
    }
}
