//! What the header of a file may cost: directories that do not overlap hold no more than their file has room for.

use crate::error::Error;

/// Most directories of a file, however large it is.
const MOST_DIRECTORIES: usize = 1 << 16;

/// Bytes of the smallest directory that says anything.
const SMALLEST_DIRECTORY: usize = 18;

/// Values that even a small file may list, as pages may share short lists.
const FREE_VALUES: usize = 1 << 16;

/// What is left to be read of the directories of one file.
pub(super) struct Budget {
    most_directories: usize,
    directories: usize,
    values_left: usize,
}

impl Budget {
    /// For a file of so many bytes.
    pub(super) fn new(file_bytes: usize) -> Self {
        Self {
            most_directories: (file_bytes / SMALLEST_DIRECTORY).min(MOST_DIRECTORIES),
            directories: 0,
            values_left: file_bytes / 2 + FREE_VALUES,
        }
    }

    /// Accounts for one more directory of so many entries.
    pub(super) fn directory(&mut self, entries: usize) -> Result<(), Error> {
        self.directories += 1;
        if self.directories > self.most_directories {
            return Err(Error::unsupported(format!(
                "more than {} image directories in a file of this size",
                self.most_directories
            )));
        }
        self.values(entries)
    }

    /// Accounts for so many entries or listed values.
    pub(super) fn values(&mut self, count: usize) -> Result<(), Error> {
        self.values_left = self
            .values_left
            .checked_sub(count)
            .ok_or_else(|| Error::corrupt("directories overlap"))?;
        Ok(())
    }
}
