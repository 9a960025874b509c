//! The rows of a list in the order of their groups.

use std::iter::repeat_n;

use super::rows::List;

/// The rows of a list in the order of their groups.
pub(super) struct Members {
    /// For each new position the old one.
    positions: Vec<u32>,
    /// The new position of the first member of each group.
    pub(super) firsts: Vec<u32>,
    /// The number of members of each group.
    pub(super) counts: Vec<u32>,
}

impl Members {
    /// Puts rows of one group side by side, without changing their order within it.
    pub(super) fn new(group_of: &[u32], groups: usize) -> Self {
        let mut counts = vec![0_u32; groups];
        for &group in group_of {
            counts[group as usize] += 1;
        }
        let mut next = 0;
        let mut firsts = Vec::with_capacity(groups);
        for count in &counts {
            firsts.push(next);
            next += count;
        }
        let mut free = firsts.clone();
        let mut positions = vec![0_u32; group_of.len()];
        for (old, &group) in (0_u32..).zip(group_of) {
            let new = &mut free[group as usize];
            positions[*new as usize] = old;
            *new += 1;
        }
        Self {
            positions,
            firsts,
            counts,
        }
    }

    /// Sorts the members of each group by a key of their old position; equal keys keep their order.
    pub(super) fn sort_by_key<K: Ord, E>(
        &mut self,
        key: impl Fn(u64) -> Result<K, E>,
    ) -> Result<(), E> {
        for (&first, &count) in self.firsts.iter().zip(&self.counts) {
            let members = &mut self.positions[first as usize..][..count as usize];
            let mut keyed = Vec::with_capacity(members.len());
            for &old in &*members {
                keyed.push((key(old.into())?, old));
            }
            keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (member, (_, old)) in members.iter_mut().zip(keyed) {
                *member = old;
            }
        }
        Ok(())
    }

    /// Gives the members of the rows that are put in order here the new numbers of their groups.
    pub(super) fn renumber_groups(&self, list: &mut List) {
        let mut new_numbers = vec![0; self.positions.len()];
        for (new, &old) in (0_u32..).zip(&self.positions) {
            new_numbers[old as usize] = new;
        }
        for group in list.groups.iter_mut().flatten() {
            *group = new_numbers[*group as usize];
        }
        list.counts = self.take(&list.counts);
    }

    /// Puts the rows of a list in order, and notes their groups.
    pub(super) fn arrange(self, list: &mut List) {
        list.order = self.take(&list.order);
        let groups = (0_u32..).zip(&self.counts);
        let groups = groups.flat_map(|(group, &count)| repeat_n(group, count as usize));
        list.groups = Some(groups.collect());
        list.counts = self.counts;
    }

    fn take(&self, values: &[u32]) -> Vec<u32> {
        let old = self.positions.iter();
        old.map(|&old| values[old as usize]).collect()
    }
}
