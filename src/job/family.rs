//! Jobs that a job creates and waits for.

use std::time::Duration;

use super::{Job, Record, STATUS, Status, TRACE, UPDATED_AT, seconds, trace_context};
use crate::queue::{Awaited, ChildWait, JobKey, NewChild, RawFields};
use crate::traces;

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
pub struct Children {
    awaited: Awaited,
    status: Status,
    fail_fast: bool,
    progress: u8,
}

impl Children {
    /// These, with the job in `status` meanwhile. The job goes on when all are final.
    pub fn new(children: Vec<NewChild>, status: Status) -> Self {
        Self {
            awaited: Awaited::New(children),
            status,
            fail_fast: false,
            progress: 100,
        }
    }

    /// The same, but the job goes on as soon as one of them has failed.
    #[must_use]
    pub fn failing_fast(self) -> Self {
        Self {
            fail_fast: true,
            ..self
        }
    }

    /// The same, but they are only a part of the work: so much of it, in per cent, is done when all are final.
    #[must_use]
    pub fn up_to(self, progress: u8) -> Self {
        Self { progress, ..self }
    }

    pub(super) fn wait(&self) -> ChildWait {
        let Self {
            awaited,
            status,
            fail_fast,
            progress,
        } = self;
        ChildWait {
            awaited: awaited.clone(),
            status: status.as_str(),
            fail_fast: *fail_fast,
            progress: *progress,
        }
    }

    /// Children that a Python consumer has created for an archive.
    fn adopted(children: Vec<JobKey>) -> Self {
        Self {
            awaited: Awaited::Existing(children),
            status: Status::Waiting,
            fail_fast: false,
            progress: 100,
        }
    }
}

/// What a job knows of its children.
#[derive(Clone, Debug)]
pub enum Family {
    /// It has none yet.
    None,
    /// It has waited for these, in the order in which they were created.
    Waited(Vec<Child>),
    /// A Python consumer has created them: this is how to wait for them.
    Foreign(Children),
}

/// A child as its parent sees it.
#[derive(Clone, Debug)]
pub struct Child {
    /// The key of its hash.
    pub key: JobKey,
    record: Record,
}

/// The field that says which queue a parent chose for a child: the role that it plays, whatever its key looks like.
pub(crate) const CHILD_QUEUE: &str = "rc_child_queue";

/// Fields of children that their parents read.
const OF_CHILDREN: [&str; 5] = [CHILD_QUEUE, TRACE, STATUS, "reason", "output_file_name"];

/// Those that the record of an archive has of all its images.
const SUMMED_UP: [&str; 6] = [
    "prediction_time",
    "postprocess_time",
    "upload_time",
    "download_time",
    "total_time",
    "predict_retries",
];

