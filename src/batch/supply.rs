//! Lists of plans that are in the bucket.

use std::io::{self, BufRead, Cursor};

use batch_plan::{Entries, Entry, Supply};
use tokio::runtime::Handle;

use crate::storage::Storage;

/// What names an object where a file could stand.
const OBJECT: &str = "bucket:";

/// The key of an object that stands in place of a file.
pub(crate) fn object_key(file: &str) -> Option<&str> {
    file.strip_prefix(OBJECT)
}

/// The bucket, for those who wait.
pub(crate) struct Bucket {
    pub(crate) storage: Option<Storage>,
    pub(crate) handle: Handle,
}

impl Bucket {
    fn storage(&self) -> io::Result<&Storage> {
        let missing = || io::Error::other("there is no bucket: set STORAGE_BUCKET");
        self.storage.as_ref().ok_or_else(missing)
    }
}

impl Supply for Bucket {
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        let missing = || io::Error::other("it is not in the bucket (`bucket:KEY`)");
        let key = object_key(file).ok_or_else(missing)?;
        let fetched = self.handle.block_on(self.storage()?.download(key));
        Ok(Box::new(Cursor::new(fetched.map_err(io::Error::other)?)))
    }

    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        let mut listing = self.storage()?.listing(prefix);
        let handle = &self.handle;
        let pages = std::iter::from_fn(move || {
            let page = handle.block_on(listing.next_page());
            page.map_err(io::Error::other).transpose()
        });
        Ok(Box::new(pages.flat_map(|page| match page {
            Err(error) => vec![Err(error)],
            Ok(page) => {
                let files = page.into_iter().filter(|found| found.size_bytes > 0);
                let entry = files.map(|found| Entry {
                    name: found.key,
                    size: found.size_bytes,
                });
                entry.map(Ok).collect()
            }
        })))
    }
}
