//! Files by patterns.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

/// The files that match a glob, which is taken from this folder, in the order of their names.
pub(crate) fn matching(folder: &Path, pattern: &str) -> io::Result<Vec<String>> {
    let whole = folder.join(pattern);
    let fixed: PathBuf = whole
        .components()
        .take_while(|part| {
            !part
                .as_os_str()
                .to_string_lossy()
                .contains(['*', '?', '[', '{'])
        })
        .collect();
    let glob = GlobBuilder::new(&whole.to_string_lossy())
        .literal_separator(true)
        .build()
        .map_err(io::Error::other)?
        .compile_matcher();
    if fixed.is_file() {
        return Ok(vec![fixed.to_string_lossy().into_owned()]);
    }
    let mut files = Vec::new();
    walk(&fixed, &mut |path| {
        if glob.is_match(path) {
            files.push(path.to_string_lossy().into_owned());
        }
    })?;
    files.sort();
    Ok(files)
}

/// Visits all files of a folder and those in it.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            walk(&entry.path(), each)?;
        } else if found.is_file() {
            each(&entry.path());
        }
    }
    Ok(())
}
