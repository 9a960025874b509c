//! Jobs that a job creates and waits for.

use std::time::Duration;

use super::claimed::{Job, trace_context};
use super::snapshot::JobSnapshot;
use crate::queue::{ChildSet, ChildSpec, ChildWait};
use crate::traces;
use crate::wire::{self, JobKey, RawFields, Status, field};

/// The input of a child.
#[derive(Clone, Copy, Debug)]
pub struct ChildInput<'a> {
    /// Key of the object in the bucket.
    pub key: &'a str,
    /// The name that results are called after.
    pub original_name: &'a str,
    /// Public address of the object, unless the child has one already.
    pub url: Option<&'a str>,
}

/// Jobs that a job creates and waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children(pub(super) ChildWait);

impl Children {
    /// These, with the job in `status` meanwhile. The job goes on when all are final.
    pub fn new(children: Vec<ChildSpec>, status: Status) -> Self {
        Self::of(ChildSet::New(children), status)
    }

    /// The same, but the job goes on as soon as one of them has failed.
    #[must_use]
    pub fn failing_fast(mut self) -> Self {
        self.0.fail_fast = true;
        self
    }

    /// The same, but they are only a part of the work: so much of it, in per cent, is done when all are final.
    #[must_use]
    pub fn up_to(mut self, progress: u8) -> Self {
        self.0.progress = progress;
        self
    }

    /// Those that the job has waited for before, of which the failed ones are tried again; with what was said of the wait.
    pub(crate) fn again(job: &Job) -> Self {
        let text = |name: &str| job.field(name).ok().flatten();
        Self(ChildWait {
            children: ChildSet::Again(job.progress.children.clone()),
            status: Status::Waiting,
            fail_fast: text(field::CHILDREN_FAIL_FAST) == Some("1"),
            progress: text(field::CHILDREN_PROGRESS)
                .and_then(|percent| percent.parse().ok())
                .unwrap_or(100),
        })
    }

    /// Children that a Python consumer has created for an archive.
    fn adopted(children: Vec<JobKey>) -> Self {
        Self::of(ChildSet::Existing(children), Status::Waiting)
    }

    fn of(children: ChildSet, status: Status) -> Self {
        Self(ChildWait {
            children,
            status,
            fail_fast: false,
            progress: 100,
        })
    }
}

/// What a job knows of its children.
#[derive(Clone, Debug)]
pub enum ChildState {
    /// It has none yet.
    None,
    /// It has waited for these, in the order in which they were created.
    Finished(Vec<Child>),
    /// A Python consumer has created them: this is how to wait for them.
    CreatedElsewhere(Children),
}

/// A child as its parent sees it.
#[derive(Clone, Debug)]
pub struct Child {
    /// The key of its hash.
    pub key: JobKey,
    fields: RawFields,
}

/// Fields of children that their parents read.
const READ_OF_CHILDREN: [&str; 7] = [
    field::CHILD_QUEUE,
    field::ORIGINAL_NAME,
    field::ROUND,
    field::TRACE,
    field::STATUS,
    field::REASON,
    field::OUTPUT_FILE_NAME,
];

/// Those of which an archive lists the values of all its images.
const COLLECTED: [&str; 6] = [
    field::PREDICTION_TIME,
    field::POSTPROCESS_TIME,
    field::UPLOAD_TIME,
    field::DOWNLOAD_TIME,
    field::TOTAL_TIME,
    field::PREDICT_RETRIES,
];

impl Child {
    /// The key of its result.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub fn result(&self) -> Result<String, ChildFailed> {
        let snapshot = self.snapshot();
        let status = snapshot.status();
        let reason = if status.is_empty() {
            "it has vanished (expired or deleted)".to_owned()
        } else if snapshot.is_done() {
            match snapshot.output_key().filter(|key| !key.is_empty()) {
                Some(key) => return Ok(key),
                None => "it is done but names no result".to_owned(),
            }
        } else if snapshot.has_failed() {
            self.reason()
        } else {
            format!("it is still {status}")
        };
        Err(ChildFailed {
            key: self.key.clone(),
            reason,
        })
    }

    /// Whether it has ended without a result; one that has vanished has.
    pub fn has_failed(&self) -> bool {
        self.snapshot().has_failed() || self.snapshot().status().is_empty()
    }

    /// The queue that its parent put it into.
    pub fn queue(&self) -> String {
        self.snapshot().text(field::CHILD_QUEUE).unwrap_or_default()
    }

    /// What it was called when it was created; for one that has vanished, what its key tells of that.
    pub(crate) fn name(&self) -> String {
        let name = self.snapshot().text(field::ORIGINAL_NAME);
        name.unwrap_or_else(|| {
            let key = self.key.as_text();
            let parts: Vec<_> = key.splitn(2, ':').collect();
            let rest = parts.last().copied().unwrap_or_default();
            rest.rsplit_once(':')
                .map_or(rest, |(name, _)| name)
                .to_owned()
        })
    }

    /// The round of children to which it belongs: 1 unless its parent has waited for others before.
    pub(crate) fn round(&self) -> u32 {
        let round = self.snapshot().text(field::ROUND);
        round.and_then(|round| round.parse().ok()).unwrap_or(1)
    }

    fn snapshot(&self) -> JobSnapshot<'_> {
        JobSnapshot(&self.fields)
    }

    fn reason(&self) -> String {
        let reason = self.snapshot().text(field::REASON);
        let reason = reason.unwrap_or_else(|| "None".to_owned());
        reason.lines().last().unwrap_or_default().to_owned()
    }
}

