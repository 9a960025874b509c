//! Items that refer to each other by number.

use std::ops::{Index, IndexMut};

/// The number of an item.
pub(super) type Id = u32;

/// The number of no item.
pub(super) const NONE: Id = 0;

/// Items by number. Number 0 is there too, so that to look at no item is harmless.
#[derive(Clone, Debug)]
pub(super) struct Arena<T>(Vec<T>);

impl<T: Copy + Default> Default for Arena<T> {
    fn default() -> Self {
        Self(vec![T::default()])
    }
}

impl<T: Copy + Default> Arena<T> {
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.push(T::default());
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }

    pub(super) fn push(&mut self, item: T) -> Id {
        let id = self.0.len() as Id;
        self.0.push(item);
        id
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// The number that the next item will have.
    pub(super) fn end(&self) -> Id {
        self.0.len() as Id
    }
}

impl<T> Index<Id> for Arena<T> {
    type Output = T;

    fn index(&self, id: Id) -> &T {
        &self.0[id as usize]
    }
}

impl<T> IndexMut<Id> for Arena<T> {
    fn index_mut(&mut self, id: Id) -> &mut T {
        &mut self.0[id as usize]
    }
}
