//! Jobs on their way into queues, some hundred at a time, and what became of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::mem;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::desk::{listed, print_json, size};
use super::context::Context;
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{NewEntry, STEP, Submitted, queue_for};
use crate::submission::Input;
use crate::untrusted;
use crate::wire::timestamp;

/// The first uploads are worked while the rest is on its way.
const LONGEST_STAY: Duration = Duration::from_secs(1);
/// How often a queue that is too long is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Takes inputs, and queues their jobs.
pub(super) struct Enqueuer<'c> {
    context: &'c Context,
    /// By their queues.
    waiting: BTreeMap<String, Vec<NewEntry>>,
    since: Instant,
    keys: Vec<JobKey>,
    tally: Tally,
}

/// What became of what was submitted.
#[derive(Debug, Default)]
struct Tally {
    queued: BTreeMap<String, u64>,
    /// By their status.
    known: BTreeMap<String, u64>,
    exceptions: u64,
    sent: (u64, u64),
    there: u64,
}

impl<'c> Enqueuer<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self {
            context,
            waiting: BTreeMap::new(),
            since: Instant::now(),
            keys: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Counts what was sent for an input.
    pub(super) fn count_transfer(&mut self, sent: Option<u64>) {
        match sent {
            Some(bytes) => {
                self.tally.sent.0 += 1;
                self.tally.sent.1 += bytes;
            }
            None => self.tally.there += 1,
        }
    }

    /// Takes the job of an input, and queues it with the next ones.
    pub(super) async fn add(&mut self, input: &Input) -> anyhow::Result<()> {
        let (queue, job) = self.job(input);
        self.add_job(queue, job).await
    }

    /// Whether the job of an input is there.
    pub(super) async fn knows(&self, input: &Input) -> anyhow::Result<bool> {
        let (_, job) = self.job(input);
        Ok(self.context.desk.admin.exists(&job.key).await?)
    }

    fn job(&self, input: &Input) -> (String, NewEntry) {
        let context = self.context;
        let queue = queue_for(&context.queue, &input.name);
        let by = (timestamp(), context.host.as_str());
        let job = context
            .wishes
            .job(&queue, input, context.identity, (&by.0, by.1));
        (queue, job)
    }

    /// The same with a job that is made already.
    pub(super) async fn add_job(&mut self, queue: String, job: NewEntry) -> anyhow::Result<()> {
        let jobs = self.waiting.entry(queue.clone()).or_default();
        jobs.push(job);
        if jobs.len() >= STEP {
            let jobs = mem::take(jobs);
            self.queue(&queue, jobs).await?;
        } else if self.since.elapsed() >= LONGEST_STAY {
            self.flush().await?;
        }
        Ok(())
    }

    /// Queues all that waits here.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        for (queue, jobs) in mem::take(&mut self.waiting) {
            if !jobs.is_empty() {
                self.queue(&queue, jobs).await?;
            }
        }
        self.since = Instant::now();
        Ok(())
    }

    /// Reports something that is not submitted.
    pub(super) fn except(&mut self, what: impl Display, why: impl Display) -> io::Result<()> {
        self.tally.exceptions += 1;
        let (what, why) = (what.to_string(), why.to_string());
        if self.context.json {
            return print_json(&json!({ "event": "exception", "input": what, "why": why }));
        }
        let line = || {
            let text = format!("not submitted: {what}: {why}");
            untrusted::message(text).to_string()
        };
        match listed(self.tally.exceptions, line) {
            Some(line) => writeln!(io::stderr(), "{line}"),
            None => Ok(()),
        }
    }

    async fn queue(&mut self, queue: &str, mut jobs: Vec<NewEntry>) -> anyhow::Result<()> {
        self.wait_for_room(queue).await?;
        let stamp = timestamp();
        for job in &mut jobs {
            job.stamp(&stamp);
        }
        let admin = &self.context.desk.admin;
        let answers = if self.context.is_dry {
            let keys: Vec<_> = jobs.iter().map(|job| job.key.clone()).collect();
            let standings = admin.standings(&keys).await?.into_iter();
            standings
                .map(|known| {
                    known.map_or(Submitted::Queued, |known| Submitted::Known(known.status))
                })
                .collect()
        } else {
            admin.submit_jobs(queue, &stamp, &jobs).await?
        };
        for (job, answer) in jobs.into_iter().zip(answers) {
            self.report(queue, &job.key, &answer)?;
            if self.context.follows {
                self.keys.push(job.key);
            }
        }
        Ok(())
    }

    async fn wait_for_room(&self, queue: &str) -> anyhow::Result<()> {
        let Some(max) = self.context.max_queue.filter(|_| !self.context.is_dry) else {
            return Ok(());
        };
        while self.context.desk.admin.length(queue).await? > max {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn report(&mut self, queue: &str, key: &JobKey, answer: &Submitted) -> io::Result<()> {
        let status = match answer {
            Submitted::Queued => {
                *self.tally.queued.entry(queue.to_owned()).or_default() += 1;
                None
            }
            Submitted::Known(status) => {
                *self.tally.known.entry(status.clone()).or_default() += 1;
                Some(status)
            }
        };
        if !self.context.json {
            return Ok(());
        }
        let mut line = json!({
            "event": "submitted", "key": key.to_json(), "queue": queue, "known": status.is_some(),
        });
        if let Some(status) = status {
            line["status"] = status.as_str().into();
        }
        if self.context.is_dry {
            line["dry_run"] = true.into();
        }
        print_json(&line)
    }

    /// What came of it so far, in a few words.
    pub(super) fn summary(&self) -> String {
        let Tally {
            queued,
            known,
            exceptions,
            sent,
            there,
        } = &self.tally;
        let mut parts: Vec<String> = queued
            .iter()
            .map(|(queue, count)| format!("{count} queued on {queue}"))
            .collect();
        if !known.is_empty() {
            let count: u64 = known.values().sum();
            let each: Vec<_> = known
                .iter()
                .map(|(status, count)| format!("{count} {status}"))
                .collect();
            parts.push(format!("{count} known already ({})", each.join(", ")));
        }
        if sent.0 > 0 {
            parts.push(format!("{} uploaded ({})", sent.0, size(sent.1 as f64)));
        }
        if *there > 0 {
            parts.push(format!("{there} in the bucket already"));
        }
        if *exceptions > 0 {
            parts.push(format!("{exceptions} not submitted"));
        }
        if parts.is_empty() {
            parts.push("nothing to submit".to_owned());
        }
        parts.join(", ")
    }

    /// Reports what came of it, and gives the exit status.
    pub(super) async fn end(&mut self) -> anyhow::Result<u8> {
        self.flush().await?;
        let summary = self.summary();
        let is_dry = self.context.is_dry;
        let queued: u64 = self.tally.queued.values().sum();
        if !is_dry && queued > 0 {
            let desk = &self.context.desk;
            desk.admin
                .record(&desk.who, "submit", &self.context.queue, &summary)
                .await?;
        }
        if self.context.json {
            print_json(&json!({
                "event": "ended", "verb": "submitted", "dry_run": is_dry, "queued": queued,
                "known": self.tally.known.values().sum::<u64>(), "failed": self.tally.exceptions,
                "uploaded": self.tally.sent.0, "uploaded_bytes": self.tally.sent.1,
                "already_there": self.tally.there,
            }))?;
        } else if is_dry {
            writeln!(io::stdout(), "would be: {summary}")?;
        } else {
            writeln!(io::stdout(), "{summary}")?;
        }
        Ok(match self.tally.exceptions {
            0 => exit_code::SUCCESS,
            _ => exit_code::FOUND,
        })
    }

    /// The keys of all jobs, those that were known included.
    pub(super) fn into_keys(self) -> Vec<JobKey> {
        self.keys
    }
}
