//! The files that are to be uploaded: those that are named, and those in folders that are named.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Its path from the folder that holds what was named, or from the one that is looked into, with `/` between its parts.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their names within each that was named.
    pub(crate) files: Vec<LocalFile>,
    /// What is in folders and is no file to submit: how many by what they are, and the first of them.
    left_out: BTreeMap<&'static str, (usize, PathBuf)>,
}

impl Found {
    /// A line on what was left out, if anything was.
    pub(crate) fn left_out(&self) -> Option<String> {
        let kinds = self.left_out.iter().map(|(kind, (count, first))| {
            let first = first.display().to_string();
            format!(
                "{count} {kind} ({first}{})",
                if *count > 1 { ", …" } else { "" }
            )
        });
        let kinds: Vec<_> = kinds.collect();
        (!kinds.is_empty()).then(|| format!("left out: {}", kinds.join(", ")))
    }

    fn leave_out(&mut self, kind: &'static str, path: &Path) {
        let entry = self.left_out.entry(kind);
        entry.or_insert_with(|| (0, path.to_owned())).0 += 1;
    }
}

/// The files below these paths, at most so many. What is named is taken whatever it is called.
///
/// # Errors
///
/// A path that is not there or cannot be read, by its name.
pub(crate) fn find(paths: &[PathBuf], limit: usize) -> Result<Found, String> {
    let mut found = Found::default();
    for path in paths {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        // The last part of `.` and `..` is known only of the whole path.
        let real = fs::canonicalize(path).map_err(failed)?;
        let name = path.file_name().or(real.file_name());
        let name = name
            .and_then(|name| name.to_str())
            .ok_or_else(|| format!("{}: its name is not UTF-8, or it has none", path.display()))?;
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            walk(path, name, limit, &mut found)?;
        } else if metadata.is_file() {
            found.files.push(file(path, name.to_owned(), &metadata));
        } else {
            return Err(format!(
                "{}: it is neither a file nor a folder",
                path.display()
            ));
        }
    }
    found.files.truncate(limit);
    Ok(found)
}

/// The files of a folder and those in it, by their paths from there.
///
/// # Errors
///
/// A folder that is not there or cannot be read, by its name.
pub(crate) fn find_in(folder: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    walk(folder, "", usize::MAX, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, name: &str, limit: usize, found: &mut Found) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder)
        .and_then(Iterator::collect)
        .map_err(|error| failed(folder, error));
    let mut entries: Vec<fs::DirEntry> = entries?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if found.files.len() >= limit {
            return Ok(());
        }
        let path = entry.path();
        let file_name = entry.file_name();
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        let Some(text) = file_name.to_str() else {
            found.leave_out("not UTF-8 in their names", &path);
            continue;
        };
        let name = match name {
            "" => text.to_owned(),
            name => format!("{name}/{text}"),
        };
        if text.starts_with('.') {
            found.leave_out("hidden", &path);
        } else if kind.is_symlink() {
            found.leave_out("symbolic links", &path);
        } else if kind.is_dir() {
            walk(&path, &name, limit, found)?;
        } else if kind.is_file() {
            let metadata = entry.metadata().map_err(|error| failed(&path, error))?;
            found.files.push(file(&path, name, &metadata));
        } else {
            found.leave_out("neither files nor folders", &path);
        }
    }
    Ok(())
}

fn file(path: &Path, name: String, metadata: &Metadata) -> LocalFile {
    LocalFile {
        path: path.to_owned(),
        name,
        size_bytes: metadata.len(),
        modified: metadata.modified().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &Found) -> Vec<&str> {
        found.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn folders_are_walked_in_order_without_what_is_hidden_or_a_link() {
        let root = std::env::temp_dir().join(format!("rc-files-{}", std::process::id()));
        let images = root.join("images");
        fs::create_dir_all(images.join("b/.git")).expect("folders");
        for name in ["b/2.tif", "b/10.tif", "a.tif", ".hidden", "b/.git/config"] {
            fs::write(images.join(name), name).expect("a file");
        }
        std::os::unix::fs::symlink("a.tif", images.join("link.tif")).expect("a link");
        std::os::unix::fs::symlink("..", images.join("b/up")).expect("a link");
        let found = find(std::slice::from_ref(&images), usize::MAX).expect("it is there");
        assert_eq!(
            names(&found),
            ["images/a.tif", "images/b/10.tif", "images/b/2.tif"]
        );
        assert_eq!(found.files[0].size_bytes, 5);
        let left_out = found.left_out().expect("some are");
        assert!(left_out.contains("2 hidden (") && left_out.contains("2 symbolic links ("));

        let named = [images.join(".hidden"), images.join("link.tif")];
        let found = find(&named, usize::MAX).expect("they are there");
        assert_eq!(names(&found), [".hidden", "link.tif"]);
        assert_eq!(found.left_out(), None);
        let found = find(&[images.join("b/..")], 1).expect("it is there");
        assert_eq!(names(&found), ["images/a.tif"]);
        let found = find_in(&images).expect("it is there");
        assert_eq!(names(&found), ["a.tif", "b/10.tif", "b/2.tif"]);
        let error = find(&[root.join("nothing")], 1).expect_err("it is not there");
        assert!(error.contains("nothing: No such file"), "{error}");
        fs::remove_dir_all(root).expect("it was made here");
    }
}
