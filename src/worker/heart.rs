//! The watch over running jobs, on a thread of its own that no computation can starve.
//!
//! It renews leases and ends stages that take too long, and waits for nothing else: not for a Redis that is away, and not for
//! looks through all keys, which are `rounds`. A job that is overdue is no longer renewed: should its slot be beyond reach,
//! another consumer takes the job when its lease ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::metrics::Signs;
use super::policy::StageLimits;
use crate::job::Custody;
use crate::queue::Queue;
use crate::reason::StageDeadline;
use crate::serving;

/// The thread and its bell.
pub(super) struct Heart {
    stop: CancellationToken,
    watch: Watch,
}

/// The jobs that are watched. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Watch {
    jobs: Arc<Mutex<Vec<Watched>>>,
}

struct Watched {
    custody: Arc<Custody>,
    overdue: Option<oneshot::Sender<StageDeadline>>,
}

/// A job is watched until the value is dropped.
pub(super) struct Guard {
    watch: Watch,
    custody: Arc<Custody>,
    overdue: oneshot::Receiver<StageDeadline>,
}

impl Heart {
    /// Starts the thread.
    pub(super) fn start(
        queue: Queue,
        serving: serving::Client,
        limits: StageLimits,
        signs: Signs,
    ) -> anyhow::Result<Self> {
        let heart = Self {
            stop: CancellationToken::new(),
            watch: Watch::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, watch) = (heart.stop.clone(), heart.watch.clone());
        let beats = async move {
            let beating = beat(&queue, &serving, &watch, limits, &signs);
            stop.run_until_cancelled(beating).await;
        };
        std::thread::Builder::new()
            .name("heart".to_owned())
            .spawn(move || runtime.block_on(beats))?;
        Ok(heart)
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Watch {
    pub(super) fn begin(&self, custody: Arc<Custody>) -> Guard {
        let (sender, overdue) = oneshot::channel();
        self.jobs().push(Watched {
            custody: Arc::clone(&custody),
            overdue: Some(sender),
        });
        Guard {
            watch: self.clone(),
            custody,
            overdue,
        }
    }

    /// Ends the stages that have taken too long. The time since the last look does not count for jobs that
    /// wait for what is nobody's fault.
    fn check(&self, limits: StageLimits, since: Duration, model_server_is_down: bool) {
        for watched in self.jobs().iter_mut() {
            let custody = &watched.custody;
            if model_server_is_down || custody.is_waiting() {
                custody.excuse(since);
            }
            let Some((stage, spent)) = custody.stage() else {
                continue;
            };
            let Some(limit) = limits.of(stage).filter(|limit| spent > *limit) else {
                continue;
            };
            if let Some(overdue) = watched.overdue.take() {
                custody.abandon();
                let _ = overdue.send(StageDeadline {
                    stage: custody.status(),
                    limit,
                });
            }
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guard {
    /// Waits until a stage has taken too long.
    pub(super) async fn overdue(mut self) -> StageDeadline {
        match (&mut self.overdue).await {
            Ok(overdue) => overdue,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch
            .jobs()
            .retain(|watched| !Arc::ptr_eq(&watched.custody, &self.custody));
    }
}

async fn beat(
    queue: &Queue,
    serving: &serving::Client,
    watch: &Watch,
    limits: StageLimits,
    signs: &Signs,
) {
    let interval = queue.settings().beat_interval();
    let mut last = Instant::now();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = queue.beat().await {
            warn!(error = %error, "could not renew the leases of running jobs");
        }
        let passed = last.elapsed();
        last = Instant::now();
        watch.check(limits, passed, serving.is_down());
        signs.beat.touch();
    }
}
