//! The two pages of each action: what would be done, and what was.

use askama::Template;
use axum::response::Response;
use serde_json::Value;

use super::super::command::command;
use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::Link;
use super::super::visit::Visit;
use crate::queue::JobKey;
use crate::queue::control::{Changes, exception_to_json};

/// What a form says beside what the action is about.
const CONFIRMED: &str = "confirmed";
const FORM_TOKEN: &str = "rc_csrf";

/// Jobs that are named one by one, on pages and to programs.
const LISTED: usize = 50;
const KEPT: u64 = 1000;

/// What would be done.
#[derive(Default)]
pub(super) struct Confirmation {
    pub(super) title: String,
    /// What, and to how many.
    pub(super) question: String,
    /// What follows from it.
    pub(super) notes: Vec<String>,
    /// What can be said besides.
    pub(super) inputs: Vec<Input>,
    /// What the button says.
    pub(super) verb: &'static str,
    /// Whether it takes something away.
    pub(super) is_grave: bool,
    /// The words of the command that does the same.
    pub(super) words: Vec<Vec<u8>>,
    pub(super) back: Link,
}

/// A field of a confirmation.
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) hint: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// It has to be filled in.
    Needed,
    Box,
}

/// What was done.
#[derive(Default)]
pub(in super::super) struct Outcome {
    pub(super) title: String,
    pub(in super::super) text: String,
    pub(in super::super) notes: Vec<String>,
    /// What was found: how it is, of what, and why.
    pub(super) rows: Vec<[String; 3]>,
    /// Jobs that could not be changed, and why.
    pub(super) exceptions: Vec<(Link, &'static str)>,
    /// Those that are not named.
    pub(super) more: u64,
    pub(super) back: Link,
}

/// Jobs that are being changed.
pub(in super::super) struct Tally {
    pub(in super::super) changes: Changes,
    exceptions: Vec<(JobKey, &'static str)>,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    layout: Layout,
    confirmation: Confirmation,
    command: String,
    path: String,
    /// What the form has said already.
    fields: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "outcome.html")]
struct OutcomePage {
    layout: Layout,
    outcome: Outcome,
}

impl Input {
    pub(super) fn text(name: &'static str, label: &str, hint: &'static str) -> Self {
        Self {
            name,
            label: label.to_owned(),
            hint,
            kind: Kind::Text,
        }
    }

    pub(super) fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn is_box(&self) -> bool {
        self.kind == Kind::Box
    }

    fn is_needed(&self) -> bool {
        self.kind == Kind::Needed
    }
}

impl Tally {
    /// None so far; the verb says what is done to jobs, such as `requeued`.
    pub(in super::super) fn new(verb: &'static str) -> Self {
        Self {
            changes: Changes::new(verb),
            exceptions: Vec::new(),
        }
    }

    /// Counts a job; the obstacle is why it was not changed.
    pub(super) fn count(&mut self, job: &JobKey, obstacle: Option<&'static str>) {
        let Some(why) = obstacle else {
            self.changes.changed += 1;
            return;
        };
        self.changes.failed += 1;
        if self.changes.failed <= KEPT {
            self.exceptions.push((job.clone(), why));
        }
    }

    /// What came of it.
    pub(super) fn outcome(self, title: &str, back: Link) -> Outcome {
        let listed = self.exceptions.iter().take(LISTED);
        let listed: Vec<_> = listed.map(|(job, why)| (Link::to_job(job), *why)).collect();
        Outcome {
            title: title.to_owned(),
            text: self.changes.summary(),
            notes: Vec::new(),
            rows: Vec::new(),
            more: self.changes.failed - listed.len() as u64,
            exceptions: listed,
            back,
        }
    }

    /// The same for programs: the object with which the report of a command ends, and its exceptions.
    pub(in super::super) fn to_json(&self, is_dry: bool) -> Value {
        let exceptions = self.exceptions.iter();
        let exceptions: Vec<_> = exceptions
            .map(|(job, why)| exception_to_json(job, why))
            .collect();
        let mut told = self.changes.to_json(is_dry);
        told["exceptions_left_out"] = (self.changes.failed - exceptions.len() as u64).into();
        told["exceptions"] = exceptions.into();
        told
    }
}

/// Does what is confirmed, else asks. What was begun goes on to its end, even if nobody waits for it any more.
pub(super) async fn ask_or_act(
    visit: &Visit,
    path: &str,
    ask: impl Future<Output = Result<Confirmation, Fault>>,
    act: impl Future<Output = Result<Outcome, Fault>> + Send + 'static,
) -> Response {
    if !visit.form.has(CONFIRMED) {
        let page = ask.await.map(|it| confirm_page(visit, path, it));
        return visit.answer(page);
    }
    let outcome = finished(act).await;
    visit.answer(outcome.map(|outcome| OutcomePage {
        layout: visit.layout(&outcome.title, ""),
        outcome,
    }))
}

/// What comes of something that goes on to its end, whoever waits for it.
pub(in super::super) async fn finished<T: Send + 'static>(
    act: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::spawn(act).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Fault::Failed(error.into())),
    }
}

fn confirm_page(visit: &Visit, path: &str, confirmation: Confirmation) -> ConfirmPage {
    let inputs = confirmation.inputs.iter().map(|input| input.name);
    let asked: Vec<_> = inputs.chain([CONFIRMED, FORM_TOKEN]).collect();
    let fields = visit.form.without(&asked);
    ConfirmPage {
        layout: visit.layout(&confirmation.title, ""),
        command: command(confirmation.words.iter().map(Vec::as_slice)),
        path: path.to_owned(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        confirmation,
    }
}

/// The words of a command.
pub(super) fn words<'w>(all: impl IntoIterator<Item = &'w str>) -> Vec<Vec<u8>> {
    all.into_iter()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}
