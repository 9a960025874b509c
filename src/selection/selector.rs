//! Which jobs a command is about.

use std::ffi::OsString;
use std::io::BufRead as _;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, OnceLock};

use clap::Args;
use regex::bytes::Regex;

use crate::batch;
use crate::figures::Moment;
use crate::queue::control::{STEP, Selected, Source};
use crate::queue::{Admin, JobKey};
use crate::refusal::Misuse;
use crate::wire::{RawFields, field, value_of};

#[derive(Args, Clone, Default)]
pub(crate) struct Selector {
    /// Keys of jobs; `-` reads them from standard input, one a line.
    #[arg(value_name = "JOB")]
    pub(super) jobs: Vec<OsString>,
    /// Jobs of this queue.
    #[arg(long, value_name = "NAME")]
    pub(super) queue: Vec<String>,
    /// Jobs of all queues.
    #[arg(long)]
    pub(super) all_queues: bool,
    /// Items of this batch.
    #[arg(long, value_name = "NAME")]
    pub(super) batch: Option<String>,
    /// Of the batch, items of this stage.
    #[arg(long, value_name = "NAME", requires = "batch")]
    pub(super) stage: Option<String>,
    /// The number of that stage, once it is known.
    #[arg(skip)]
    pub(super) number: Arc<OnceLock<usize>>,
    /// Jobs that failed with this class of error.
    #[arg(long)]
    pub(super) class: Option<String>,
    /// Jobs that failed for this cause: a number that `failed --group` shows, or a part of its text.
    #[arg(long, value_name = "N|TEXT")]
    pub(super) why: Option<String>,
    /// Jobs whose reason matches.
    #[arg(long, value_name = "REGEX")]
    pub(super) reason: Option<Regex>,
    /// Jobs of which a field matches.
    #[arg(long, value_name = "NAME=REGEX", value_parser = parse_field)]
    pub(super) field: Vec<(String, Regex)>,
    /// Since this time: RFC 3339, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Moment>,
    /// Until this time.
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Moment>,
    /// So many at most.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Look through all keys for failures that no list knows, too; this is called if there are more keys than the time is enough for.
    #[arg(skip)]
    pub(crate) scan: Option<fn()>,
}

impl Selector {
    /// The keys that the command line names.
    pub(crate) fn keys(&self) -> anyhow::Result<Vec<JobKey>> {
        read_keys(&self.jobs)
    }

    /// Whether it says of which jobs, queues or batch.
    pub(crate) fn is_bounded(&self) -> bool {
        let is_named = !self.jobs.is_empty() || !self.queue.is_empty() || self.batch.is_some();
        is_named || self.all_queues
    }

    /// Refuses a selector that would change everything by mistake.
    pub(crate) fn check_for_change(&self) -> Result<(), Misuse> {
        if !self.is_bounded() {
            let text = "say which jobs: their keys, --queue NAME, --batch NAME, or --all-queues";
            return Err(Misuse(text.to_owned()));
        }
        Ok(())
    }

    /// Refuses what tells failures apart, where jobs are looked at that need not be among them.
    fn check_without_failures(&self) -> Result<(), Misuse> {
        if self.tells_failures_apart() {
            let text = "--why, --since and --until choose among failures: they go neither with keys nor with jobs that wait or run";
            return Err(Misuse(text.to_owned()));
        }
        Ok(())
    }

    /// The queue that is named, if there is one only.
    pub(crate) fn only_queue(&self) -> Option<&str> {
        match self.queue.as_slice() {
            [queue] => Some(queue),
            _ => None,
        }
    }

    /// The options that say of which queues, or of which batch, the jobs are.
    pub(crate) fn bounds(&self) -> String {
        let mut words: Vec<_> = self
            .queue
            .iter()
            .map(|queue| format!("--queue {queue}"))
            .collect();
        words.extend(self.batch.iter().map(|name| format!("--batch {name}")));
        words.extend(self.stage.iter().map(|name| format!("--stage {name}")));
        if words.is_empty() {
            words.push("--all-queues".to_owned());
        }
        words.join(" ")
    }

