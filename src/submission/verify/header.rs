//! The header of an image, of which as little as possible is read.

use std::io::{self, SeekFrom};
use std::ops::Range;

use bioimage::{Found, Header, Pieces};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::subjects::Place;
use crate::compute;
use crate::storage::{RangeReader, Storage};

/// Bytes that are read at once at first; a file up to this size is read whole.
const WINDOW: u64 = 64 << 10;
/// Pieces after which twice as much is read at once: directories are scattered all over the file.
const MANY: u32 = 64;

/// The header of an image, or why there is none.
pub(super) async fn read(
    place: &Place,
    name: &str,
    storage: Option<&Storage>,
) -> Result<Header, String> {
    let mut source = Source::open(place, storage).await?;
    let size = source.size();
    let mut pieces = Pieces::new(usize::try_from(size).map_err(|error| error.to_string())?);
    let mut count = 0;
    loop {
        let name = name.to_owned();
        // A header may be long.
        let (found, read) = compute::run(move || {
            let found = bioimage::header_of_pieces(&mut pieces, &name);
            (found, pieces)
        })
        .await;
        pieces = read;
        match found.map_err(|error| error.to_string())? {
            Found::Header(header) => return Ok(header),
            Found::Needs(range) => {
                let range = widened(&range, count, size);
                let start = range.start as usize;
                pieces.insert(start, source.read(range).await?);
                count += 1;
            }
        }
    }
}

/// Where the bytes of an image come from.
enum Source {
    /// A file of this machine, and its size.
    File(File, u64),
    Object(Box<RangeReader>),
}

impl Source {
    async fn open(place: &Place, storage: Option<&Storage>) -> Result<Self, String> {
        match place {
            Place::Nowhere(why) => Err(why.clone()),
            Place::File(path) => {
                let opened = async {
                    let file = File::open(path).await?;
                    let size = file.metadata().await?.len();
                    io::Result::Ok(Self::File(file, size))
                };
                opened.await.map_err(|error| error.to_string())
            }
            Place::Object(key) => {
                let storage = storage.ok_or("there is no bucket")?;
                let reader = storage.range_reader(key).await;
                let reader = reader.map_err(|error| error.to_string())?;
                Ok(Self::Object(Box::new(reader)))
            }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Object(reader) => reader.size(),
        }
    }

    async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, String> {
        match self {
            Self::File(file, _) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                let read = async {
                    file.seek(SeekFrom::Start(range.start)).await?;
                    file.read_exact(&mut bytes).await
                };
                read.await.map_err(|error| error.to_string())?;
                Ok(bytes)
            }
            Self::Object(reader) => {
                let bytes = reader.read(range).await;
                bytes.map(Into::into).map_err(|error| error.to_string())
            }
        }
    }
}

/// What is read when these bytes are needed: the windows that they are in, so that none is read twice in whatever order
/// directories stand.
fn widened(needed: &Range<usize>, pieces: u32, size: u64) -> Range<u64> {
    let window = WINDOW << (pieces / MANY).min(30);
    let start = needed.start as u64 / window * window;
    let end = (needed.end as u64).next_multiple_of(window);
    start..end.min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_read_at_once_where_pages_are_scattered() {
        assert_eq!(widened(&(10..12), 0, 100), 0..100);
        assert_eq!(widened(&(0..2), 63, 1 << 30), 0..WINDOW);
        assert_eq!(widened(&(0..2), 64, 1 << 30), 0..2 * WINDOW);
        assert_eq!(widened(&(5..6), u32::MAX, 1 << 30), 0..1 << 30);
        let both = WINDOW as usize - 1..WINDOW as usize + 1;
        assert_eq!(widened(&both, 0, 1 << 30), 0..2 * WINDOW);
        let last = 3 * WINDOW as usize..3 * WINDOW as usize + 9;
        assert_eq!(widened(&last, 0, 1 << 30), 3 * WINDOW..4 * WINDOW);
    }
}
