//! What is in an archive, by the list at its end.

use std::io::{Read, Seek};

use super::error::ArchiveError;
use super::names::{decoded, is_folder};
use super::zip_list::read_list;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedFile {
    /// As the archive has it, for those who open it there.
    pub(crate) name: String,
    /// Bytes that it unpacks to, as the list says.
    pub(crate) size_bytes: u64,
}

/// The files of an archive, in its order.
///
/// # Errors
///
/// [`ArchiveError::NotAnArchive`] when there is no readable list of entries.
pub(crate) fn files_in(file: &mut (impl Read + Seek)) -> Result<Vec<ArchivedFile>, ArchiveError> {
    let list = read_list(file)?;
    let mut files = Vec::new();
    for index in 0..list.len() {
        let entry = list.entry(index).map_err(|_| ArchiveError::NotAnArchive)?;
        if !is_folder(entry.name_raw()) {
            files.push(ArchivedFile {
                name: decoded(entry.name_raw()),
                size_bytes: entry.size(),
            });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::write_zip;
    use super::*;

    #[test]
    fn files_are_told_in_their_order_whatever_they_are_called() {
        let entries = [("b/ü 1.tif", 3), ("a", 0)];
        let entries = entries.map(|(name, size)| (name.to_owned(), vec![7; size]));
        let archive = write_zip(entries).expect("an archive");
        let found = files_in(&mut Cursor::new(archive)).expect("its list");
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.size_bytes))
            .collect();
        assert_eq!(found, [("b/ü 1.tif", 3), ("a", 0)]);
        assert!(files_in(&mut Cursor::new(b"PK")).is_err());
    }
}
