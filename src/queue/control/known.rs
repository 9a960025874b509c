//! The queues that are known, and how they fare.

use super::super::admin::Admin;
use super::super::error::Error;
use super::overview::Overview;
use super::workers::WorkerState;

impl Admin {
    /// Whether a look through all keys is allowed: there are few, or the operator wants it.
    pub(crate) async fn may_scan(&self, is_wanted: bool) -> Result<bool, Error> {
        Ok(is_wanted || self.survey().await?.has_few_keys())
    }

    /// The names of all queues: those that consumers of ours have served and, if all keys may be looked through, others.
    pub(crate) async fn known_queues(&self, scan: bool) -> Result<Vec<String>, Error> {
        let (queues, _) = self.queues_and_time(scan).await?;
        Ok(queues)
    }

    /// How these queues fare; all, if none is named.
    pub(crate) async fn overviews_of(
        &self,
        named: &[String],
        scan: bool,
    ) -> Result<Vec<Overview>, Error> {
        let (queues, now) = if named.is_empty() {
            self.queues_and_time(scan).await?
        } else {
            (named.to_vec(), self.survey().await?.now)
        };
        self.overviews(queues, now).await
    }

    /// The consumers of these queues, of all if none is named; and whether those of Python are among them, for which all keys are
    /// looked through.
    pub(crate) async fn all_workers(
        &self,
        named: &[String],
        scan: bool,
    ) -> Result<(Vec<WorkerState>, bool), Error> {
        let queues = match named {
            [] => self.known_queues(false).await?,
            named => named.to_vec(),
        };
        let mut workers = Vec::new();
        for queue in &queues {
            workers.extend(self.workers(queue).await?);
        }
        let has_looked = self.may_scan(scan).await?;
        if has_looked {
            let foreign = self.foreign_workers().await?;
            let is_meant =
                |worker: &WorkerState| named.is_empty() || queues.contains(&worker.queue);
            workers.extend(foreign.into_iter().filter(is_meant));
        }
        Ok((workers, has_looked))
    }

    async fn queues_and_time(&self, scan: bool) -> Result<(Vec<String>, u64), Error> {
        let mut survey = self.survey().await?;
        if scan || survey.has_few_keys() {
            survey.queues.extend(self.scan_queues().await?);
        }
        Ok((survey.queues.into_iter().collect(), survey.now))
    }
}
