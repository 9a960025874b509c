//! Warm commands that wait for the next job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::session::Session;

/// Warm commands that wait for the next job.
#[derive(Clone, Default)]
pub(super) struct Warm(Arc<Mutex<Pool>>);

#[derive(Default)]
struct Pool {
    waiting: Vec<(u64, Session)>,
    number: u64,
}

impl Warm {
    /// One that is alive.
    pub(super) fn take(&self) -> Option<Session> {
        let mut pool = self.lock();
        while let Some((_, mut session)) = pool.waiting.pop() {
            if session.is_alive() {
                return Some(session);
            }
        }
        None
    }

    /// Has it wait, for so long at most.
    pub(super) fn put(&self, session: Session, idle: Option<Duration>) {
        let mut pool = self.lock();
        pool.number += 1;
        let number = pool.number;
        pool.waiting.push((number, session));
        let Some(idle) = idle else { return };
        let warm = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let ended = {
                let mut pool = warm.lock();
                let at = pool.waiting.iter().position(|(other, _)| *other == number);
                at.map(|at| pool.waiting.remove(at))
            };
            if let Some((_, session)) = ended {
                session.end().await;
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
