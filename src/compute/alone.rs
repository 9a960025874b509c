//! Threads for small work, each of which shares it with none.
//!
//! What rayon parts, it gives to other threads, and has to wake them: for a plane of a few hundred pixels a side that takes as
//! long as it saves, and the other cores have jobs of their own. On a thread that is all of its pool nothing is given away.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rayon::ThreadPoolBuilder;
use tokio::sync::oneshot;

static THREADS: Mutex<Threads> = Mutex::new(Threads {
    free: Vec::new(),
    count: 0,
});

struct Threads {
    /// Those that nobody uses.
    free: Vec<Sender<Work>>,
    count: usize,
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread that is all of its pool, for one piece of work.
pub(super) struct Alone(Sender<Work>);

impl Alone {
    /// One that is free; none if each core has one already, and all of them work.
    pub(super) fn take() -> Option<Self> {
        let mut threads = threads();
        if let Some(thread) = threads.free.pop() {
            return Some(Self(thread));
        }
        if threads.count >= rayon::current_num_threads() {
            return None;
        }
        let (sender, receiver) = channel();
        let thread = thread::Builder::new().name("alone".to_owned());
        thread.spawn(move || work_all(receiver)).ok()?;
        threads.count += 1;
        Some(Self(sender))
    }

    /// What comes of the work, or its panic.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::Result<T> {
        let (done, result) = oneshot::channel();
        let thread = self.0.clone();
        let work = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Whoever gets the result may have more to do here.
            drop(self);
            let _ = done.send(result);
        };
        let sent = thread.send(Box::new(work));
        assert!(sent.is_ok(), "the thread has no end");
        result.await.expect("the work always ends")
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        threads().free.push(self.0.clone());
    }
}

/// Works what comes, on a pool that is this thread: it neither looks for work elsewhere nor spins while it has none.
fn work_all(works: Receiver<Work>) {
    let pool = ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    debug_assert!(pool.is_ok(), "this thread belongs to no other pool");
    works.into_iter().for_each(|work| work());
}

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}
