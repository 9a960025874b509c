//! Batches that are made to agree with what lies in the bucket, for commands and pages alike.

use super::comparison::{Comparison, Scope};
use super::counters::wrong_counters;
use super::loaded::Loaded;
use super::operator::Operator;
use super::repair::{Repair, Todo};
use crate::queue::control::BatchState;
use crate::refusal::Misuse;

/// What was found of a batch, and what is to be done about it.
pub(crate) struct Mending {
    pub(crate) comparison: Comparison,
    pub(crate) todo: Todo,
    loaded: Loaded,
}

impl Mending {
    /// What is to be done, in a few words; none if nothing is.
    pub(crate) fn describe(&self) -> String {
        self.comparison.describe(&self.todo)
    }
}

impl Operator<'_> {
    /// Compares a batch with the bucket.
    pub(crate) async fn compare(
        &self,
        name: &str,
        state: &BatchState,
        (scope, repair): (Scope, Repair),
    ) -> anyhow::Result<Mending> {
        let storage = self.storage.clone();
        let storage = storage.ok_or_else(|| Misuse(NO_BUCKET.to_owned()))?;
        let some = Some(storage.clone());
        let mut loaded = Loaded::fetch(self.admin, some, name, state).await?;
        let comparison = Comparison::of(self.admin, &storage, &mut loaded, scope).await?;
        let wrong = wrong_counters(self.admin, &mut loaded).await?;
        Ok(Mending {
            todo: comparison.todo(repair).with_counters(wrong),
            comparison,
            loaded,
        })
    }

    /// Does what was found to be done.
    pub(crate) async fn mend(&self, name: &str, mending: &mut Mending) -> anyhow::Result<()> {
        let what = mending.describe();
        mending.todo.apply(self.admin, &mut mending.loaded).await?;
        self.record("repair", name, &what).await
    }
}

const NO_BUCKET: &str =
    "batches are repaired from what lies in the bucket, and there is none: set STORAGE_BUCKET";
