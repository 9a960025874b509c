//! Jobs that go from one queue to another.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use super::step::STEP;
use crate::wire::{JobKey, Keys, RawFields};

static MOVE_JOBS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/move_jobs.lua")));

/// Where moved jobs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Behind all that wait.
    Behind,
    /// Before all that wait.
    First,
}

impl Admin {
    /// Moves all entries of a list to the queue `to`, in their order, and gives their number. New ones that come in meanwhile
    /// come along.
    pub(crate) async fn move_all(&self, from: &[u8], to: &str, order: Order) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let next = match order {
                Order::Behind => self.next_of(from).await?,
                Order::First => {
                    let slice = Cmd::lrange(from, 0, STEP as isize - 1);
                    self.command("read a queue", &slice).await?
                }
            };
            if next.is_empty() {
                return Ok(all);
            }
            let decided: Vec<_> = next.iter().map(|job| (job.as_slice(), 2)).collect();
            all += self.move_decided(from, &[to], &decided, order).await?;
        }
    }

    /// Moves those waiting jobs of a queue that are `wanted` to another, and gives their number. The others keep their order.
    ///
    /// The queue is put aside meanwhile, under a name that the next call finds if this one is broken off.
    pub(crate) async fn move_some(
        &self,
        from: &str,
        to: &str,
        is_wanted: impl Fn(&RawFields) -> bool,
    ) -> Result<u64, Error> {
        let aside = Keys::new(from).moving();
        if self.length(&aside).await? == 0 && self.length(from).await? > 0 {
            let mut rename = redis::cmd("RENAMENX");
            rename.arg(from).arg(&aside);
            self.command::<u64>("put a queue aside", &rename).await?;
        }
        let mut moved = 0;
        loop {
            let next = self.next_of(aside.as_bytes()).await?;
            if next.is_empty() {
                return Ok(moved);
            }
            let keys: Vec<_> = next.iter().cloned().map(JobKey).collect();
            let hashes = self.jobs(&keys).await?;
            let decided: Vec<_> = next
                .iter()
                .zip(&hashes)
                .map(|(job, fields)| (job.as_slice(), if is_wanted(fields) { 3 } else { 2 }))
                .collect();
            let done = self
                .move_decided(aside.as_bytes(), &[from, to], &decided, Order::Behind)
                .await?;
            let done = decided.iter().take(usize::try_from(done).unwrap_or(0));
            moved += done.filter(|(_, place)| *place == 3).count() as u64;
        }
    }

    /// The entries of a list that are served next, in that order.
    async fn next_of(&self, list: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let slice = Cmd::lrange(list, -(STEP as isize), -1);
        let mut next: Vec<Vec<u8>> = self.command("read a queue", &slice).await?;
        next.reverse();
        Ok(next)
    }

    async fn move_decided(
        &self,
        from: &[u8],
        to: &[&str],
        decided: &[(&[u8], u8)],
        order: Order,
    ) -> Result<u64, Error> {
        let mut call = MOVE_JOBS.key(from);
        to.iter().for_each(|queue| _ = call.key(*queue));
        call.arg(match order {
            Order::Behind => "keep",
            Order::First => "first",
        });
        for (job, place) in decided {
            call.arg(*job).arg(*place);
        }
        self.script("move_jobs", &call).await
    }

    /// How many jobs wait in a queue.
    pub(crate) async fn length(&self, queue: &str) -> Result<u64, Error> {
        self.command("count the jobs", &Cmd::llen(queue)).await
    }
}
