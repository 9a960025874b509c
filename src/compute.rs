//! The one door from async to the CPU.
//!
//! Decoding, arrays, zip and encoding run here, on threads that may be busy for as long as it takes, so that the
//! threads which keep leases alive and talk to peers never are. Inside, pure code uses rayon.
//!
//! A computation cannot be ended from outside: where its job is given up, it goes on. So what a job had to itself, such as
//! memory, is kept until the last of its computations has ended, and whoever gives a job up can wait for that.

mod alone;

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::Span;

use self::alone::Alone;

/// Work of jobs of up to so many pixels stays on one core.
const SMALL: u64 = 1 << 20;

/// Runs `work` on a thread that may block, inside the caller's log span.
///
/// Dropping the future does not stop the work, unless it has not begun. A panic in `work` is passed on to the caller.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let computations = Computations::current();
    let Some(running) = computations.begin() else {
        // The job was given up, and nobody waits for the value.
        return pending().await;
    };
    let span = Span::current();
    let work = move || (!running.0.is_abandoned()).then(|| span.in_scope(work));
    let thread = computations.is_small().then(Alone::take).flatten();
    let result = match thread {
        Some(thread) => Some(thread.run(work).await),
        None => match tokio::task::spawn_blocking(work).await {
            Ok(value) => Some(Ok(value)),
            Err(error) => error.try_into_panic().ok().map(Err),
        },
    };
    match result {
        Some(Ok(Some(value))) => value,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // Given up before it began, or canceled: only a runtime that is shutting down does that to work.
        Some(Ok(None)) | None => pending().await,
    }
}

/// Says how many pixels are worked in the job that runs: few are not shared among cores.
pub(crate) fn expect(pixels: u64) {
    Computations::current().state().pixels = Some(pixels);
}

tokio::task_local! {
    static CURRENT: Computations;
}

/// The computations of one job, and what has to stay until they have ended. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Computations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    running: usize,
    is_abandoned: bool,
    /// Those of the job, once they are known.
    pixels: Option<u64>,
    kept: Vec<Box<dyn Send>>,
}

impl Computations {
    /// Those of the task that runs; of nobody outside of [`Self::of`].
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Counts the computations of this future as these, but for those of tasks that it spawns.
    pub(crate) fn of<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// From now on none begins.
    pub(crate) fn abandon(&self) {
        self.state().is_abandoned = true;
    }

    /// Whether any has not ended.
    pub(crate) fn are_running(&self) -> bool {
        self.state().running > 0
    }

    /// Waits until all have ended.
    pub(crate) async fn until_ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if !self.are_running() {
                return;
            }
            ended.await;
        }
    }

    /// Drops a value as soon as none is running.
    pub(crate) fn keep(&self, value: impl Send + 'static) {
        let mut state = self.state();
        if state.running > 0 {
            state.kept.push(Box::new(value));
        }
    }

    fn is_small(&self) -> bool {
        self.state().pixels.is_some_and(|pixels| pixels <= SMALL)
    }

    fn is_abandoned(&self) -> bool {
        self.state().is_abandoned
    }

    /// One more, unless they were abandoned.
    fn begin(&self) -> Option<Running> {
        let mut state = self.state();
        if state.is_abandoned {
            return None;
        }
        state.running += 1;
        Some(Running(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A computation that has not ended, until it is dropped.
struct Running(Computations);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        let kept = if state.running == 0 {
            std::mem::take(&mut state.kept)
        } else {
            Vec::new()
        };
        drop(state);
        drop(kept);
        self.0.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    use rayon::prelude::*;

    use super::*;

    #[tokio::test]
    async fn what_was_kept_stays_until_the_last_computation_of_an_abandoned_job_has_ended() {
        let computations = Computations::default();
        let (end, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let job = tokio::spawn(computations.of(run(move || {
            let _ = begun.send(());
            let _ = wait.recv();
        })));
        tokio::task::spawn_blocking(move || has_begun.recv())
            .await
            .expect("it ends")
            .expect("it has begun");
        let memory = Arc::new(());
        computations.keep(Arc::clone(&memory));
        job.abort();
        computations.abandon();
        assert!(job.await.is_err() && computations.are_running());
        assert_eq!(Arc::strong_count(&memory), 2, "it is kept");

        let late = computations.of(run(|| panic!("it never begins")));
        let late = tokio::time::timeout(Duration::from_millis(20), late).await;
        assert!(late.is_err(), "nothing comes of what begins later");
        end.send(()).expect("it waits");
        computations.until_ended().await;
        assert_eq!(Arc::strong_count(&memory), 1);
        computations.keep(Arc::clone(&memory));
        assert_eq!(Arc::strong_count(&memory), 1, "nothing is running");
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_and_ends_the_computation() {
        let computations = Computations::default();
        let job = tokio::spawn(computations.of(run(|| panic!("oh"))));
        assert!(job.await.is_err_and(|error| error.is_panic()));
        assert!(!computations.are_running());
    }

    /// The threads on which a computation of a job of so many pixels runs what rayon parts.
    async fn threads(pixels: u64) -> HashSet<Option<String>> {
        let name = |_| thread::current().name().map(str::to_owned);
        let work = async {
            expect(pixels);
            run(move || (0..1000).into_par_iter().map(name).collect()).await
        };
        Computations::default().of(work).await
    }

    #[tokio::test]
    async fn small_jobs_stay_on_one_thread_each() {
        let alone = HashSet::from([Some("alone".to_owned())]);
        assert_eq!(threads(SMALL).await, alone);
        assert!(threads(SMALL + 1).await.is_disjoint(&alone));
        // A panic leaves its thread to others.
        for _ in 0..20 {
            let job = Computations::default().of(async {
                expect(1);
                run(|| panic!("oh")).await
            });
            assert!(tokio::spawn(job).await.is_err_and(|error| error.is_panic()));
        }
        assert_eq!(threads(SMALL).await, alone);
        // More at once than there are threads of this kind: none waits for another.
        let (hold, held) = (Arc::new(Barrier::new(20)), Computations::default());
        let waits = (0..20).map(|_| {
            let hold = Arc::clone(&hold);
            held.of(async {
                expect(1);
                run(move || hold.wait().is_leader()).await
            })
        });
        let leaders = futures::future::join_all(waits).await;
        assert_eq!(leaders.iter().filter(|is| **is).count(), 1);
    }
}
