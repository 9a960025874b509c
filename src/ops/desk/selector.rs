//! Which jobs a command is about.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt as _;
use std::time::{Duration, Instant};

use clap::Args;
use regex::bytes::Regex;

use super::connection::Desk;
use super::fields::value_of;
use super::refusal::Misuse;
use super::times::Moment;
use crate::queue::control::{Failure, STEP, Source, why};
use crate::queue::{Admin, JobKey};
use crate::wire::{RawFields, field};

/// The largest number of milliseconds that Redis, which counts in floating point, does not round.
const LATEST: u64 = 1 << 52;

#[derive(Args, Clone)]
pub(crate) struct Selector {
    /// Keys of jobs; `-` reads them from standard input, one a line.
    #[arg(value_name = "JOB")]
    jobs: Vec<OsString>,
    /// Jobs of this queue.
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
    /// Jobs of all queues.
    #[arg(long)]
    all_queues: bool,
    /// Jobs that failed with this class of error.
    #[arg(long)]
    class: Option<String>,
    /// Jobs that failed for this cause: a number that `failed --group` shows, or a part of its text.
    #[arg(long, value_name = "N|TEXT")]
    why: Option<String>,
    /// Jobs whose reason matches.
    #[arg(long, value_name = "REGEX")]
    reason: Option<Regex>,
    /// Jobs of which a field matches.
    #[arg(long, value_name = "NAME=REGEX", value_parser = parse_field)]
    field: Vec<(String, Regex)>,
    /// Since this time: RFC 3339, or how long ago.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Until this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// So many at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Look through all keys for failures that no list knows, too.
    #[arg(skip)]
    pub(crate) scan: bool,
}

/// How long a look through all keys goes on.
const SCAN_TIME: Duration = Duration::from_secs(60);

/// Jobs that were selected, by queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selected(pub(crate) Vec<(String, JobKey)>);

/// Failures with the same cause.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) why: String,
    pub(crate) class: String,
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) example: JobKey,
    pub(crate) input: String,
}

impl Selector {
    /// The keys that the command line names.
    pub(crate) fn keys(&self) -> anyhow::Result<Vec<JobKey>> {
        read_keys(&self.jobs)
    }

    /// Refuses a selector that would change everything by mistake.
    pub(crate) fn check_for_change(&self) -> Result<(), Misuse> {
        if self.jobs.is_empty() && self.queue.is_empty() && !self.all_queues {
            let text = "say which jobs: their keys, --queue NAME, or --all-queues";
            return Err(Misuse(text.to_owned()));
        }
        Ok(())
    }

