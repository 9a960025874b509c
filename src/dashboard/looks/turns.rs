//! How much is made at a time: few things in all, and one for each job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::queue::JobKey;

/// Things that are made at the same time.
const PLACES: usize = 4;

type OfJob = Weak<AsyncMutex<()>>;

pub(super) struct Turns {
    places: Arc<Semaphore>,
    jobs: Mutex<HashMap<JobKey, OfJob>>,
}

/// Somebody's turn, until it is dropped.
pub(super) struct Turn {
    _of_job: OwnedMutexGuard<()>,
    /// Nothing if there is no order any more.
    _place: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            jobs: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits until nothing else is made of this job, and there is a place.
    pub(super) async fn take(&self, key: &JobKey) -> Turn {
        let of_job = self.of_job(key).lock_owned().await;
        let place = Arc::clone(&self.places).acquire_owned().await;
        Turn {
            _of_job: of_job,
            _place: place.ok(),
        }
    }

    fn of_job(&self, key: &JobKey) -> Arc<AsyncMutex<()>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = jobs.get(key).and_then(Weak::upgrade) {
            return there;
        }
        jobs.retain(|_, job| job.strong_count() > 0);
        let new = Arc::default();
        jobs.insert(key.clone(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_of_a_job_and_few_in_all() {
        let turns = Turns::default();
        let key = |name: usize| JobKey(vec![name as u8]);
        let first = turns.take(&key(0)).await;
        assert!(turns.take(&key(0)).now_or_never().is_none());
        let mut others = Vec::new();
        for name in 1..PLACES {
            others.push(turns.take(&key(name)).await);
        }
        assert!(turns.take(&key(PLACES)).now_or_never().is_none());
        drop(first);
        assert!(turns.take(&key(0)).now_or_never().is_some());
        drop(others);
        turns.take(&key(PLACES)).await;
        assert!(
            turns.jobs.lock().expect("it is whole").len() <= 2,
            "nobody waits for the others"
        );
    }
}
