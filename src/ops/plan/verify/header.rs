//! The header of an image, of which as little as possible is read.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bioimage::{Found, Header, Pieces};

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
    match place {
        Place::Nowhere(why) => Err(why.clone()),
        Place::File(path) => {
            let (path, name) = (path.clone(), name.to_owned());
            let read = compute::run(move || of_file(&path, &name));
            read.await.map_err(|error| error.to_string())?
        }
        Place::Object(key) => {
            let storage = storage.ok_or("there is no bucket")?;
            of_object(storage, key, name).await
        }
    }
}

async fn of_object(storage: &Storage, key: &str, name: &str) -> Result<Header, String> {
    let text = |error: crate::storage::Error| error.to_string();
    let mut source: RangeReader = storage.range_reader(key).await.map_err(text)?;
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
                let bytes = source.read(range.clone()).await.map_err(text)?;
                pieces.insert(range.start as usize, bytes.into());
                count += 1;
            }
        }
    }
}

/// The same of a file of this machine; an error of the outer kind is one of reading.
fn of_file(path: &Path, name: &str) -> io::Result<Result<Header, String>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut pieces = Pieces::new(usize::try_from(size).map_err(io::Error::other)?);
    let mut count = 0;
    loop {
        match bioimage::header_of_pieces(&mut pieces, name) {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(Found::Header(header)) => return Ok(Ok(header)),
            Ok(Found::Needs(range)) => {
                let range = widened(&range, count, size);
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut bytes, range.start)?;
                pieces.insert(range.start as usize, bytes);
                count += 1;
            }
        }
    }
}

/// What is read when these bytes are needed.
fn widened(needed: &Range<usize>, pieces: u32, size: u64) -> Range<u64> {
    let window = WINDOW.saturating_mul(1 << (pieces / MANY).min(30));
    let start = needed.start as u64;
    let end = (needed.end as u64).max(start.saturating_add(window));
    start..end.min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_read_at_once_where_pages_are_scattered() {
        assert_eq!(widened(&(10..12), 0, 100), 10..100);
        assert_eq!(widened(&(0..2), 63, 1 << 30), 0..WINDOW);
        assert_eq!(widened(&(0..2), 64, 1 << 30), 0..2 * WINDOW);
        assert_eq!(widened(&(5..1_000_000), 0, 1 << 30), 5..1_000_000);
        assert_eq!(widened(&(5..6), u32::MAX, 1 << 30), 5..1 << 30);
    }
}