    /// Refuses what tells failures apart, where jobs are looked at that need not be among them.
    fn check_without_failures(&self) -> Result<(), Misuse> {
        if self.why.is_some() || self.since.is_some() || self.until.is_some() {
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

    /// Whether keys are named.
    pub(crate) fn names_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The queues it is about: those that are named, else all.
    pub(crate) async fn queues(&self, desk: &Desk) -> anyhow::Result<Vec<String>> {
        if self.queue.is_empty() {
            return desk.queues(false).await;
        }
        Ok(self.queue.clone())
    }

    /// The most jobs that it selects, if the command line does not say otherwise.
    pub(crate) fn limit_or(&self, most: usize) -> usize {
        self.limit.unwrap_or(most)
    }

    /// Whether a job with these fields is meant, whatever it is called and when it failed.
    fn accepts(&self, fields: &RawFields) -> bool {
        let (class, reason) = (self.class.as_deref(), self.reason.as_ref());
        class.is_none_or(|class| value_of(fields, field::ERROR_CLASS) == class.as_bytes())
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
        desk: &Desk,
        sources: &[Source],
        limit: usize,
        mut each: impl FnMut(&str, JobKey, RawFields) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.check_without_failures()?;
        let queues = self.queues(desk).await?;
        let mut left = limit;
        let lists = queues
            .iter()
            .flat_map(|queue| sources.iter().map(move |source| (queue, *source)));
        for (queue, source) in lists {
            let mut offset = 0;
            while left > 0 {
                let keys = desk.admin.jobs_of(queue, source, offset).await?;
                if keys.is_empty() {
                    break;
                }
                offset += keys.len();
                let hashes = desk.admin.jobs(&keys).await?;
                for (key, fields) in keys.into_iter().zip(hashes) {
                    if left > 0 && self.accepts(&fields) && each(queue, key, fields)? {
                        left -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands over all failures that are meant, some at a time, the first ones first.
    pub(crate) async fn each_failure(
        &self,
        desk: &Desk,
        mut each: impl FnMut(&str, Failure) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let cause = self.cause(desk).await?;
        let is_meant = |failure: &Failure| {
            let cause = cause.as_ref();
            self.accepts(&failure.fields) && cause.is_none_or(|cause| failure.why().contains(cause))
        };
        let span = self.span();
        let mut left = self.limit_or(usize::MAX);
        let mut listed = HashSet::new();
        for queue in self.queues(desk).await? {
            let mut offset = 0;
            loop {
                let (failures, looked) = desk.admin.failures(&queue, span, (offset, STEP)).await?;
                for failure in failures {
                    if self.scan {
                        listed.insert(failure.key.clone());
                    }
                    if is_meant(&failure) && left > 0 {
                        left -= 1;
                        each(&queue, failure)?;
                    }
                }
                offset += looked;
                if looked < STEP || left == 0 {
                    break;
                }
            }
        }
        if !self.scan {
            return Ok(());
        }
        self.each_unlisted(desk, left, |queue, failure| {
            if listed.contains(&failure.key) || !is_meant(&failure) {
                return Ok(false);
            }
            each(queue, failure).map(|()| true)
        })
        .await
    }

    /// Hands over failures that a look through all keys finds, until `each` has said of so many that they count.
    async fn each_unlisted(
        &self,
        desk: &Desk,
        limit: usize,
        mut each: impl FnMut(&str, Failure) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let known = self.queues(desk).await?;
        let (since, until) = self.span();
        let (mut left, mut ended) = (limit, Ok(()));
        let began = Instant::now();
        let look = desk.admin.scan_failures(|failures| {
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
            let seconds = SCAN_TIME.as_secs();
            writeln!(
                io::stderr(),
                "--scan: there are more keys than {seconds} s are enough for; what is shown is not all"
            )?;
        }
        ended
    }

    /// The failures that are meant by cause, the most frequent first.
    pub(crate) async fn groups(&self, desk: &Desk) -> anyhow::Result<Vec<Group>> {
        let mut groups = HashMap::<(String, String), Group>::new();
        self.each_failure(desk, |_, failure| {
            let (class, why, at) = (failure.class(), failure.why(), failure.at);
            let group = groups
                .entry((class.clone(), why.clone()))
                .or_insert_with(|| Group {
                    why,
                    class,
                    count: 0,
                    first: at,
                    last: at,
                    example: failure.key.clone(),
                    input: failure.input(),
                });
            group.count += 1;
            group.first = group.first.min(at);
            group.last = group.last.max(at);
            Ok(())
        })
        .await?;
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| (b.count, &a.why, &a.class).cmp(&(a.count, &b.why, &b.class)));
        Ok(groups)
    }

    /// The failed jobs that are meant, in the order in which they failed.
    pub(crate) async fn failed(&self, desk: &Desk) -> anyhow::Result<Selected> {
        if self.names_jobs() {
            return self.named(desk).await;
        }
        let mut selected = Selected::default();
        self.each_failure(desk, |queue, failure| {
            selected.0.push((queue.to_owned(), failure.key));
            Ok(())
        })
        .await?;
        Ok(selected)
    }

    /// So many of these failed jobs, and the others. They are spread over the causes of failure: the first of each cause,
    /// then the second of each, and so on.
    pub(crate) async fn split_canary(
        &self,
        desk: &Desk,
        selected: Selected,
        count: usize,
    ) -> anyhow::Result<(Selected, Selected)> {
        let mut seen = HashMap::<String, usize>::new();
        let mut ranked = Vec::with_capacity(selected.len());
        for step in selected.0.chunks(STEP) {
            let keys: Vec<_> = step.iter().map(|(_, key)| key.clone()).collect();
            for fields in desk.admin.jobs(&keys).await? {
                let rank = seen.entry(why(&fields)).or_default();
                ranked.push((*rank, ranked.len()));
                *rank += 1;
            }
        }
        ranked.sort_unstable();
        let canary: HashSet<_> = ranked.iter().take(count).map(|(_, at)| *at).collect();
        let all = selected.0.into_iter().enumerate();
        let (canary, rest): (Vec<_>, Vec<_>) = all.partition(|(at, _)| canary.contains(at));
        let jobs = |part: Vec<(usize, _)>| Selected(part.into_iter().map(|(_, job)| job).collect());
        Ok((jobs(canary), jobs(rest)))
    }

    /// The jobs that the command line names, with their queues. What has vanished is among them unless its fields matter.
    pub(crate) async fn named(&self, desk: &Desk) -> anyhow::Result<Selected> {
        self.check_without_failures()?;
        let keys = self.keys()?;
        let queues = self.queues(desk).await?;
        let mut selected = Selected::default();
        for chunk in keys.chunks(STEP) {
            let hashes = desk.admin.jobs(chunk).await?;
            let found = chunk.iter().zip(hashes);
            for (key, fields) in found.filter(|(_, fields)| self.accepts(fields)) {
                let queue = queue_of(key, &fields, self.only_queue(), &queues)?;
                selected.0.push((queue, key.clone()));
            }
        }
        selected.0.truncate(self.limit_or(usize::MAX));
        Ok(selected)
    }

    /// The text that the signature of a failure has to contain; a number stands for that of a group.
    async fn cause(&self, desk: &Desk) -> anyhow::Result<Option<String>> {
        let Some(why) = &self.why else {
            return Ok(None);
        };
        let Ok(number) = why.parse::<usize>() else {
            return Ok(Some(why.clone()));
        };
        let all = Self {
            why: None,
            limit: None,
            ..self.clone()
        };
        let groups = Box::pin(all.groups(desk)).await?;
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
        let since = self.since.map_or(0, |Moment(millis)| millis);
        let until = self.until.map_or(LATEST, |Moment(millis)| millis);
        (since, until)
    }
}

impl Selected {
    /// Some hundred jobs at a time, each time of one queue.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, Vec<JobKey>)> {
        self.steps_of(STEP)
    }

    /// The same with so many at a time.
    pub(crate) fn steps_of(&self, size: usize) -> impl Iterator<Item = (&str, Vec<JobKey>)> {
        self.0
            .chunk_by(|a, b| a.0 == b.0)
            .flat_map(move |of_queue| of_queue.chunks(size))
            .map(|step| {
                let keys = step.iter().map(|(_, key)| key.clone()).collect();
                (step[0].0.as_str(), keys)
            })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
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
