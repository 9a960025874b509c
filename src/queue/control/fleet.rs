//! The consumers of many queues, in two round trips.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Cmd, FromRedisValue as _};

use super::super::admin::Admin;
use super::super::error::Error;
use super::workers::{HeldJob, WorkerState};
use crate::wire::{JobKey, Keys, field};

/// Running jobs of a queue that are looked at.
const RUNNING: isize = 1000;

impl Admin {
    /// The consumers of these queues that send heartbeats, with the jobs that they have leases on; `now` is the time by the clock
    /// of Redis, in milliseconds since 1970.
    pub(crate) async fn fleet(
        &self,
        queues: &[String],
        now: u64,
    ) -> Result<Vec<WorkerState>, Error> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = redis::pipe();
        for queue in queues {
            let keys = Keys::new(queue);
            all.zrange_withscores(keys.workers(), 0, -1);
            all.zrange(keys.leases(), 0, RUNNING - 1);
        }
        let operation = "look for consumers";
        let answers: Vec<redis::Value> = self.pipeline(operation, &all).await?;
        let (mut workers, mut jobs) = (Vec::new(), Vec::new());
        for (queue, pair) in queues.iter().zip(answers.chunks_exact(2)) {
            let pair = redis::Value::Array(pair.to_vec());
            let (mut beats, running) = Beats::from_redis_value(pair)
                .map_err(|error| Error::refused(operation)(error.into()))?;
            beats.sort_by(|a, b| a.0.cmp(&b.0));
            workers.extend(beats.into_iter().map(|(name, beat)| WorkerState {
                queue: queue.clone(),
                name,
                silent: Some(Duration::from_millis(now.saturating_sub(beat as u64))),
                beat: Some(beat as u64),
                card: HashMap::new(),
                held: Vec::new(),
            }));
            jobs.extend(running.into_iter().map(JobKey));
        }
        let (cards, fields) = futures::try_join!(self.cards(&workers), self.shown_fields(&jobs))?;
        for (worker, card) in workers.iter_mut().zip(cards) {
            worker.card = card;
        }
        let held = jobs.into_iter().zip(fields);
        hand_out(
            &mut workers,
            held.map(|(key, fields)| HeldJob { key, fields }),
        );
        Ok(workers)
    }

    async fn cards(&self, workers: &[WorkerState]) -> Result<Vec<HashMap<String, String>>, Error> {
        let keys: Vec<_> = workers
            .iter()
            .map(|worker| Keys::new(&worker.queue).worker(&worker.name).into_bytes())
            .collect();
        let cards = self.ask_each(&keys, |key| Cmd::hgetall(key)).await?;
        Ok(cards.into_iter().map(Option::unwrap_or_default).collect())
    }
}

/// Consumers with their last heartbeats, and jobs with a lease.
type Beats = (Vec<(String, f64)>, Vec<Vec<u8>>);

/// Gives each job to the consumer whose list it names.
fn hand_out(workers: &mut [WorkerState], jobs: impl Iterator<Item = HeldJob>) {
    let mut of_consumer = HashMap::new();
    for (at, worker) in workers.iter().enumerate() {
        of_consumer.insert((worker.queue.clone(), worker.name.clone()), at);
    }
    for job in jobs {
        let owner = job.fields.get(field::OWNER.as_bytes());
        let owner = owner.map(Vec::as_slice).unwrap_or_default();
        let name = crate::wire::consumer_of_processing(owner);
        let list = String::from_utf8_lossy(owner);
        let queue = crate::wire::queue_of_processing(&list).unwrap_or_default();
        if let Some(at) = of_consumer.get(&(queue.to_owned(), name)) {
            workers[*at].held.push(job);
        }
    }
}