impl Child {
    /// The key of its result.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub fn result(&self) -> Result<String, ChildFailed> {
        let failed = |reason: String| ChildFailed {
            key: self.key.clone(),
            reason,
        };
        match self.record.status().as_str() {
            "" => Err(failed("it has vanished (expired or deleted)".to_owned())),
            status if status == Status::Done.as_str() => {
                let key = self
                    .record
                    .text("output_file_name")
                    .filter(|key| !key.is_empty());
                key.ok_or_else(|| failed("it is done and names no result".to_owned()))
            }
            status if status == Status::Failed.as_str() => Err(failed(self.reason())),
            status => Err(failed(format!("it is still {status}"))),
        }
    }

    /// Whether it has ended without a result; one that has vanished has.
    pub fn has_failed(&self) -> bool {
        self.record.has_failed() || self.record.status().is_empty()
    }

    /// The queue that its parent put it into.
    pub fn queue(&self) -> String {
        self.record.text(CHILD_QUEUE).unwrap_or_default()
    }

    fn reason(&self) -> String {
        let reason = self
            .record
            .text("reason")
            .unwrap_or_else(|| "None".to_owned());
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

impl Job {
    /// What the job knows of the jobs that it has created.
    pub async fn family(&self) -> anyhow::Result<Family> {
        let keys = &self.custody.children;
        if keys.is_empty() {
            return Ok(Family::None);
        }
        if !self.fields.contains_key(b"children_total".as_slice()) {
            return Ok(Family::Foreign(Children::adopted(keys.clone())));
        }
        let records = self
            .custody
            .queue
            .read_many(keys, &[&OF_CHILDREN[..], &SUMMED_UP].concat())
            .await?;
        let child = |(key, fields): (&JobKey, RawFields)| Child {
            key: key.clone(),
            record: Record(fields),
        };
        let children: Vec<_> = keys.iter().zip(records).map(child).collect();
        traces::link(children.iter().filter_map(|child| child.record.text(TRACE)));
        Ok(Family::Waited(children))
    }

    /// The fields that a child takes over from the job: all but those that say how the job itself fares.
    pub fn inheritance(&self) -> Vec<(String, Vec<u8>)> {
        let own = |name: &str| {
            name.starts_with("rc_")
                || name.starts_with("children")
                || name.starts_with("identity_")
                || name.ends_with("_time")
                || [
                    STATUS,
                    UPDATED_AT,
                    "updated_by",
                    "created_at",
                    "finished_at",
                    "reason",
                    "error_class",
                    "progress",
                    "failures",
                    "output_url",
                    "output_file_name",
                    "total_jobs",
                    "dim_order",
                    "parent",
                    "not_before",
                ]
                .contains(&name)
        };
        let named = self
            .fields
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        let mut taken: Vec<_> = named
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        taken.push((
            "identity_upload".to_owned(),
            self.custody.queue.consumer().as_bytes().to_vec(),
        ));
        taken
    }

    /// A child that works the object `input_key` of the bucket, with `more` fields beside those of every child.
    pub fn child(
        &self,
        queue: &str,
        input: ChildInput<'_>,
        more: Vec<(String, Vec<u8>)>,
    ) -> NewChild {
        let mut fields = more;
        let mut own = vec![
            ("identity_upload", self.custody.queue.consumer()),
            ("input_file_name", input.key),
            ("original_name", input.original_name),
        ];
        own.extend(input.url.map(|url| ("url", url)));
        let mut context = traces::context();
        if context.is_empty() {
            context = trace_context(&self.fields);
        }
        own.extend(
            context
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        fields.retain(|(name, _)| own.iter().all(|(taken, _)| taken != name));
        fields.extend(
            own.into_iter()
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
        );
        NewChild {
            queue: queue.to_owned(),
            name: input.original_name.to_owned(),
            fields,
        }
    }

    /// Records how the parts of an archive fared: sums of times as lists, and the reasons of those that failed.
    pub fn record_collected(&self, children: &[Child]) {
        let done = || children.iter().filter(|child| child.record.is_done());
        let mut fields = Vec::new();
        for field in &SUMMED_UP {
            let values: Vec<_> = done()
                .filter_map(|child| child.record.text(field))
                .filter(|text| !text.is_empty())
                .collect();
            if !values.is_empty() {
                fields.push((*field, values.join(",")));
            }
        }
        let mut failures = url::form_urlencoded::Serializer::new(String::new());
        for child in children.iter().filter(|child| child.result().is_err()) {
            let reason = match child.result() {
                Err(_) if child.record.has_failed() => child.reason(),
                Err(error) => error.reason,
                Ok(_) => continue,
            };
            failures.append_pair(&child.key.to_string(), &reason);
        }
        fields.push(("failures", failures.finish()));
        self.custody.tell_of_children(fields);
    }

    /// Records how long the upload of an archive's images took.
    pub fn record_expanded(&self, time: Duration) {
        self.custody
            .write(vec![("children_upload_time", seconds(time.as_secs_f64()))]);
    }

    /// Records how long the collecting of an archive's results took.
    pub fn record_cleanup(&self, time: Duration) {
        self.custody.write(vec![
            ("cleanup_time", seconds(time.as_secs_f64())),
            ("progress", "100".to_owned()),
        ]);
    }
}
