//! The content of a file: its digest, and its way into the bucket.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::super::desk::LocalFile;
use crate::compute;
use crate::storage::{self, Storage, hexadecimal};

/// Files up to this size are read once and kept until they are stored; larger ones are read a second time.
const SMALL: u64 = 8 << 20;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) sha256: String,
    pub(super) size_bytes: u64,
    /// All of it, if it is small.
    body: Option<Bytes>,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The file: others may do better.
    #[error("{0}")]
    File(String),
    /// The bucket or Redis: nothing will do better now.
    #[error(transparent)]
    Peer(#[from] anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::File(error.to_string())
    }
}

impl From<storage::Error> for Trouble {
    fn from(error: storage::Error) -> Self {
        match error {
            // Its name cannot be that of an object.
            storage::Error::InvalidReference { .. } => Self::File(error.to_string()),
            error => Self::Peer(error.into()),
        }
    }
}

impl Content {
    /// Reads a file.
    pub(super) async fn read(file: &LocalFile) -> io::Result<Self> {
        let (path, size) = (file.path.clone(), file.size_bytes);
        compute::run(move || {
            if size > SMALL {
                return Self::of_large(&path);
            }
            let body = std::fs::read(&path)?;
            Ok(Self {
                sha256: hexadecimal(&Sha256::digest(&body)),
                size_bytes: body.len() as u64,
                body: Some(body.into()),
            })
        })
        .await
    }

    fn of_large(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (mut digest, mut size_bytes) = (Sha256::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            digest.update(&piece[..length]);
            size_bytes += length as u64;
        }
        Ok(Self {
            sha256: hexadecimal(&digest.finalize()),
            size_bytes,
            body: None,
        })
    }

    /// Stores it, and calls `sent` for each piece that is on its way.
    pub(super) async fn store(
        &self,
        storage: &Storage,
        key: &str,
        file: &LocalFile,
        sent: impl Fn(u64),
    ) -> Result<(), Trouble> {
        let mut writer = storage.object_writer(key)?.with_sha256(&self.sha256);
        if let Some(body) = &self.body {
            writer.write(body).await?;
            writer.finish().await?;
            sent(self.size_bytes);
            return Ok(());
        }
        let source = Arc::new(File::open(&file.path)?);
        let (mut digest, mut at) = (Sha256::new(), 0);
        loop {
            let source = Arc::clone(&source);
            let (state, piece) = compute::run(move || piece_at(&source, at, digest)).await?;
            digest = state;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            writer.write(&piece).await?;
            sent(piece.len() as u64);
        }
        if hexadecimal(&digest.finalize()) != self.sha256 {
            let text = "it changed while it was being read; submit it again";
            return Err(Trouble::File(text.to_owned()));
        }
        writer.finish().await?;
        Ok(())
    }
}

/// The bytes of a file from this place on, a megabyte at most, and the digest with them.
fn piece_at(file: &File, at: u64, mut digest: Sha256) -> io::Result<(Sha256, Vec<u8>)> {
    use std::os::unix::fs::FileExt as _;
    let mut piece = vec![0; PIECE];
    let length = file.read_at(&mut piece, at)?;
    piece.truncate(length);
    digest.update(&piece);
    Ok((digest, piece))
}
