//! Which jobs an action is about.

use super::super::fault::Fault;
use super::super::form::Form;
use super::super::shown::decoded;
use crate::batch;
use crate::queue::control::{EVER, Failure, STEP, Selected};
use crate::queue::{Admin, JobKey};
use crate::refusal::Misuse;
use crate::wire::field;

/// Jobs that are named, or failures by queue, batch and cause.
pub(super) struct Choice {
    jobs: Vec<JobKey>,
    queue: Option<String>,
    batch: Option<String>,
    why: Option<String>,
    limit: Option<usize>,
}

impl Choice {
    /// What a form says.
    pub(super) fn of(form: &Form) -> Result<Self, Misuse> {
        let jobs: Option<Vec<_>> = form.all("job").map(decoded).collect();
        let jobs = jobs.ok_or_else(|| Misuse("this is no key of a job".to_owned()))?;
        let text = |name: &str| form.given(name).map(str::to_owned);
        let choice = Self {
            jobs,
            queue: text("queue"),
            batch: text("batch"),
            why: text("why"),
            limit: form.given("limit").and_then(|limit| limit.parse().ok()),
        };
        let is_bounded = choice.queue.is_some() || choice.batch.is_some() || choice.why.is_some();
        if choice.jobs.is_empty() && !is_bounded {
            let text = "no job is chosen: tick some, or choose a cause";
            return Err(Misuse(text.to_owned()));
        }
        Ok(choice)
    }

    /// Whether jobs are named.
    pub(super) fn names_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The only job that is named.
    pub(super) fn only_job(&self) -> Option<&JobKey> {
        match self.jobs.as_slice() {
            [job] => Some(job),
            _ => None,
        }
    }

    /// The batch whose failures are meant.
    pub(super) fn batch(&self) -> Option<&str> {
        self.batch.as_deref()
    }

    /// The same on a command line.
    pub(super) fn words(&self) -> Vec<Vec<u8>> {
        if self.names_jobs() {
            return self.jobs.iter().map(|job| job.0.clone()).collect();
        }
        let mut words = Vec::new();
        let mut add = |option: &str, value: &str| {
            words.extend([option, value].map(|word| word.as_bytes().to_vec()));
        };
        let options = [
            ("--queue", &self.queue),
            ("--batch", &self.batch),
            ("--why", &self.why),
        ];
        for (option, value) in options {
            value.iter().for_each(|value| add(option, value));
        }
        if let Some(limit) = self.limit {
            add("--limit", &limit.to_string());
        }
        if self.queue.is_none() && self.batch.is_none() {
            words.push(b"--all-queues".to_vec());
        }
        words
    }

    /// The jobs: those that are named, else failures in the order in which they failed.
    pub(super) async fn select(&self, admin: &Admin) -> Result<Selected, Fault> {
        if self.names_jobs() {
            return self.named(admin).await;
        }
        let queues = self.queues(admin).await?;
        let mut selected = Selected::default();
        let limit = self.limit.unwrap_or(usize::MAX);
        let each = |queue: &str, failure: Failure| {
            if selected.len() < limit && self.accepts(&failure) {
                selected.0.push((queue.to_owned(), failure.key));
            }
            Ok::<_, crate::queue::Error>(selected.len() < limit)
        };
        admin.each_failure(&queues, EVER, each).await?;
        Ok(selected)
    }

    fn accepts(&self, failure: &Failure) -> bool {
        let batch = failure.fields.get(field::BATCH.as_bytes());
        let is_of = |name: &String| batch.is_some_and(|it| it == name.as_bytes());
        self.batch.as_ref().is_none_or(is_of)
            && self.why.as_ref().is_none_or(|why| failure.is_of(why))
    }

    async fn queues(&self, admin: &Admin) -> Result<Vec<String>, Fault> {
        if let Some(queue) = &self.queue {
            return Ok(vec![queue.clone()]);
        }
        if let Some(name) = &self.batch {
            let state = batch::known(admin, name).await?;
            return Ok(state.queues().into_iter().map(str::to_owned).collect());
        }
        Ok(admin.survey().await?.queues.into_iter().collect())
    }

    /// The jobs that are named, with their queues.
    async fn named(&self, admin: &Admin) -> Result<Selected, Fault> {
        let known: Vec<_> = admin.survey().await?.queues.into_iter().collect();
        let mut selected = Selected::default();
        for step in self.jobs.chunks(STEP) {
            let fields = admin.jobs(step).await?;
            for (key, fields) in step.iter().zip(fields) {
                let queue = Admin::queue_of(key, &fields, &known);
                let queue =
                    queue.ok_or_else(|| Misuse(format!("nothing tells the queue of {key}")))?;
                selected.0.push((queue, key.clone()));
            }
        }
        Ok(selected)
    }
}
