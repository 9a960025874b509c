//! One job: where it stands, what has taken how long, and what it has said last.

use std::collections::BTreeSet;

use askama::Template;

use super::super::jobs_table::{Status, value};
use super::super::shown::{Link, When, lines, message, name};
use super::piece::{Ground, Shape, html};
use super::timeline::{Part, timeline};
use crate::queue::control::Place;
use crate::queue::{Admin, JobKey, RawFields};
use crate::wire::{self, field};

/// The pieces of a job's page.
pub(in super::super) struct JobPieces {
    pub(in super::super) facts: JobFacts,
    pub(in super::super) times: JobTimes,
    pub(in super::super) log: JobLog,
    pub(in super::super) children: ChildrenText,
    pub(in super::super) shape: Shape,
}

#[derive(Template)]
#[template(path = "pieces/job_facts.html")]
pub(in super::super) struct JobFacts {
    layout: Ground,
    status: Status,
    progress: String,
    place: String,
    when: Option<When>,
    queue: Option<Link>,
    worker: String,
    input: String,
    parent: Option<Link>,
    batch: Option<Link>,
    note: String,
    /// What is said to those who do not see.
    said: String,
}

#[derive(Template)]
#[template(path = "pieces/job_times.html")]
pub(in super::super) struct JobTimes {
    parts: Vec<Part>,
}

#[derive(Template)]
#[template(path = "pieces/job_log.html")]
pub(in super::super) struct JobLog {
    log: Vec<String>,
}

/// What became of a job's parts.
#[derive(Template)]
#[template(path = "pieces/children_text.html")]
pub(in super::super) struct ChildrenText {
    done: String,
    failed: String,
}

impl JobPieces {
    /// Of a job with these fields, which is there.
    pub(in super::super) fn of(
        ground: &Ground,
        fields: &RawFields,
        (queue, place): (Option<&str>, &str),
    ) -> Self {
        let facts = JobFacts::of(ground, fields, (queue, place));
        let parts = timeline(fields);
        let log = match value(fields, field::LOG) {
            [] => Vec::new(),
            text => lines(text),
        };
        let words: Vec<_> = parts.iter().map(|part| part.word).collect();
        Self {
            shape: shape(fields, &facts.status, (words.is_empty(), log.is_empty())),
            facts,
            times: JobTimes { parts },
            log: JobLog { log },
            children: ChildrenText::of(fields),
        }
    }

    pub(in super::super) fn has_times(&self) -> bool {
        !self.times.parts.is_empty()
    }

    pub(in super::super) fn has_log(&self) -> bool {
        !self.log.log.is_empty()
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let always = [html(&self.shape), html(&self.facts)].into_iter();
        let more = [html(&self.times), html(&self.log), html(&self.children)];
        always.chain(more).collect()
    }
}

/// What decides which sections and buttons there are. Parts of a job change with it, too: those that have failed come first.
fn shape(fields: &RawFields, status: &Status, (no_times, no_log): (bool, bool)) -> Shape {
    let deciding = [
        field::ATTEMPTS,
        field::CHILDREN_DONE,
        field::CHILDREN_FAILED,
        field::FINISHED_AT,
        field::LOG_FILE_NAME,
        field::OUTPUT_FILE_NAME,
    ];
    let deciding = deciding.map(|name| value(fields, name));
    Shape::of((status.kind, deciding, no_times, no_log))
}

impl JobFacts {
    fn of(ground: &Ground, fields: &RawFields, (queue, place): (Option<&str>, &str)) -> Self {
        let text = |field: &str| name(value(fields, field));
        let link = |field: &str, to: fn(&[u8]) -> Link| {
            let value = value(fields, field);
            (!value.is_empty()).then(|| to(value))
        };
        let status = Status::of(fields);
        let progress = text(field::PROGRESS);
        Self {
            layout: ground.clone(),
            said: match status.kind {
                "running" if !progress.is_empty() => format!("{}, {progress} %", status.word),
                _ => status.word.clone(),
            },
            status,
            progress,
            place: place.to_owned(),
            when: When::stamp(value(fields, field::UPDATED_AT)),
            queue: queue.map(Link::to_queue),
            worker: text(field::UPDATED_BY),
            input: text(field::INPUT_FILE_NAME),
            parent: link(field::PARENT, |key| Link::to_job(&JobKey(key.to_vec()))),
            batch: link(field::BATCH, |name| {
                Link::to_batch(&String::from_utf8_lossy(name))
            }),
            note: text(field::NOTE),
        }
    }
}

impl ChildrenText {
    fn of(fields: &RawFields) -> Self {
        let count = |field: &str| match name(value(fields, field)) {
            none if none.is_empty() => "0".to_owned(),
            count => count,
        };
        Self {
            done: count(field::CHILDREN_DONE),
            failed: count(field::CHILDREN_FAILED),
        }
    }
}

pub(in super::super) fn is_over(fields: &RawFields) -> bool {
    wire::is_final(Some(value(fields, field::STATUS)))
}

/// The queue that a job belongs to, among these.
pub(in super::super) fn queue_of(
    key: &JobKey,
    fields: &RawFields,
    queues: &BTreeSet<String>,
) -> Option<String> {
    let known: Vec<_> = queues.iter().cloned().collect();
    Admin::queue_of(key, fields, &known)
}

/// Where a job is; what has ended is nowhere.
pub(in super::super) async fn place(
    admin: &Admin,
    (key, fields): (&JobKey, &RawFields),
    queue: Option<&str>,
) -> Result<Place, crate::queue::Error> {
    match queue {
        Some(queue) if !is_over(fields) => admin.place(key, fields, queue).await,
        _ => Ok(Place::Nowhere),
    }
}

/// The same in words; nothing of what has ended.
pub(in super::super) fn place_in_words(place: &Place, fields: &RawFields) -> String {
    match is_over(fields) {
        true => String::new(),
        false => message(&place.in_words(false)),
    }
}
