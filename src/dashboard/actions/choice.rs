//! Which jobs an action is about.

use serde_json::{Map, Value};

use super::super::fault::Fault;
use super::super::form::Form;
use super::super::shown::decoded;
use crate::queue::control::Selected;
use crate::queue::{Admin, JobKey};
use crate::refusal::Misuse;
use crate::selection::Selector;

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
        Ok(self.selector()?.failed(admin).await?)
    }

    fn selector(&self) -> Result<Selector, Misuse> {
        let mut object = Map::new();
        let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
        if self.names_jobs() {
            add("jobs", self.jobs.iter().map(JobKey::to_json).collect());
            return Selector::from_json(object);
        }
        if let Some(queue) = &self.queue {
            add("queue", queue.as_str().into());
        }
        add("batch", self.batch.as_deref().into());
        add("why", self.why.as_deref().into());
        add("limit", self.limit.into());
        Selector::from_json(object)
    }
}