    /// The batch that is meant, and the stage, if all that has failed of it is.
    pub(crate) fn whole_batch(&self) -> Option<(&str, Option<&str>)> {
        let is_narrow = !self.jobs.is_empty()
            || !self.queue.is_empty()
            || self.tells_failures_apart()
            || self.class.is_some()
            || self.reason.is_some()
            || !self.field.is_empty()
            || self.limit.is_some();
        let batch = self.batch.as_deref().filter(|_| !is_narrow)?;
        Some((batch, self.stage.as_deref()))
    }

    /// The batch and the stage that are named.
    pub(crate) fn batch_stage(&self) -> Option<(&str, &str)> {
        self.batch.as_deref().zip(self.stage.as_deref())
    }

    fn tells_failures_apart(&self) -> bool {
        self.why.is_some() || self.since.is_some() || self.until.is_some()
    }

    /// Whether keys are named.
    pub(crate) fn names_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The queues it is about: those that are named, those of the batch, else all.
    pub(crate) async fn queues(&self, admin: &Admin) -> anyhow::Result<Vec<String>> {
        if let Some(name) = &self.batch {
            let of_batch = self.queues_of(admin, name).await?;
            if self.queue.is_empty() {
                return Ok(of_batch);
            }
        }
        if self.queue.is_empty() {
            return Ok(admin.known_queues(false).await?);
        }
        Ok(self.queue.clone())
    }

    async fn queues_of(&self, admin: &Admin, name: &str) -> anyhow::Result<Vec<String>> {
        let state = batch::known(admin, name).await?;
        let mut stages: Vec<_> = state.stages.iter().map(|it| it.queue.clone()).collect();
        if let Some(stage) = &self.stage {
            let number = batch::stage_of(&state, stage)?;
            let number = *self.number.get_or_init(|| number);
            stages = vec![state.stages[number].queue.clone()];
        }
        stages.sort();
        stages.dedup();
        Ok(stages)
    }

    /// Whether a job is an item of the batch that is meant, if one is.
    fn is_of_batch(&self, fields: &RawFields) -> bool {
        let Some(batch) = &self.batch else {
            return true;
        };
        let place = String::from_utf8_lossy(value_of(fields, field::ITEM));
        let stage = place.split(':').next().and_then(|stage| stage.parse().ok());
        let is_of_stage = self
            .number
            .get()
            .is_none_or(|number| stage == Some(*number));
        value_of(fields, field::BATCH) == batch.as_bytes() && is_of_stage
    }

    /// The most jobs that it selects, if the command line does not say otherwise.
    pub(crate) fn limit_or(&self, most: usize) -> usize {
        self.limit.unwrap_or(most)
    }

    /// The same without a limit, for failures of whatever cause.
    pub(super) fn with_all_causes(&self) -> Self {
        Self {
            why: None,
            limit: None,
            ..self.clone()
        }
    }

    /// Whether a job with these fields is meant, whatever it is called and when it failed.
    pub(super) fn accepts(&self, fields: &RawFields) -> bool {
        let (class, reason) = (self.class.as_deref(), self.reason.as_ref());
        self.is_of_batch(fields)
            && class.is_none_or(|class| value_of(fields, field::ERROR_CLASS) == class.as_bytes())
            && reason.is_none_or(|regex| regex.is_match(value_of(fields, field::REASON)))
            && Self::has_fields(&self.field, fields)
    }

    /// Whether all of these fields match.
    pub(crate) fn has_fields(wanted: &[(String, Regex)], fields: &RawFields) -> bool {
        wanted
            .iter()
            .all(|(name, regex)| regex.is_match(value_of(fields, name)))
    }

