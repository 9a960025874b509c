//! The two pages of each action: what would be done, and what was.

use askama::Template;
use axum::response::Response;

use super::super::command::command;
use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::Link;
use super::super::visit::Visit;
use crate::queue::JobKey;
use crate::queue::control::Changes;

/// What a form says beside what the action is about.
const CONFIRMED: &str = "confirmed";
const FORM_TOKEN: &str = "rc_csrf";

/// Jobs that are named one by one.
const LISTED: u64 = 50;

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
pub(super) struct Outcome {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) notes: Vec<String>,
    /// Jobs that could not be changed, and why.
    pub(super) exceptions: Vec<(Link, &'static str)>,
    /// Those that are not named.
    pub(super) more: u64,
    pub(super) back: Link,
}

/// Jobs that are being changed.
pub(super) struct Tally {
    pub(super) changes: Changes,
    exceptions: Vec<(Link, &'static str)>,
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
    pub(super) fn new(verb: &'static str) -> Self {
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
        if self.changes.failed <= LISTED {
            self.exceptions.push((Link::to_job(job), why));
        }
    }

    /// What came of it.
    pub(super) fn outcome(self, title: &str, back: Link) -> Outcome {
        Outcome {
            title: title.to_owned(),
            text: self.changes.summary(),
            notes: Vec::new(),
            more: self.changes.failed - self.exceptions.len() as u64,
            exceptions: self.exceptions,
            back,
        }
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
    let outcome = match tokio::spawn(act).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Fault::Failed(error.into())),
    };
    visit.answer(outcome.map(|outcome| OutcomePage {
        layout: visit.layout(&outcome.title, ""),
        outcome,
    }))
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
