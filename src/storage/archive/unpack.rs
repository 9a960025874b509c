//! Results into folders.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::names::{clean_path, decoded, split_folder};
use crate::error_class::TooLarge;

/// What may come out of a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked<'a> {
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// The name of a file of the folder that is left alone.
    pub(crate) reserved: &'a str,
}

/// Puts the files of a result into a folder, each in one step, and gives their paths. What is no archive goes there as it is,
/// under the last part of its key.
pub(crate) fn unpack_files(
    packed: &Path,
    key: &str,
    folder: &Path,
    most: Unpacked<'_>,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut archive = match ZipArchive::new(File::open(packed)?) {
        Ok(archive) => archive,
        Err(_) if !key.to_ascii_lowercase().ends_with(".zip") => {
            let path = folder.join(clean_path(split_folder(key).1));
            fs::rename(packed, &path)?;
            return Ok(vec![path]);
        }
        Err(error) => anyhow::bail!("the result is no archive: {error}"),
    };
    let (mut names, mut paths, mut room) = (HashSet::new(), Vec::new(), most.bytes);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = clean_path(&decoded(entry.name_raw()));
        let is_file = !entry.is_dir() && !entry.is_symlink();
        if !is_file || name.is_empty() || name == most.reserved || !names.insert(name.clone()) {
            continue;
        }
        let size = entry.size();
        room = room.checked_sub(size).ok_or_else(|| {
            TooLarge(format!(
                "the results have more than {} bytes unpacked, which is all that there is room for",
                most.bytes
            ))
        })?;
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let part = folder.join(".entry.part");
        let written = io::copy(&mut entry.by_ref().take(size), &mut File::create(&part)?)?;
        anyhow::ensure!(written == size, "`{name}` of the result is cut off");
        fs::rename(&part, &path)?;
        paths.push(path);
    }
    Ok(paths)
}
