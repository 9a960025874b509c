//! Rows by item number.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::arena::Arena;
use crate::digest::hex;
use crate::row::Row;

/// The rows of a stage, by item number.
#[derive(Clone, Debug)]
pub struct List {
    pub(crate) arena: Arc<Arena>,
    /// Rows of the arena, by item number.
    pub(crate) order: Vec<u32>,
    /// Numbers of groups, by item number.
    pub(crate) groups: Option<Vec<u32>>,
    /// Members of each group.
    pub(crate) counts: Vec<u32>,
    /// Of groups: the first member of each, by row of the arena.
    pub(crate) firsts: Option<Vec<u32>>,
}

impl List {
    pub(crate) fn new(arena: Arena) -> Self {
        // An arena refuses what 32 bits do not count.
        let order = (0..u32::try_from(arena.len()).unwrap_or(u32::MAX)).collect();
        Self {
            arena: Arc::new(arena),
            order,
            groups: None,
            counts: Vec::new(),
            firsts: None,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.order.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// A row.
    pub fn row(&self, item: u64) -> Option<Row> {
        let index = usize::try_from(item).ok()?;
        let row = *self.order.get(index)?;
        let group = self.group_of(index);
        Some(Row {
            vars: serde_json::from_str(self.arena.json(row)).ok()?,
            group,
            first: self
                .firsts
                .as_ref()
                .map(|firsts| u64::from(firsts[row as usize])),
        })
    }

    /// A row as it is stored, without the end of the line; what [`Row::from_line`] reads.
    pub fn line(&self, item: u64) -> Option<String> {
        let index = usize::try_from(item).ok()?;
        let row = *self.order.get(index)?;
        let mut line = format!("{{\"v\":{}", self.arena.json(row));
        if let Some((group, count)) = self.group_of(index) {
            let _ = write!(line, ",\"g\":[{group},{count}]");
        }
        if let Some(firsts) = &self.firsts {
            let _ = write!(line, ",\"f\":{}", firsts[row as usize]);
        }
        line.push('}');
        Some(line)
    }

    /// All rows as they are stored, by number. [`ROWS_PER_FILE`](crate::ROWS_PER_FILE) of them make a file.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.len()).filter_map(|item| self.line(item))
    }

    fn group_of(&self, index: usize) -> Option<(u64, u64)> {
        let group = *self.groups.as_ref()?.get(index)?;
        let count = *self.counts.get(group as usize)?;
        Some((group.into(), count.into()))
    }

    /// SHA-256 of the lines.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for line in self.lines() {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        hex(&digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn lines_are_those_of_rows() {
        let mut arena = Arena::default();
        for number in 0..3 {
            let vars = Map::from_iter([("item".to_owned(), Value::from(format!("\n{number}")))]);
            arena.push(&vars).unwrap();
        }
        let list = List {
            groups: Some(vec![1, 0, 1]),
            counts: vec![1, 2],
            firsts: Some(vec![5, 6, 7]),
            order: vec![2, 0, 1],
            ..List::new(arena)
        };
        for item in 0..3 {
            let row = list.row(item).unwrap();
            assert_eq!(list.line(item), Some(row.to_line()));
        }
        assert_eq!(list.row(0).unwrap().first, Some(7));
        assert_eq!(list.row(2).unwrap().group, Some((1, 2)));
        assert_eq!(list.row(3), None);
    }
}
