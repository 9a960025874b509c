//! Failures that a selector means: one by one, by cause, and as jobs to be changed.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::selector::Selector;
use crate::figures::Moment;
use crate::queue::Admin;
use crate::queue::control::{EVER, Failure, Group, Groups, Selected};
use crate::refusal::Misuse;

/// How long a look through all keys goes on.
pub(crate) const SCAN_TIME: Duration = Duration::from_secs(60);

impl Selector {
    /// Hands over all failures that are meant, some at a time, the first ones first.
    pub(crate) async fn each_failure(
        &self,
        admin: &Admin,
        mut each: impl FnMut(&str, Failure) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let cause = self.cause(admin).await?;
        let is_meant = |failure: &Failure| {
            let cause = cause.as_ref();
            self.accepts(&failure.fields) && cause.is_none_or(|cause| failure.is_of(cause))
        };
        let mut left = self.limit_or(usize::MAX);
        let mut listed = HashSet::new();
        self.each_listed(admin, |queue, failure| {
            if self.scan.is_some() {
                listed.insert(failure.key.clone());
            }
            if left > 0 && is_meant(&failure) {
                left -= 1;
                each(queue, failure)?;
            }
            Ok(left > 0)
        })
        .await?;
        let Some(cut_off) = self.scan else {
            return Ok(());
        };
        self.each_unlisted(admin, (left, cut_off), |queue, failure| {
            if listed.contains(&failure.key) || !is_meant(&failure) {
                return Ok(false);
            }
            each(queue, failure).map(|()| true)
        })
        .await
    }

    /// Hands over the failures that lists know, until `each` wants no more.
    async fn each_listed(
        &self,
        admin: &Admin,
        each: impl FnMut(&str, Failure) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let queues = self.queues(admin).await?;
        let failures = admin.each_failure(&queues, self.span(), each);
        failures.await
    }

    /// Hands over failures that a look through all keys finds, until `each` has said of so many that they count.
    async fn each_unlisted(
        &self,
        admin: &Admin,
        (limit, cut_off): (usize, fn()),
        mut each: impl FnMut(&str, Failure) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let known = self.queues(admin).await?;
        let (since, until) = self.span();
        let (mut left, mut ended) = (limit, Ok(()));
        let began = Instant::now();
        let look = admin.scan_failures(|failures| {
            for failure in failures {
                let queue = Admin::queue_of(&failure.key, &failure.fields, &known);
                let queue = queue.unwrap_or_default();
                let is_of_queue = self.queue.is_empty() || self.queue.contains(&queue);
                if left == 0 || !is_of_queue || !(since..=until).contains(&failure.at) {
                    continue;
                }
                match each(&queue, failure) {
                    Ok(counts) => left -= usize::from(counts),
                    Err(error) => {
                        ended = Err(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            if left > 0 && began.elapsed() < SCAN_TIME {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        look.await?;
        if left > 0 && began.elapsed() >= SCAN_TIME {
            cut_off();
        }
        ended
    }

    /// The failures that are meant by cause, the most frequent first.
    pub(crate) async fn groups(&self, admin: &Admin) -> anyhow::Result<Vec<Group>> {
        let mut groups = Groups::default();
        self.each_failure(admin, |_, failure| {
            groups.add(&failure);
            Ok(())
        })
        .await?;
        Ok(groups.sorted())
    }

    /// The failed jobs that are meant, in the order in which they failed.
    pub(crate) async fn failed(&self, admin: &Admin) -> anyhow::Result<Selected> {
        if self.names_jobs() {
            return self.named(admin).await;
        }
        let mut selected = Selected::default();
        self.each_failure(admin, |queue, failure| {
            selected.0.push((queue.to_owned(), failure.key));
            Ok(())
        })
        .await?;
        Ok(selected)
    }

    /// The text that the signature of a failure has to contain; a number stands for that of a group.
    async fn cause(&self, admin: &Admin) -> anyhow::Result<Option<String>> {
        let Some(why) = &self.why else {
            return Ok(None);
        };
        let Ok(number) = why.parse::<usize>() else {
            return Ok(Some(why.clone()));
        };
        let groups = Box::pin(self.with_all_causes().groups(admin)).await?;
        let group = number.checked_sub(1).and_then(|index| groups.get(index));
        let group = group.ok_or_else(|| {
            let text = format!(
                "there is no cause {number}: `failed --group` shows {}",
                groups.len()
            );
            Misuse(text)
        })?;
        Ok(Some(group.why.clone()))
    }

    /// The time in which a job has failed.
    fn span(&self) -> (u64, u64) {
        let since = self.since.map_or(EVER.0, |Moment(millis)| millis);
        let until = self.until.map_or(EVER.1, |Moment(millis)| millis);
        (since, until)
    }
}
