//! Objects to files and back, a piece at a time.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::Storage;

/// Bytes that are moved at once.
const PIECE: u64 = 8 << 20;

impl Storage {
    /// Writes an object into a file, which is new or replaced.
    ///
    /// # Errors
    ///
    /// The object cannot be fetched, or the file not be written.
    pub(crate) async fn download_to(&self, reference: &str, path: &Path) -> anyhow::Result<()> {
        let mut reader = self.range_reader(reference).await?;
        let mut file = File::create(path).await?;
        let mut at = 0;
        while at < reader.size() {
            let end = reader.size().min(at + PIECE);
            file.write_all(&reader.read(at..end).await?).await?;
            at = end;
        }
        file.flush().await?;
        Ok(())
    }

    /// Stores a file, in parts if it is large, and gives the public URL of the object.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the object not be stored.
    pub(crate) async fn upload_file(&self, key: &str, path: &Path) -> anyhow::Result<String> {
        let mut writer = self.object_writer(key)?;
        let mut file = File::open(path).await?;
        let mut piece = vec![0; PIECE as usize];
        loop {
            match file.read(&mut piece).await {
                Ok(0) => return Ok(writer.finish().await?),
                Ok(read) => writer.write(&piece[..read]).await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
