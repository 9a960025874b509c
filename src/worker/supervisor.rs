//! The thread that renews leases and ends steps that take too long. No computation can starve it.
//!
//! It waits for nothing else: not for a Redis that is away, and not for looks through all keys, which the `reclaimer` takes.

use std::time::Instant;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::metrics::Health;
use crate::queue::{Paused, Queues};
use crate::serving;

/// The running thread.
pub(super) struct Supervisor {
    stop: CancellationToken,
}

impl Supervisor {
    /// Starts the thread.
    pub(super) fn start(
        queues: Queues,
        serving: serving::Client,
        health: Health,
    ) -> anyhow::Result<Self> {
        let supervisor = Self {
            stop: CancellationToken::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = supervisor.stop.clone();
        let work = async move {
            stop.run_until_cancelled(supervise(&queues, &serving, &health))
                .await;
        };
        std::thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || runtime.block_on(work))?;
        Ok(supervisor)
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

async fn supervise(queues: &Queues, serving: &serving::Client, health: &Health) {
    let mut last = Instant::now();
    let mut ticks = tokio::time::interval(queues.first().settings().beat_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        queues.heartbeat().await;
        let passed = last.elapsed();
        last = Instant::now();
        // A job is not to blame for a model server that is down.
        let paused = if serving.is_down() {
            Paused::All
        } else {
            Paused::Some
        };
        queues.enforce_deadlines(passed, paused);
        health.heartbeat.touch();
    }
}