    /// Hands over the jobs of these lists that are meant, until `each` has said of so many that they count.
    pub(crate) async fn each_job(
        &self,
        admin: &Admin,
        sources: &[Source],
        limit: usize,
        mut each: impl FnMut(&str, JobKey, RawFields) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.check_without_failures()?;
        let queues = self.queues(admin).await?;
        let mut left = limit;
        for queue in &queues {
            for source in sources {
                let mut offset = 0;
                while left > 0 {
                    let keys = admin.jobs_of(queue, *source, offset).await?;
                    if keys.is_empty() {
                        break;
                    }
                    offset += keys.len();
                    let hashes = admin.jobs(&keys).await?;
                    for (key, fields) in keys.into_iter().zip(hashes) {
                        if left > 0 && self.accepts(&fields) && each(queue, key, fields)? {
                            left -= 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The jobs that the command line names, with their queues. What has vanished is among them unless its fields matter.
    pub(crate) async fn named(&self, admin: &Admin) -> anyhow::Result<Selected> {
        self.check_without_failures()?;
        let keys = self.keys()?;
        let queues = self.queues(admin).await?;
        let mut selected = Selected::default();
        for chunk in keys.chunks(STEP) {
            let hashes = admin.jobs(chunk).await?;
            let found = chunk.iter().zip(hashes);
            for (key, fields) in found.filter(|(_, fields)| self.accepts(fields)) {
                let queue = queue_of(key, &fields, self.only_queue(), &queues)?;
                selected.0.push((queue, key.clone()));
            }
        }
        selected.0.truncate(self.limit_or(usize::MAX));
        Ok(selected)
    }
}

/// The queue of a job: the one that the command line names, else what its fields or its key tell, with those that are known.
pub(crate) fn queue_of(
    key: &JobKey,
    fields: &RawFields,
    named: Option<&str>,
    known: &[String],
) -> Result<String, Misuse> {
    let named = named.map(str::to_owned);
    let queue = named.or_else(|| Admin::queue_of(key, fields, known));
    queue.ok_or_else(|| {
        Misuse(format!(
            "nothing tells the queue of {key}: add --queue NAME"
        ))
    })
}

/// The keys of jobs on a command line; `-` stands for those on standard input.
pub(crate) fn read_keys(jobs: &[OsString]) -> anyhow::Result<Vec<JobKey>> {
    let mut keys = Vec::new();
    for job in jobs {
        if job == "-" {
            for line in std::io::stdin().lock().split(b'\n') {
                keys.extend(key_of(line?));
            }
        } else {
            keys.push(JobKey(job.clone().into_vec()));
        }
    }
    Ok(keys)
}

/// A key on a line: as it stands, or the field `key` of an object.
fn key_of(mut line: Vec<u8>) -> Option<JobKey> {
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    if line.first() == Some(&b'{')
        && let Ok(object) = serde_json::from_slice::<serde_json::Value>(&line)
        && let Some(key) = JobKey::from_json(&object["key"])
    {
        return Some(key);
    }
    (!line.is_empty()).then_some(JobKey(line))
}

/// A name and what its value has to match.
pub(crate) fn parse_field(text: &str) -> Result<(String, Regex), String> {
    let (name, regex) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=REGEX"))?;
    let regex = Regex::new(regex).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), regex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lines_or_objects() {
        let key = |line: &str| key_of(line.as_bytes().to_vec()).map(|key| key.0);
        assert_eq!(key("q:a b.tif:1\r"), Some(b"q:a b.tif:1".to_vec()));
        assert_eq!(
            key(r#"{"key": "q:a:1", "queue": "q"}"#),
            Some(b"q:a:1".to_vec())
        );
        assert_eq!(key(r#"{"key": {"base64": "/wA="}}"#), Some(vec![0xff, 0]));
        assert_eq!(key("{odd}"), Some(b"{odd}".to_vec()));
        assert_eq!(key("  "), None);
    }
}
