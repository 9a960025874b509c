//! A clock of a server's own, which can be put ahead and back while the server runs.
//!
//! `libfaketime` does the same, but not to a Redis with jemalloc, as distributions build it: that does not start. So it is a
//! few lines of C, compiled where they are needed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Clock {
    folder: TempDir,
}

impl Clock {
    /// A clock that goes right.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the clock");
        let clock = Self { folder };
        fs::write(clock.offset(), 0_i64.to_ne_bytes()).expect("its offset");
        let source = clock.folder.path().join("clock.c");
        fs::write(&source, include_str!("clock.c")).expect("its source");
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([clock.library(), source])
            .status();
        let compiled = compiled.expect("a C compiler is installed (`make test` sees to it)");
        assert!(compiled.success(), "the clock cannot be compiled");
        clock
    }

    /// Sets it so many seconds ahead of the system's, or behind.
    pub(crate) fn set(&self, seconds: i64) {
        // In place: who reads it has the file mapped.
        let file = File::options().write(true).open(self.offset());
        let file = file.expect("the offset is there");
        file.write_all_at(&seconds.to_ne_bytes(), 0)
            .expect("the disk takes it");
    }

    /// The variables that give a program this clock.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.library()),
            ("CLOCK_OFFSET", self.offset()),
        ]
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}
