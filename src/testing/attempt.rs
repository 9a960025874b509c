//! One attempt at a job, which may be dropped at an await.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use tokio::task::coop;

use crate::consumer::{Consumer, Outcome};
use crate::job::{Job, Output};

/// Operations that tokio lets a task complete in one poll.
const BUDGET: usize = 128;

/// How an attempt ended.
pub(super) enum Attempt {
    Done(Output),
    /// It created children, which need Redis.
    Waits,
    Failed(anyhow::Error),
    Panicked,
    /// It had been polled as often as it might be.
    Dropped,
}

impl Attempt {
    /// Works a job as the worker does; the work is dropped after so many polls.
    pub(super) async fn run(consumer: &dyn Consumer, job: &Job, polls: usize) -> Self {
        let work = async {
            consumer.check(job)?;
            consumer.consume(job).await
        };
        let work = AssertUnwindSafe(work).catch_unwind().boxed();
        match (Limited { work, polls }).await {
            None => Self::Dropped,
            Some(Err(_panic)) => Self::Panicked,
            Some(Ok(Err(error))) => Self::Failed(error),
            Some(Ok(Ok(Outcome::Done(output)))) => Self::Done(output),
            Some(Ok(Ok(Outcome::Wait(_)))) => Self::Waits,
            Some(Ok(Ok(Outcome::Release))) => Self::Failed(anyhow::anyhow!(
                "the consumer says that it can work no job now"
            )),
        }
    }
}

/// Work that ends with nothing when it has been polled so often and is not done.
struct Limited<F> {
    work: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls < usize::MAX {
            leave_one_operation(context);
        }
        if let Poll::Ready(output) = Pin::new(&mut self.work).poll(context) {
            return Poll::Ready(Some(output));
        }
        self.polls = self.polls.saturating_sub(1);
        if self.polls == 0 {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

/// Spends the budget of this poll but for one operation, so that the next one is pending however fast it would be: on a quick
/// folder the whole work could pass in a single poll, and there would be no await to drop it at.
fn leave_one_operation(context: &mut Context<'_>) {
    for _ in 1..BUDGET {
        if let Poll::Ready(operation) = coop::poll_proceed(context) {
            operation.made_progress();
        }
    }
}
