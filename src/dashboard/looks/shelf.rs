//! What was made, kept until there is no room for it. What was looked at last stays longest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by their versions, so many bytes in all.
pub(super) struct Shelf<V> {
    room: usize,
    kept: Mutex<Kept<V>>,
}

struct Kept<V> {
    values: HashMap<String, Value<V>>,
    bytes: usize,
    looks: u64,
}

struct Value<V> {
    value: V,
    bytes: usize,
    last_look: u64,
}

impl<V: Clone> Shelf<V> {
    pub(super) fn new(room: usize) -> Self {
        let kept = Kept {
            values: HashMap::new(),
            bytes: 0,
            looks: 0,
        };
        Self {
            room,
            kept: Mutex::new(kept),
        }
    }

    pub(super) fn get(&self, version: &str) -> Option<V> {
        let mut kept = self.kept();
        kept.looks += 1;
        let now = kept.looks;
        let found = kept.values.get_mut(version)?;
        found.last_look = now;
        Some(found.value.clone())
    }

    /// Keeps a value; nothing comes of one that is larger than the shelf.
    pub(super) fn put(&self, version: &str, value: V, bytes: usize) {
        if bytes > self.room {
            return;
        }
        let mut kept = self.kept();
        kept.remove(version);
        while kept.bytes + bytes > self.room {
            let values = kept.values.iter();
            let oldest = values.min_by_key(|(_, value)| value.last_look);
            let Some(oldest) = oldest.map(|(version, _)| version.clone()) else {
                break;
            };
            kept.remove(&oldest);
        }
        kept.looks += 1;
        kept.bytes += bytes;
        let value = Value {
            value,
            bytes,
            last_look: kept.looks,
        };
        kept.values.insert(version.to_owned(), value);
    }

    fn kept(&self) -> MutexGuard<'_, Kept<V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Kept<V> {
    fn remove(&mut self, version: &str) {
        if let Some(gone) = self.values.remove(version) {
            self.bytes -= gone.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_looked_at_goes_first() {
        let shelf = Shelf::new(10);
        shelf.put("a", 1, 4);
        shelf.put("b", 2, 4);
        assert_eq!(shelf.get("a"), Some(1));
        shelf.put("c", 3, 4);
        assert_eq!(
            [shelf.get("a"), shelf.get("b"), shelf.get("c")],
            [Some(1), None, Some(3)]
        );
        shelf.put("c", 4, 6);
        assert_eq!([shelf.get("a"), shelf.get("c")], [Some(1), Some(4)]);
        shelf.put("d", 5, 11);
        assert_eq!(
            [shelf.get("c"), shelf.get("d")],
            [Some(4), None],
            "it is larger than the shelf"
        );
    }
}