/// A child has no result.
#[derive(Debug, thiserror::Error)]
#[error("the job `{key}`, a part of this one, has no result: {reason}")]
pub struct ChildFailed {
    key: JobKey,
    /// The last line of its reason.
    pub reason: String,
}

/// How long a part of the work on many jobs took, for those who read the parent's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Uploading the images of an archive.
    ChildrenUpload(Duration),
    /// Collecting the results of an archive.
    Cleanup(Duration),
}

impl Job {
    /// What the job knows of the jobs that it has created.
    pub async fn children(&self) -> anyhow::Result<ChildState> {
        let keys = &self.progress.children;
        if keys.is_empty() {
            return Ok(ChildState::None);
        }
        if !self.has(field::CHILDREN_TOTAL) {
            return Ok(ChildState::CreatedElsewhere(Children::adopted(
                keys.clone(),
            )));
        }
        let names = [&READ_OF_CHILDREN[..], &COLLECTED].concat();
        let found = self.progress.lease.read_many(keys, &names).await?;
        let children: Vec<_> = keys
            .iter()
            .zip(found)
            .map(|(key, fields)| Child {
                key: key.clone(),
                fields,
            })
            .collect();
        let spans = children
            .iter()
            .filter_map(|child| child.snapshot().text(field::TRACE));
        traces::link(spans);
        Ok(ChildState::Finished(children))
    }

    /// Whether an operator wants the failed children of the job to be tried again.
    pub(crate) fn tries_children_again(&self) -> bool {
        self.has(field::AGAIN) && !self.progress.children.is_empty()
    }

    /// The fields that a child takes over from the job: all but those that say how the job itself fares.
    pub fn inherited_fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut inherited: Vec<_> = self
            .fields()
            .filter(|(name, _)| !wire::is_bookkeeping(name) && !wire::is_of_result(name))
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect();
        let consumer = self.progress.lease.consumer().as_bytes().to_vec();
        inherited.push((field::IDENTITY_UPLOAD.to_owned(), consumer));
        inherited
    }

    /// A child that works the object `input.key` of the bucket, with `more` fields beside those of every child.
    pub fn child(
        &self,
        queue: &str,
        input: ChildInput<'_>,
        more: Vec<(String, Vec<u8>)>,
    ) -> ChildSpec {
        let mut own = vec![
            (field::IDENTITY_UPLOAD, self.progress.lease.consumer()),
            (field::INPUT_FILE_NAME, input.key),
            (field::ORIGINAL_NAME, input.original_name),
        ];
        own.extend(input.url.map(|url| (field::URL, url)));
        let mut context = traces::context();
        if context.is_empty() {
            context = trace_context(&self.raw);
        }
        own.extend(
            context
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let mut fields = more;
        fields.retain(|(name, _)| own.iter().all(|(taken, _)| taken != name));
        let own = own.into_iter();
        fields.extend(own.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
        ChildSpec {
            queue: queue.to_owned(),
            name: input.original_name.to_owned(),
            fields,
        }
    }

    /// Records how the parts of an archive fared: their times as lists, and the reasons of those that failed.
    pub fn record_children(&self, children: &[Child]) {
        let mut fields = Vec::new();
        for field in COLLECTED {
            let values: Vec<_> = children
                .iter()
                .map(Child::snapshot)
                .filter(JobSnapshot::is_done)
                .filter_map(|child| child.text(field))
                .filter(|text| !text.is_empty())
                .collect();
            if !values.is_empty() {
                fields.push((field, values.join(",")));
            }
        }
        let mut failures = url::form_urlencoded::Serializer::new(String::new());
        for child in children {
            if let Err(error) = child.result() {
                failures.append_pair(&child.key.as_text(), &error.reason);
            }
        }
        fields.push((field::FAILURES, failures.finish()));
        self.progress.tell_of_children(fields);
    }

    /// Records how long a part of the work on the children took.
    pub fn record_timing(&self, timing: Timing) {
        let (name, time) = match timing {
            Timing::ChildrenUpload(time) => (field::CHILDREN_UPLOAD_TIME, time),
            Timing::Cleanup(time) => (field::CLEANUP_TIME, time),
        };
        self.progress
            .write([(name, time.as_secs_f64().to_string())]);
    }
}
