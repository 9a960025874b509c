//! Rows of jobs, on every page that lists some.

use askama::Template;

use super::shown::{Link, When, encoded, message, name};
use crate::queue::JobKey;
use crate::queue::control::Failure;
use crate::wire::{RawFields, field};

/// A job in a list.
pub(super) struct JobRow {
    pub(super) job: Link,
    /// Its key as forms send it.
    pub(super) key: String,
    /// The word of its status, which is a class of the style sheet as well if it is one of ours.
    pub(super) status: Status,
    pub(super) progress: String,
    /// Both, as tables show them.
    pub(super) standing: JobStanding,
    pub(super) when: Option<When>,
    pub(super) input: String,
    /// The last line of its reason.
    pub(super) reason: String,
    pub(super) class: String,
    pub(super) queue: Option<Link>,
}

/// Where a job of a table stands, which may change while somebody looks.
#[derive(Template)]
#[template(path = "pieces/job_standing.html")]
pub(super) struct JobStanding {
    key: String,
    status: Status,
    progress: String,
}

/// A status, and which kind it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) word: String,
    /// One of `done`, `failed`, `new`, `gone` and `running`.
    pub(super) kind: &'static str,
}

impl Status {
    pub(super) fn of(fields: &RawFields) -> Self {
        let word = name(value(fields, field::STATUS));
        match word.as_str() {
            "" => Self {
                word: "vanished".to_owned(),
                kind: "gone",
            },
            "done" => Self { word, kind: "done" },
            "failed" => Self {
                word,
                kind: "failed",
            },
            "new" => Self { word, kind: "new" },
            _ => Self {
                word,
                kind: "running",
            },
        }
    }
}

impl JobStanding {
    pub(super) fn of(key: &JobKey, fields: &RawFields) -> Self {
        Self {
            key: encoded(key),
            status: Status::of(fields),
            progress: progress(fields),
        }
    }
}

impl JobRow {
    /// A job with what lists show of it.
    pub(super) fn of(key: &JobKey, fields: &RawFields) -> Self {
        let reason = String::from_utf8_lossy(value(fields, field::REASON));
        Self {
            job: Link::to_job(key),
            key: encoded(key),
            status: Status::of(fields),
            progress: progress(fields),
            standing: JobStanding::of(key, fields),
            when: When::stamp(value(fields, field::UPDATED_AT)),
            input: name(value(fields, field::INPUT_FILE_NAME)),
            reason: message(reason.lines().last().unwrap_or_default()),
            class: name(value(fields, field::ERROR_CLASS)),
            queue: None,
        }
    }

    /// One that has failed, of a queue.
    pub(super) fn failed(queue: &str, failure: &Failure) -> Self {
        Self {
            when: Some(When::at(failure.at)),
            class: message(&failure.class()),
            queue: Some(Link::to_queue(queue)),
            ..Self::of(&failure.key, &failure.fields)
        }
    }
}

/// In per cent; empty if it tells none.
fn progress(fields: &RawFields) -> String {
    let progress = name(value(fields, field::PROGRESS));
    match progress.is_empty() {
        true => progress,
        false => format!("{progress} %"),
    }
}

/// The value of a field; empty if it is not there.
pub(super) fn value<'f>(fields: &'f RawFields, name: &str) -> &'f [u8] {
    fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice)
}
