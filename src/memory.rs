//! The memory budget that all running jobs share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::compute::Computations;
use crate::error_class::TooLarge;
use crate::settings::{Bytes, Loader};

/// Bytes that one permit stands for; a semaphore hands out fewer than 2^32 permits at once.
const BYTES_PER_PERMIT: u64 = 64 << 10;

/// Share of the container's limit that jobs may take, in percent; the rest is for the program and its buffers.
const PERCENT_FOR_JOBS: u64 = 80;

crate::settings! {
    /// The memory of all jobs together.
    struct MemoryVariables {
        /// Memory for all running jobs together, in bytes; 0 means no limit.
        memory_budget: Bytes = default_budget() => "80 % of the container's limit",
    }
}

/// The memory budget of the process. Clones share it.
#[derive(Clone)]
pub struct MemoryBudget {
    permits: Arc<Semaphore>,
    /// Bytes in all; 0 for unlimited.
    budget: u64,
    waiters: Arc<Waiters>,
}

/// The jobs that wait for memory.
#[derive(Default)]
struct Waiters {
    count: AtomicUsize,
    one_left: Notify,
}

/// Counts as a waiter until it is dropped, so that a reservation that is given up does not wait for ever.
struct WaiterGuard(Arc<Waiters>);

impl WaiterGuard {
    fn new(waiters: &Arc<Waiters>) -> Self {
        waiters.count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiters))
    }
}

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.one_left.notify_waiters();
    }
}

/// How much of the budget is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryUsage {
    /// 0 for unlimited.
    pub(crate) budget_bytes: u64,
    pub(crate) reserved_bytes: u64,
}

impl MemoryBudget {
    /// Loads `MEMORY_BUDGET`.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let MemoryVariables { memory_budget } = loader.load();
        Self::new(memory_budget.0)
    }

    /// A budget of this many bytes; 0 for unlimited.
    pub fn new(budget: u64) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits(budget) as usize)),
            budget,
            waiters: Arc::default(),
        }
    }

    /// Whether the budget is limited.
    pub fn is_limited(&self) -> bool {
        self.budget > 0
    }

    /// Bytes in all; 0 for no limit.
    pub(crate) fn bytes(&self) -> u64 {
        self.budget
    }

    /// Waits until this many bytes are free, first come first served, and reserves them.
    ///
    /// # Errors
    ///
    /// More bytes than the whole budget.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, TooLarge> {
        let mut reservation = Reservation {
            budget: self.clone(),
            permit: None,
            bytes,
            computations: Computations::current(),
        };
        if self.is_limited() {
            self.check(bytes)?;
            let _waiter = WaiterGuard::new(&self.waiters);
            let permits = Arc::clone(&self.permits).acquire_many_owned(permits(bytes));
            reservation.permit = permits.await.ok();
        }
        Ok(reservation)
    }

    /// Keeps bytes from jobs until the value is dropped, as soon as others have let go of enough: whoever takes them does not
    /// wait, for that might be what the others wait for. Never more than half of the budget.
    pub(crate) fn withhold(&self, bytes: u64) -> Withheld {
        if !self.is_limited() {
            return Withheld(None);
        }
        let permits = permits(bytes.min(self.budget / 2));
        let free = Arc::clone(&self.permits).acquire_many_owned(permits);
        let holding = tokio::spawn(async move {
            let _permit = free.await;
            std::future::pending::<()>().await;
        });
        Withheld(Some(AbortOnDropHandle::new(holding)))
    }

    /// Whether a job waits for memory.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.count.load(Ordering::Relaxed) > 0
    }

    /// Waits until no job waits for memory: one more would only wait with them.
    pub async fn until_free(&self) {
        loop {
            let one_left = self.waiters.one_left.notified();
            if !self.has_waiters() {
                return;
            }
            one_left.await;
        }
    }

    /// The budget, and what of it is reserved.
    pub(crate) fn usage(&self) -> MemoryUsage {
        let free = self.permits.available_permits() as u64;
        let reserved = u64::from(permits(self.budget)).saturating_sub(free);
        MemoryUsage {
            budget_bytes: self.budget,
            reserved_bytes: reserved * BYTES_PER_PERMIT,
        }
    }

    fn check(&self, bytes: u64) -> Result<(), TooLarge> {
        let budget = self.budget;
        if bytes <= budget {
            return Ok(());
        }
        Err(TooLarge(format!(
            "the job needs about {bytes} bytes of memory, but MEMORY_BUDGET is {budget}"
        )))
    }
}

/// Bytes that are kept from jobs until the value is dropped.
pub(crate) struct Withheld(
    #[expect(dead_code, reason = "it only has to stay")] Option<AbortOnDropHandle<()>>,
);

/// Bytes that are reserved until the value is dropped, and all computations of its job have ended.
pub struct Reservation {
    budget: MemoryBudget,
    permit: Option<OwnedSemaphorePermit>,
    bytes: u64,
    computations: Computations,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // A job that was given up may still be decoded.
        self.computations.keep(self.permit.take());
    }
}

