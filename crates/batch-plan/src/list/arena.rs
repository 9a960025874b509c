//! Many rows, each as the JSON that is stored in the end.

use serde_json::{Map, Value};

use crate::layout::MAX_ITEMS;

/// Bytes that are taken at once.
const CHUNK: usize = 1 << 20;

/// The variables of rows, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// Chunk and offset, a half each.
    places: Vec<u64>,
}

impl Arena {
    pub(crate) fn push(&mut self, vars: &Map<String, Value>) -> Result<(), String> {
        if self.places.len() as u64 >= MAX_ITEMS {
            return Err(format!("a stage has at most {MAX_ITEMS} items"));
        }
        let room = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.len() + CHUNK / 16 < chunk.capacity());
        if !room {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let index = self.chunks.len() as u64 - 1;
        if let Some(chunk) = self.chunks.last_mut() {
            self.places.push((index << 32) | chunk.len() as u64);
            serde_json::to_writer(&mut *chunk, vars).map_err(|error| error.to_string())?;
            // JSON has no line end in it.
            chunk.push(b'\n');
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn json(&self, index: u32) -> &str {
        let found = self.places.get(index as usize).and_then(|place| {
            let chunk = self.chunks.get(usize::try_from(place >> 32).ok()?)?;
            let rest = chunk.get(usize::try_from(place & 0xffff_ffff).ok()?..)?;
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            std::str::from_utf8(&rest[..end]).ok()
        });
        found.unwrap_or("{}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_longer_than_a_chunk_fit() {
        let mut arena = Arena::default();
        let long = Map::from_iter([("a".to_owned(), Value::from("x".repeat(3 * CHUNK)))]);
        let short = Map::from_iter([("a".to_owned(), Value::from("y"))]);
        for _ in 0..3 {
            arena.push(&long).unwrap();
            arena.push(&short).unwrap();
        }
        assert_eq!(arena.json(5), r#"{"a":"y"}"#);
        assert!(arena.json(4).len() > 3 * CHUNK);
    }
}
