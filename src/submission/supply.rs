//! Where the lists of plans come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::Command;

use batch_plan::{Entries, Entry, Supply};

use super::folder::matching;
use super::local_files::find_in;
use crate::batch::{Bucket, object_key};
use crate::untrusted;

/// Files of this machine, the bucket, and programs.
pub(super) struct Local {
    pub(super) bucket: Bucket,
}

impl Supply for Local {
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        match object_key(file) {
            Some(_) => self.bucket.open(file),
            None => Ok(Box::new(BufReader::new(File::open(file)?))),
        }
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
        self.bucket.objects(prefix)
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