impl Reservation {
    /// Grows the reservation to this many bytes, if they are free now; false if they are not.
    ///
    /// # Errors
    ///
    /// More bytes than the whole budget.
    pub fn grow(&mut self, bytes: u64) -> Result<bool, TooLarge> {
        if !self.budget.is_limited() || bytes <= self.bytes {
            return Ok(true);
        }
        self.budget.check(bytes)?;
        let missing = permits(bytes).saturating_sub(permits(self.bytes));
        let Ok(more) = Arc::clone(&self.budget.permits).try_acquire_many_owned(missing) else {
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

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).unwrap_or(u32::MAX)
}

/// The share of the container's limit, or no limit.
fn default_budget() -> Bytes {
    Bytes(container_limit().map_or(0, |limit| limit / 100 * PERCENT_FOR_JOBS))
}

/// The container's memory limit, if it has one.
pub(crate) fn container_limit() -> Option<u64> {
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
    // Version 1 of cgroups writes "no limit" as a number that no machine has.
    (limit < 1 << 50).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_withheld_is_taken_from_what_jobs_let_go_and_comes_back() {
        let memory = MemoryBudget::new(10 * BYTES_PER_PERMIT);
        let job = memory.reserve(8 * BYTES_PER_PERMIT).await.expect("it fits");
        let withheld = memory.withhold(100 * BYTES_PER_PERMIT);
        tokio::task::yield_now().await;
        assert_eq!(
            memory.usage().reserved_bytes,
            10 * BYTES_PER_PERMIT,
            "what was free"
        );
        drop(job);
        tokio::task::yield_now().await;
        assert_eq!(
            memory.usage().reserved_bytes,
            5 * BYTES_PER_PERMIT,
            "half of the budget"
        );
        drop(withheld);
        tokio::task::yield_now().await;
        assert_eq!(memory.usage().reserved_bytes, 0);
    }

    #[tokio::test]
    async fn those_who_came_first_are_served_first_and_never_more_than_there_is() {
        let memory = MemoryBudget::new(10 * BYTES_PER_PERMIT);
        let mut first = memory
            .reserve(6 * BYTES_PER_PERMIT)
            .await
            .expect("there is room");
        let waiting = tokio::spawn({
            let memory = memory.clone();
            async move {
                memory
                    .reserve(8 * BYTES_PER_PERMIT)
                    .await
                    .expect("it fits")
                    .bytes
            }
        });
        tokio::task::yield_now().await;
        let late = tokio::spawn({
            let memory = memory.clone();
            async move {
                memory
                    .reserve(BYTES_PER_PERMIT)
                    .await
                    .expect("it fits")
                    .bytes
            }
        });
        tokio::task::yield_now().await;
        assert!(
            !waiting.is_finished() && !late.is_finished(),
            "a small one does not overtake"
        );
        assert!(
            !first.grow(7 * BYTES_PER_PERMIT).expect("it fits"),
            "others wait for what is free"
        );
        let free = tokio::spawn({
            let memory = memory.clone();
            async move { memory.until_free().await }
        });
        tokio::task::yield_now().await;
        assert!(!free.is_finished(), "two wait");
        drop(first);
        free.await.expect("it ends when they are served");
        assert_eq!(waiting.await.expect("it ends"), 8 * BYTES_PER_PERMIT);
        assert_eq!(late.await.expect("it ends"), BYTES_PER_PERMIT);
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once() {
        let memory = MemoryBudget::new(BYTES_PER_PERMIT);
        let error = memory
            .reserve(2 * BYTES_PER_PERMIT)
            .await
            .err()
            .expect("it is too much");
        assert!(
            error.to_string().contains("MEMORY_BUDGET is 65536"),
            "{error}"
        );
        let mut reservation = memory.reserve(BYTES_PER_PERMIT).await.expect("it fits");
        assert!(reservation.grow(3 * BYTES_PER_PERMIT).is_err());
    }

    #[tokio::test]
    async fn memory_of_a_job_that_was_given_up_stays_reserved_while_it_is_computed() {
        let memory = MemoryBudget::new(2 * BYTES_PER_PERMIT);
        let computations = Computations::default();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let budget = memory.clone();
        let job = tokio::spawn(computations.of(async move {
            let _memory = budget.reserve(BYTES_PER_PERMIT).await.expect("it fits");
            let _ = crate::compute::run(move || wait.recv()).await;
        }));
        while !computations.are_running() {
            tokio::task::yield_now().await;
        }
        job.abort();
        assert!(job.await.is_err());
        assert_eq!(memory.usage().reserved_bytes, BYTES_PER_PERMIT);
        end.send(()).expect("it waits");
        computations.until_ended().await;
        assert_eq!(memory.usage().reserved_bytes, 0);
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let memory = MemoryBudget::new(0);
        let mut reservation = memory.reserve(u64::MAX).await.expect("there is no limit");
        assert!(reservation.grow(u64::MAX).expect("there is no limit"));
    }
}
