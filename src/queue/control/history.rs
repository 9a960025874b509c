//! How many jobs have ended, minute by minute.

use std::collections::HashMap;

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::Keys;

/// What has happened to jobs of a queue in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) put_back: u64,
}

impl std::ops::AddAssign for Minute {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.put_back += other.put_back;
    }
}

impl Admin {
    /// For each of these queues the last so many hours up to the minute `now` since 1970, minute by minute, in one round trip.
    pub(crate) async fn histories(
        &self,
        queues: &[String],
        now: u64,
        hours: u64,
    ) -> Result<Vec<Vec<Minute>>, Error> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let first = now.saturating_sub(hours * 60 - 1);
        let all_hours = first / 60..=now / 60;
        let mut all = redis::pipe();
        for queue in queues {
            let keys = Keys::new(queue);
            all_hours
                .clone()
                .for_each(|hour| _ = all.hgetall(keys.history(hour)));
        }
        let found: Vec<HashMap<String, u64>> = self.pipeline("read the history", &all).await?;
        let of_each = found.chunks_exact(all_hours.clone().count());
        let minutes = |of_queue: &[HashMap<String, u64>]| {
            let minute = |at: u64| read(&of_queue[(at / 60 - first / 60) as usize], at % 60);
            (first..=now).map(minute).collect()
        };
        Ok(of_each.map(minutes).collect())
    }
}

fn read(hour: &HashMap<String, u64>, minute: u64) -> Minute {
    let count = |what: &str| hour.get(&format!("{minute}:{what}")).copied().unwrap_or(0);
    Minute {
        done: count("done"),
        failed: count("failed"),
        put_back: count("put_back"),
    }
}
