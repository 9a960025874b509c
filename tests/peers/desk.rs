//! A Redis, a bucket behind S3, and a folder of files, for commands that take files.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::redis::Redis;
use super::s3::S3Server;

/// A Redis, a bucket behind S3, and files to submit.
pub(crate) struct Desk {
    pub(crate) redis: Redis,
    pub(crate) bucket: S3Server,
    pub(crate) files: TempDir,
}

impl Desk {
    /// All of it empty.
    pub(crate) fn open() -> Self {
        Self {
            redis: Redis::start_in_memory(),
            bucket: S3Server::start(),
            files: tempfile::tempdir().expect("a folder for files"),
        }
    }

    /// A file by its name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// The program with these arguments, in the folder of the files.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-consumer"));
        command
            .args(arguments)
            .current_dir(self.files.path())
            .env_clear()
            .env("REDIS_HOST", "127.0.0.1")
            .env("REDIS_PORT", self.redis.port().to_string())
            .env("STORAGE_ACL", "none")
            .env("STORAGE_MAX_BACKOFF", "0.01")
            .env("STORAGE_RETRY_TIMEOUT", "0.1")
            .envs(self.bucket.environment());
        command
    }

    /// What comes of it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program starts")
    }

    /// How many bodies were sent to the folder of uploads.
    pub(crate) fn puts(&self) -> usize {
        self.bucket.faults.count("PUT", "uploads/")
    }
}
