//! What has failed, by cause and one by one.

use askama::Template;
use axum::response::Response;

use super::super::assets;
use super::super::fault::Fault;
use super::super::jobs_table::JobRow;
use super::super::layout::Layout;
use super::super::looks::is_image;
use super::super::shown::{Link, When, escaped, message, name};
use super::super::visit::Visit;
use super::window::{ROWS, Window};
use crate::figures::grouped;
use crate::queue::control::{Failure, Group, Groups};

/// Failures that are looked at, the last ones.
const LOOKED: usize = 1000;

#[derive(Template)]
#[template(path = "failed.html")]
struct FailedPage {
    layout: Layout,
    causes: Vec<Cause>,
    /// What the list is about, if it is not about everything, and the same for people.
    chosen: Chosen,
    shown_queue: String,
    shown_cause: String,
    jobs: Vec<JobRow>,
    window: Window,
    /// What the file of all of them is asked for by.
    export: String,
    /// How far was looked, where that is not all.
    looked: Option<String>,
}

/// What the list is about.
#[derive(Default)]
struct Chosen {
    queue: String,
    cause: String,
}

/// Failures with the same cause.
struct Cause {
    count: String,
    class: String,
    why: String,
    /// The same as forms send it.
    signature: String,
    path: String,
    first: When,
    last: When,
    example: Link,
    input: String,
    /// Where the picture of that input is, below the base, if it is an image.
    picture: Option<String>,
}

/// `GET /failed`
pub(in super::super) async fn failed(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<FailedPage, Fault> {
    let admin = &visit.site.admin;
    let chosen = Chosen {
        queue: visit.form.text("queue").to_owned(),
        cause: visit.form.text("why").to_owned(),
    };
    let queues: Vec<_> = match chosen.queue.as_str() {
        "" => admin.survey().await?.queues.into_iter().collect(),
        queue => vec![queue.to_owned()],
    };
    let latest = admin.latest_failures(&queues, LOOKED).await?;
    let mut groups = Groups::default();
    latest.failures.iter().for_each(|(_, it)| groups.add(it));
    let is_meant = |it: &&(String, Failure)| it.1.is_of(&chosen.cause);
    let meant: Vec<_> = latest.failures.iter().filter(is_meant).collect();
    let from = visit.form.number("from");
    let jobs = meant.iter().skip(from).take(ROWS);
    let jobs: Vec<_> = jobs.map(|(queue, it)| JobRow::failed(queue, it)).collect();
    let address = format!("/failed?{}", chosen.query());
    Ok(FailedPage {
        layout: visit
            .layout("Failed", "/failed")
            .with_script(&assets::PICTURES),
        causes: causes(visit, groups.sorted(), &chosen),
        window: Window::new(&address, (from, jobs.len()), meant.len() as u64),
        jobs,
        looked: (latest.total > LOOKED as u64).then(|| {
            let [looked, total] = [LOOKED as u64, latest.total].map(grouped);
            format!("These are the last {looked} of {total} failures. Buttons for a cause reach all of them.")
        }),
        export: format!("?{}", chosen.query().trim_end_matches('&')),
        shown_queue: name(chosen.queue.as_bytes()),
        shown_cause: message(&chosen.cause),
        chosen,
    })
}

impl Chosen {
    /// The same for an address, with an ampersand at its end.
    fn query(&self) -> String {
        format!(
            "queue={}&why={}&",
            escaped(&self.queue),
            escaped(&self.cause)
        )
    }
}

/// All of them, with pictures if there is a bucket.
fn causes(visit: &Visit, groups: Vec<Group>, chosen: &Chosen) -> Vec<Cause> {
    let has_bucket = visit.site.looks.is_some();
    let cause = |group: &Group| Cause {
        picture: picture(group).filter(|_| has_bucket),
        ..cause(group, chosen)
    };
    groups.iter().map(cause).collect()
}

/// Where the picture of the example is that the page of that job has, too. The time of the last failure stands for what may have
/// changed since.
fn picture(group: &Group) -> Option<String> {
    let path = Link::to_job(&group.example).path;
    is_image(&group.input).then(|| format!("{path}/preview.png?list=yes&v={}", group.last))
}

fn cause(group: &Group, chosen: &Chosen) -> Cause {
    let of_cause = Chosen {
        queue: chosen.queue.clone(),
        cause: group.why.clone(),
    };
    Cause {
        count: grouped(group.count),
        class: message(&group.class),
        why: message(&group.why),
        signature: group.why.clone(),
        path: format!("/failed?{}", of_cause.query()),
        first: When::at(group.first),
        last: When::at(group.last),
        example: Link::to_job(&group.example),
        input: name(group.input.as_bytes()),
        picture: None,
    }
}
