//! What is looked at of a job's hash.

use crate::wire::{self, field};

#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Fields {
    pub(super) status: Option<Vec<u8>>,
    pub(super) updated_at: Option<Vec<u8>>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) owner: Option<Vec<u8>>,
    /// Nothing for a job without children, or one that is still creating them.
    pub(super) children: Option<Counts>,
}

/// How many children a job has, and how many of them are final.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
}

impl Fields {
    pub(super) const NAMES: [&'static str; 8] = [
        field::STATUS,
        field::UPDATED_AT,
        field::TOKEN,
        field::OWNER,
        field::CHILDREN_TOTAL,
        field::CHILDREN_DONE,
        field::CHILDREN_FAILED,
        field::CREATING,
    ];

    /// From the values of [`Self::NAMES`]; nothing for a hash that is not a job's, such as the metadata of a model.
    pub(super) fn read(mut values: Vec<Option<Vec<u8>>>) -> Option<Self> {
        values.resize(Self::NAMES.len(), None);
        let [
            status,
            updated_at,
            token,
            owner,
            total,
            done,
            failed,
            creating,
        ] = values.try_into().ok()?;
        if status.is_none() && updated_at.is_none() {
            return None;
        }
        let total = number(total).filter(|_| creating.is_none());
        let children = total.map(|total| Counts {
            total,
            done: number(done).unwrap_or(0),
            failed: number(failed).unwrap_or(0),
        });
        Some(Self {
            status,
            updated_at,
            token,
            owner,
            children,
        })
    }

    pub(super) fn is_final(&self) -> bool {
        wire::is_final(self.status.as_deref())
    }
}

fn number(value: Option<Vec<u8>>) -> Option<u64> {
    String::from_utf8(value?).ok()?.parse().ok()
}
