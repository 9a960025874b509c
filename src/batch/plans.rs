//! The plans of batches that run, each of them read once.

use std::collections::VecDeque;

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::queue::control::BatchState;
use crate::storage::Storage;

/// Plans that are kept.
const KEPT: usize = 32;

/// The plans that were used last.
pub(crate) struct Plans {
    pub(crate) admin: Admin,
    storage: Option<Storage>,
    known: VecDeque<Known>,
}

/// A plan, and of which state of its batch it is.
struct Known {
    name: String,
    digest: String,
    revision: u64,
    loaded: Loaded,
}

impl Plans {
    /// Lists are in this bucket, if there is one.
    pub(crate) fn new(admin: Admin, storage: Option<Storage>) -> Self {
        Self {
            admin,
            storage,
            known: VecDeque::new(),
        }
    }

    /// The plan of a batch.
    pub(super) async fn of(
        &mut self,
        name: &str,
        state: &BatchState,
    ) -> anyhow::Result<&mut Loaded> {
        let at = self.known.iter().position(|known| known.name == name);
        let known = at.and_then(|at| self.known.remove(at));
        let is_current =
            |known: &Known| known.digest == state.digest && known.revision == state.revision;
        let known = match known.filter(is_current) {
            Some(known) => known,
            None => Known {
                name: name.to_owned(),
                digest: state.digest.clone(),
                revision: state.revision,
                loaded: Loaded::fetch(&self.admin, self.storage.clone(), name, state).await?,
            },
        };
        self.known.push_front(known);
        self.known.truncate(KEPT);
        Ok(&mut self.known[0].loaded)
    }
}
