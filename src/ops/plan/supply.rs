//! Where the lists of plans come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::Command;

use batch_plan::{Entries, Entry, Supply};
use tokio::runtime::Handle;

use super::super::desk::find_in;
use super::folder::matching;
use crate::storage::Storage;
use crate::untrusted;

/// Files of this machine, the bucket, and programs.
pub(super) struct Local {
    pub(super) storage: Option<Storage>,
    pub(super) handle: Handle,
}

/// What names an object where a file could stand.
const OBJECT: &str = "bucket:";

impl Supply for Local {
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        let Some(key) = file.strip_prefix(OBJECT) else {
            return Ok(Box::new(BufReader::new(File::open(file)?)));
        };
        let storage = self.storage.as_ref();
        let storage = storage.ok_or_else(|| io::Error::other("there is no bucket"))?;
        let fetched = self.handle.block_on(storage.download(key));
        Ok(Box::new(Cursor::new(fetched.map_err(io::Error::other)?)))
    }

    fn glob(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        matching(Path::new(""), pattern)
    }

    fn folder(&mut self, path: &str) -> io::Result<Entries<'_>> {
        let found = find_in(Path::new(path)).map_err(io::Error::other)?;
        if let Some(text) = found.left_out() {
            writeln!(io::stderr(), "{}", untrusted::message(text))?;
        }
        let entries = found.files.into_iter().map(|file| Entry {
            name: file.name,
            size: file.size_bytes,
        });
        Ok(Box::new(entries.map(Ok)))
    }

    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        let storage = self.storage.as_ref();
        let storage = storage.ok_or_else(|| io::Error::other("there is no bucket"))?;
        let mut listing = storage.listing(prefix);
        let handle = &self.handle;
        let pages = std::iter::from_fn(move || {
            let page = handle.block_on(listing.next_page());
            page.map_err(io::Error::other).transpose()
        });
        Ok(Box::new(pages.flat_map(|page| {
            match page {
                Err(error) => vec![Err(error)],
                Ok(page) => page
                    .into_iter()
                    .filter(|found| found.size_bytes > 0)
                    .map(|found| {
                        Ok(Entry {
                            name: found.key,
                            size: found.size_bytes,
                        })
                    })
                    .collect(),
            }
        })))
    }

    fn command(&mut self, words: &[String]) -> io::Result<Box<dyn BufRead + '_>> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("there is no program"))?;
        let output = Command::new(program).args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("{}: {said}", output.status)));
        }
        Ok(Box::new(Cursor::new(output.stdout)))
    }
}
