//! Lists with only those rows that were chosen.

use std::collections::BTreeMap;

use serde_json::Map;

use super::chooser::Chosen;
use crate::list::{Arena, List, Lists, sibling};
use crate::resolved::Resolved;

/// The lists with only those rows that were chosen.
pub(super) fn shorten(plan: &Resolved, lists: &Lists, chosen: &Chosen) -> BTreeMap<usize, List> {
    let mut short = BTreeMap::new();
    for (k, list) in lists.iter() {
        let Some(items) = &chosen[k] else { continue };
        if let Some(same) = sibling(plan, &short, k) {
            short.insert(k, same);
            continue;
        }
        let mut kept = list.only(items);
        let rows_of = plan.grouped_rows(k);
        if let Some(members) = rows_of.and_then(|rows_of| short.get_mut(&rows_of)) {
            kept.regroup(members, items);
        }
        short.insert(k, kept);
    }
    short
}

impl List {
    /// Some rows, in their order.
    fn only(&self, items: &[u64]) -> Self {
        let pick = |values: &[u32]| -> Vec<u32> {
            let found = items
                .iter()
                .filter_map(|&item| values.get(usize::try_from(item).ok()?));
            found.copied().collect()
        };
        Self {
            order: pick(&self.order),
            groups: self.groups.as_deref().map(pick),
            ..self.clone()
        }
    }

    /// Numbers and counts groups again after rows of their members were left out. `numbers` are the old numbers of the groups.
    fn regroup(&mut self, members: &mut Self, numbers: &[u64]) {
        let new: BTreeMap<u64, u32> = numbers.iter().copied().zip(0..).collect();
        let mut counts = vec![0_u32; numbers.len()];
        let mut firsts = vec![u32::MAX; numbers.len()];
        for (position, group) in (0_u32..).zip(members.groups.iter_mut().flatten()) {
            *group = new.get(&u64::from(*group)).copied().unwrap_or(0);
            if let Some(count) = counts.get_mut(*group as usize) {
                *count += 1;
            }
            if let Some(first) = firsts.get_mut(*group as usize) {
                *first = position.min(*first);
            }
        }
        let mut arena = Arena::default();
        for (item, count) in (0..self.len()).zip(&counts) {
            let mut vars = self.row(item).map_or_else(Map::new, |row| row.vars);
            vars.insert("count".to_owned(), (*count).into());
            // What was in an arena before fits into one.
            let _ = arena.push(&vars);
        }
        members.counts = counts;
        *self = Self {
            groups: self.groups.take(),
            counts: std::mem::take(&mut self.counts),
            firsts: Some(firsts),
            ..Self::new(arena)
        };
    }
}
