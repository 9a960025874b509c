//! The two pages of a submission: what would be queued, and what was.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::{Link, encoded, escaped, message};
use super::super::visit::Visit;
use super::super::{assets, guard};
use super::act::{Looked, Queued, look, queue, read};
use crate::figures::{counted, grouped, size};
use crate::untrusted;

/// What a form says when it is sent a second time.
const CONFIRMED: &str = "confirmed";
const SKIP: &str = "skip";

#[derive(Template)]
#[template(path = "submit_confirm.html")]
struct ConfirmPage {
    layout: Layout,
    question: String,
    problems: Vec<String>,
    /// How many problems are not named.
    more: String,
    command: String,
    /// Where the options can be changed.
    back: String,
    /// What the form has said already.
    fields: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "submitted.html")]
struct SubmittedPage {
    layout: Layout,
    text: String,
    link: Link,
    /// `job` or `batch`, and its key, by which the browser remembers it.
    kind: &'static str,
    key: String,
}

/// `POST /submit`: asks, and queues what is confirmed. What was begun goes on to its end, even if nobody waits for it any more.
pub(in super::super) async fn submit(visit: Visit) -> Response {
    let request = match read(&visit.site, &visit.form).await {
        Ok(request) => request,
        Err(error) => return Fault::from(error).answer(&visit.site, &visit.user),
    };
    if !visit.form.has(CONFIRMED) {
        let page = look(&visit.site, &request).await;
        let page = page.map(|looked| confirm_page(&visit, looked));
        return visit.answer(page.map_err(Fault::from));
    }
    let (site, who) = (visit.site.clone(), visit.user.name.clone());
    let queued = tokio::spawn(async move { queue(&site, &who, &request).await });
    let queued = match queued.await {
        Ok(queued) => queued.map_err(Fault::from),
        Err(error) => Err(Fault::Failed(error.into())),
    };
    visit.answer(queued.map(|queued| submitted_page(&visit, queued)))
}

fn confirm_page(visit: &Visit, looked: Looked) -> ConfirmPage {
    let files = match looked.count {
        1 => "this file".to_owned(),
        count => format!("{} as a batch", counted(count, "file")),
    };
    let (queue, bytes) = (untrusted::name(&looked.queue), size(looked.bytes as f64));
    let more = looked
        .problem_count
        .saturating_sub(looked.problems.len() as u64);
    let fields = visit.form.without(&[guard::FORM_TOKEN, CONFIRMED, SKIP]);
    ConfirmPage {
        layout: visit.layout("Submit", "/"),
        question: format!("Submit {files} ({bytes}) to {queue}?"),
        more: match looked.is_batch() && more > 0 {
            true => grouped(more),
            false => String::new(),
        },
        problems: looked.problems.iter().map(|line| message(line)).collect(),
        command: looked.command,
        back: format!(
            "/submit?upload={}&type={}",
            visit.form.text("upload"),
            escaped(visit.form.text("type"))
        ),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn submitted_page(visit: &Visit, queued: Queued) -> SubmittedPage {
    let (text, link, kind, key) = match queued {
        Queued::Job(key, known) => (
            match known {
                None => "The job is queued.".to_owned(),
                Some(status) => format!(
                    "This file was submitted with these options before: its job is {}.",
                    message(&status)
                ),
            },
            Link::to_job(&key),
            "job",
            encoded(&key),
        ),
        Queued::Batch(name, items) => (
            match items {
                Some(items) => format!("The batch of {} runs.", counted(items, "file")),
                None => "This batch was submitted before; it goes on.".to_owned(),
            },
            Link::to_batch(&name),
            "batch",
            name,
        ),
    };
    SubmittedPage {
        layout: visit.layout("Submitted", "/").with_script(&assets::MINE),
        text,
        link,
        kind,
        key,
    }
}
