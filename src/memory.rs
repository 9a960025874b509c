//! A bound on the memory that all running jobs take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::failure::TooLarge;
use crate::settings::{Bytes, Loader};

/// What one permit stands for; a semaphore counts to 2^32 at once.
const UNIT: u64 = 64 << 10;

/// Share of the container's limit that jobs may take, in per cent; the rest is for the program and its buffers.
const SHARE: u64 = 80;

crate::settings! {
    /// The memory of all jobs together.
    struct MemoryVariables {
        /// Memory for all running jobs together, in bytes; 0 means no limit.
        memory_budget: Bytes = default_budget() => "80 % of the container's limit",
    }
}

/// The memory that jobs share. Clones share it too.
#[derive(Clone)]
pub struct Memory {
    units: Arc<Semaphore>,
    /// Bytes in all; 0 for no bound.
    budget: u64,
    queue: Arc<Waiters>,
}

/// Those who wait for memory.
#[derive(Default)]
struct Waiters {
    count: AtomicUsize,
    served: Notify,
}

/// One who waits, until it is dropped.
struct Place(Arc<Waiters>);

impl Place {
    fn new(waiters: &Arc<Waiters>) -> Self {
        waiters.count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiters))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.served.notify_waiters();
    }
}

impl Memory {
    /// Loads `MEMORY_BUDGET`.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let MemoryVariables { memory_budget } = loader.load();
        Self::new(memory_budget.0)
    }

    /// This many bytes; 0 is no bound.
    pub fn new(budget: u64) -> Self {
        Self {
            units: Arc::new(Semaphore::new(units(budget) as usize)),
            budget,
            queue: Arc::default(),
        }
    }

    /// Whether there is a bound.
    pub fn is_bounded(&self) -> bool {
        self.budget > 0
    }

    /// Waits until so many bytes are free, in the order in which callers came.
    ///
    /// # Errors
    ///
    /// More bytes than there are in all.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, TooLarge> {
        if !self.is_bounded() {
            return Ok(Reservation {
                memory: self.clone(),
                permit: None,
                bytes,
            });
        }
        self.check(bytes)?;
        let _place = Place::new(&self.queue);
        let permit = Arc::clone(&self.units)
            .acquire_many_owned(units(bytes))
            .await;
        Ok(Reservation {
            memory: self.clone(),
            permit: permit.ok(),
            bytes,
        })
    }

    /// Whether somebody waits for memory.
    pub(crate) fn has_waiters(&self) -> bool {
        self.queue.count.load(Ordering::Relaxed) > 0
    }

    /// Waits until nobody else waits for memory: more work would only wait with them.
    pub async fn is_free(&self) {
        loop {
            let served = self.queue.served.notified();
            if !self.has_waiters() {
                return;
            }
            served.await;
        }
    }

    /// The bound in bytes, 0 for none, and what of it is set aside.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let free = self.units.available_permits() as u64;
        (
            self.budget,
            u64::from(units(self.budget)).saturating_sub(free) * UNIT,
        )
    }

    fn check(&self, bytes: u64) -> Result<(), TooLarge> {
        let budget = self.budget;
        if bytes <= budget {
            return Ok(());
        }
        Err(TooLarge(format!(
            "the job needs about {bytes} bytes of memory, and MEMORY_BUDGET is {budget}"
        )))
    }
}

/// Bytes that are set aside until the value is dropped.
pub struct Reservation {
    memory: Memory,
    permit: Option<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Reservation {
    /// Makes the reservation as large as this, if that needs no waiting.
    ///
    /// # Errors
    ///
    /// More bytes than there are in all.
    pub fn grow(&mut self, bytes: u64) -> Result<bool, TooLarge> {
        if !self.memory.is_bounded() || bytes <= self.bytes {
            return Ok(true);
        }
        self.memory.check(bytes)?;
        let more = units(bytes).saturating_sub(units(self.bytes));
        let Ok(more) = Arc::clone(&self.memory.units).try_acquire_many_owned(more) else {
            return Ok(false);
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.bytes = bytes;
        Ok(true)
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// The share of the container's limit, or no limit.
fn default_budget() -> Bytes {
    Bytes(container_limit().map_or(0, |limit| limit / 100 * SHARE))
}

/// The memory that the container may take, if that is limited.
fn container_limit() -> Option<u64> {
    let files = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limit = files.iter().find_map(|file| {
        std::fs::read_to_string(file)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    })?;
    // Version 1 says "none" with a number that no machine has.
    (limit < 1 << 50).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_came_first_are_served_first_and_never_more_than_there_is() {
        let memory = Memory::new(10 * UNIT);
        let mut first = memory.reserve(6 * UNIT).await.expect("there is room");
        let waiting = tokio::spawn({
            let memory = memory.clone();
            async move { memory.reserve(8 * UNIT).await.expect("it fits").bytes }
        });
        tokio::task::yield_now().await;
        let late = tokio::spawn({
            let memory = memory.clone();
            async move { memory.reserve(UNIT).await.expect("it fits").bytes }
        });
        tokio::task::yield_now().await;
        assert!(
            !waiting.is_finished() && !late.is_finished(),
            "a small one does not overtake"
        );
        assert!(
            !first.grow(7 * UNIT).expect("it fits"),
            "others wait for what is free"
        );
        let free = tokio::spawn({
            let memory = memory.clone();
            async move { memory.is_free().await }
        });
        tokio::task::yield_now().await;
        assert!(!free.is_finished(), "two wait");
        drop(first);
        free.await.expect("it ends when they are served");
        assert_eq!(waiting.await.expect("it ends"), 8 * UNIT);
        assert_eq!(late.await.expect("it ends"), UNIT);
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once() {
        let memory = Memory::new(UNIT);
        let error = memory
            .reserve(2 * UNIT)
            .await
            .err()
            .expect("it is too much");
        assert!(
            error.to_string().contains("MEMORY_BUDGET is 65536"),
            "{error}"
        );
        let mut reservation = memory.reserve(UNIT).await.expect("it fits");
        assert!(reservation.grow(3 * UNIT).is_err());
    }

    #[tokio::test]
    async fn without_a_bound_nothing_waits() {
        let memory = Memory::new(0);
        let mut reservation = memory.reserve(u64::MAX).await.expect("there is no bound");
        assert!(reservation.grow(u64::MAX).expect("there is no bound"));
    }
}
