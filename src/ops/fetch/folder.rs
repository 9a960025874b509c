//! The folder of a result, which is one job's alone.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::queue::JobKey;
use crate::storage::archive::{clean_path, split_folder, without_last_suffix};
use crate::storage::hexadecimal;

/// In a folder with a result: the key of its job. Nothing of another job comes into that folder.
pub(super) const MARK: &str = ".redis-consumer-job";
/// In a folder whose result is not unpacked yet: that result.
pub(super) const PACKED: &str = ".result.part";

/// What the folder of a result is called.
#[derive(Clone, Debug)]
pub(crate) enum FolderName {
    /// Like this file, without its suffix.
    OfFile(String),
    /// This, as it stands.
    Whole(String),
}

impl FolderName {
    /// The folder for the result of this job, which is this job's alone; another one if somebody else has it.
    pub(super) fn claim(&self, to: &Path, job: &JobKey) -> io::Result<PathBuf> {
        let folders = self.folders(to, job);
        for folder in &folders {
            if is_for(folder, job)? {
                return Ok(folder.clone());
            }
        }
        let last = folders.last().map_or(to, PathBuf::as_path);
        Err(io::Error::other(format!(
            "there is something else in {}",
            last.display()
        )))
    }

    /// Whether the whole result of this job is there.
    pub(super) fn is_there(&self, to: &Path, job: &JobKey) -> bool {
        self.folders(to, job)
            .iter()
            .any(|folder| is_complete(folder, job).unwrap_or(false))
    }

    /// The folders that it may be, the best ones first.
    fn folders(&self, to: &Path, job: &JobKey) -> Vec<PathBuf> {
        let (Self::OfFile(name) | Self::Whole(name)) = self;
        let name = clean_path(name);
        let (parents, file) = split_folder(&name);
        let stem = match self {
            Self::OfFile(_) => without_last_suffix(file),
            Self::Whole(_) => file,
        };
        let stem = match stem {
            "" => "result",
            stem => stem,
        };
        let digest = hexadecimal(&Sha256::digest(&job.0)[..4]);
        let names = [stem.to_owned(), file.to_owned(), format!("{stem}-{digest}")];
        let named = names.iter().filter(|name| !name.is_empty());
        named.map(|name| to.join(parents).join(name)).collect()
    }
}

/// Whether a folder is this job's, be it that it was nobody's.
fn is_for(folder: &Path, job: &JobKey) -> io::Result<bool> {
    let mark = folder.join(MARK);
    match fs::read(&mark) {
        Ok(owner) => return Ok(owner == job.0),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        Err(_) => {}
    }
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Ok(false);
    }
    let mut mark = File::create_new(mark)?;
    mark.write_all(&job.0)?;
    Ok(true)
}

/// Whether a folder holds what was unpacked of this job, and nothing is left to unpack.
fn is_complete(folder: &Path, job: &JobKey) -> io::Result<bool> {
    if fs::read(folder.join(MARK))? != job.0 || folder.join(PACKED).exists() {
        return Ok(false);
    }
    Ok(fs::read_dir(folder)?.count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobKey {
        JobKey(name.as_bytes().to_vec())
    }

    #[test]
    fn each_job_has_a_folder_of_its_own() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let of = |name: FolderName, key: &str| {
            let folder = name.claim(root, &job(key)).expect("a folder");
            let inside = folder.strip_prefix(root).expect("inside");
            inside.display().to_string()
        };
        let file = |name: &str, key: &str| of(FolderName::OfFile(name.to_owned()), key);
        assert_eq!(file("a/t1.tif", "1"), "a/t1");
        assert_eq!(file("a/t1.tif", "1"), "a/t1");
        assert_eq!(file("a/t1.png", "2"), "a/t1.png");
        assert!(file("a/t1.png", "3").starts_with("a/t1-"));
        assert_eq!(file("../../up.tif", "4"), "up");
        assert_eq!(file("", "5"), "result");
        fs::create_dir(root.join("mine")).expect("a folder");
        fs::write(root.join("mine/notes"), "mine").expect("a file");
        assert_eq!(file("mine.tif", "6"), "mine.tif");
        let whole = |name: &str, key: &str| of(FolderName::Whole(name.to_owned()), key);
        assert_eq!(whole("../v1.5/x", "7"), "v1.5/x");
        assert_eq!(whole("v1.6", "8"), "v1.6");
    }

    #[test]
    fn a_result_is_there_when_nothing_is_left_to_unpack() {
        let root = tempfile::tempdir().expect("a folder");
        let (name, root) = (FolderName::Whole("a".to_owned()), root.path());
        let is_there = |key: &str| name.is_there(root, &job(key));
        assert!(!is_there("1"));
        let folder = name.claim(root, &job("1")).expect("a folder");
        assert!(!is_there("1"));
        fs::write(folder.join("mask.tif"), "m").expect("a file");
        assert!(is_there("1") && !is_there("2"));
        fs::write(folder.join(PACKED), "p").expect("a file");
        assert!(!is_there("1"));
    }
}
