//! One job: where it stands, what has taken how long, what it has left.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::super::advice::advice;
use super::super::fault::Fault;
use super::super::jobs_table::{JobRow, Status, value};
use super::super::layout::Layout;
use super::super::live::topic::Topic;
use super::super::looks::Subject;
use super::super::pieces::job::{JobPieces, is_over, place, place_in_words, queue_of};
use super::super::shown::{decoded, encoded, escaped, lines, message, name};
use super::super::visit::Visit;
use super::judgement::Judgement;
use super::result::{ResultFiles, web_address};
use super::viewer::Viewer;
use crate::figures::{grouped, size};
use crate::queue::control::{in_groups, why};
use crate::queue::{Admin, JobKey, RawFields};
use crate::storage::{self, Storage};
use crate::untrusted;
use crate::wire::{field, split_keys};

/// Children that are looked at, and those of them that are listed.
const CHILDREN: usize = 1000;
const LISTED: usize = 50;

/// How long the bucket may take to tell the size of an object.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    layout: Layout,
    /// The whole key, and as forms send it.
    key: String,
    encoded: String,
    status: Status,
    pieces: JobPieces,
    failure: Option<Failure>,
    /// Its picture, if its input is an image and there is a bucket.
    viewer: Option<Viewer>,
    /// Whether it is the bucket that is missing.
    needs_bucket: bool,
    judgement: Option<Judgement>,
    /// Where its cells are, below the base.
    cells: Option<String>,
    /// What an earlier attempt has met.
    attempts: String,
    last_error: Vec<String>,
    files: Vec<File>,
    /// What is in the archive of its result.
    result: Option<ResultFiles>,
    label: Option<LabelForm>,
    /// Where its trace is shown.
    trace: Option<String>,
    children: Option<Children>,
    groups: Vec<Group>,
    can_requeue: bool,
    can_cancel: bool,
}

/// Why it has failed, and what to do about it.
struct Failure {
    class: String,
    line: String,
    whole: Vec<String>,
    /// Its signature as a part of an address.
    query: String,
    advice: Option<&'static str>,
}

/// An object that it has left in the bucket.
struct File {
    what: &'static str,
    key: String,
    size: String,
    /// Where it can be fetched, if that is in the bucket.
    url: Option<String>,
}

/// What is sent to the label tool, which fetches both addresses without a login.
struct LabelForm {
    action: String,
    images: String,
    labels: String,
    axes: String,
}

struct Children {
    count: String,
    rows: Vec<JobRow>,
    /// Those that are not listed.
    more: usize,
}

struct Group {
    heading: &'static str,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    lines: Vec<String>,
}

/// `GET /jobs/K`
pub(in super::super) async fn job(visit: Visit, Path(encoded): Path<String>) -> Response {
    let page = make(&visit, &encoded).await;
    visit.answer(page)
}

async fn make(visit: &Visit, text: &str) -> Result<JobPage, Fault> {
    let site = &visit.site;
    let key =
        decoded(text).ok_or_else(|| Fault::Absent("this is no address of a job".to_owned()))?;
    let (fields, survey) = futures::try_join!(site.admin.job(&key), site.admin.survey())?;
    if fields.is_empty() {
        return Err(Fault::Absent(format!("there is no job `{key}`")));
    }
    let queue = queue_of(&key, &fields, &survey.queues);
    let (place, children, files, result) = futures::join!(
        place(&site.admin, (&key, &fields), queue.as_deref()),
        children(&site.admin, &fields),
        files(site.storage.as_ref(), &fields),
        result(site.storage.as_ref(), &fields),
    );
    let layout = visit.layout(&format!("Job {key}"), "");
    let place = place_in_words(&place?, &fields);
    let pieces = JobPieces::of(&layout.ground(), &fields, (queue.as_deref(), &place));
    let layout = layout.watching(&[Topic::Job(key.clone())]);
    Ok(JobPage {
        files,
        result,
        trace: site
            .elsewhere
            .trace_of(&fields, queue.as_deref().unwrap_or_default()),
        children: children?,
        ..plain(visit, (&key, &fields), (layout, pieces))
    })
}

/// What needs no further question.
fn plain(
    visit: &Visit,
    (key, fields): (&JobKey, &RawFields),
    (layout, pieces): (Layout, JobPieces),
) -> JobPage {
    let text = |field: &str| name(value(fields, field));
    let status = Status::of(fields);
    let has_failed = status.kind == "failed";
    let parts_failed = text(field::CHILDREN_FAILED).parse();
    let viewer =
        Subject::of(key, fields).map(|subject| Viewer::of(&subject, &text(field::INPUT_FILE_NAME)));
    let has_bucket = visit.site.looks.is_some();
    JobPage {
        layout: match viewer.is_some() && has_bucket {
            true => Viewer::add_scripts(layout),
            false => layout,
        },
        pieces,
        key: untrusted::long(untrusted::Bytes(&key.0)).to_string(),
        encoded: encoded(key),
        can_requeue: has_failed || parts_failed.is_ok_and(|it: u64| it > 0),
        can_cancel: !is_over(fields),
        failure: has_failed.then(|| failure(fields)),
        status,
        needs_bucket: viewer.is_some() && !has_bucket,
        viewer: viewer.filter(|_| has_bucket),
        judgement: Judgement::of(fields, &visit.site.quality_flags),
        cells: cells(visit, key, fields),
        attempts: text(field::ATTEMPTS),
        last_error: texts(value(fields, field::LAST_ERROR)),
        files: Vec::new(),
        result: None,
        label: label(visit, key, fields),
        trace: None,
        children: None,
        groups: groups(fields),
    }
}

/// Where the cells of a job are that has a result of an image.
fn cells(visit: &Visit, key: &JobKey, fields: &RawFields) -> Option<String> {
    visit.site.looks.as_ref()?;
    Subject::of(key, fields)?.result()?;
    Some(format!("/jobs/{}/cells", encoded(key)))
}

/// The form for the label tool, of a job whose image and result have addresses.
fn label(visit: &Visit, key: &JobKey, fields: &RawFields) -> Option<LabelForm> {
    let site = &visit.site;
    let (action, storage) = (site.elsewhere.label.clone()?, site.storage.as_ref()?);
    Subject::of(key, fields)?.result()?;
    let address = |field: &str| {
        let key = String::from_utf8_lossy(value(fields, field)).into_owned();
        web_address(storage, &storage.key_of(&key).ok()?)
    };
    let axes = [field::DIM_ORDER, field::DIMENSION_ORDER];
    let axes = axes.map(|field| name(value(fields, field)));
    Some(LabelForm {
        action,
        images: address(field::INPUT_FILE_NAME)?,
        labels: address(field::OUTPUT_FILE_NAME)?,
        axes: axes
            .into_iter()
            .find(|axes| !axes.is_empty())
            .unwrap_or_default(),
    })
}

fn failure(fields: &RawFields) -> Failure {
    let reason = value(fields, field::REASON);
    let text = String::from_utf8_lossy(reason);
    let class = name(value(fields, field::ERROR_CLASS));
    Failure {
        line: message(text.lines().last().unwrap_or("It does not say why.")),
        whole: texts(reason),
        query: escaped(&why(fields)),
        advice: advice(&class),
        class,
    }
}

/// Lines of a text; none of an empty one.
fn texts(text: &[u8]) -> Vec<String> {
    match text.is_empty() {
        true => Vec::new(),
        false => lines(text),
    }
}

fn groups(fields: &RawFields) -> Vec<Group> {
    let field = |(name, value): (&[u8], &[u8])| Field {
        name: super::super::shown::name(name),
        lines: lines(value),
    };
    in_groups(fields)
        .into_iter()
        .map(|(heading, of_group)| Group {
            heading,
            fields: of_group.into_iter().map(field).collect(),
        })
        .collect()
}

/// Its children, those first that have failed.
async fn children(admin: &Admin, fields: &RawFields) -> Result<Option<Children>, Fault> {
    let all: Vec<_> = split_keys(value(fields, field::CHILDREN))
        .map(JobKey)
        .collect();
    if all.is_empty() {
        return Ok(None);
    }
    let looked = &all[..all.len().min(CHILDREN)];
    let found = admin.shown_fields(looked).await?;
    let mut rows: Vec<_> = looked
        .iter()
        .zip(&found)
        .map(|(key, fields)| JobRow::of(key, fields))
        .collect();
    rows.sort_by_key(|row| row.status.kind != "failed");
    rows.truncate(LISTED);
    Ok(Some(Children {
        count: grouped(all.len() as u64),
        more: all.len() - rows.len(),
        rows,
    }))
}

/// What is in the archive of its result.
async fn result(storage: Option<&Storage>, fields: &RawFields) -> Option<ResultFiles> {
    let key = std::str::from_utf8(value(fields, field::OUTPUT_FILE_NAME)).ok()?;
    ResultFiles::of(storage?, key).await
}

/// What it has left in the bucket.
async fn files(storage: Option<&Storage>, fields: &RawFields) -> Vec<File> {
    let all = [
        ("result", field::OUTPUT_FILE_NAME),
        ("log", field::LOG_FILE_NAME),
    ];
    let mut files = Vec::new();
    for (what, field) in all {
        let key = String::from_utf8_lossy(value(fields, field));
        if key.is_empty() {
            continue;
        }
        files.push(File {
            what,
            size: match storage {
                Some(storage) => size_of(storage, &key).await,
                None => String::new(),
            },
            url: storage.and_then(|storage| web_address(storage, &key)),
            key: name(key.as_bytes()),
        });
    }
    files
}

/// The size of an object, in a few words.
async fn size_of(storage: &Storage, key: &str) -> String {
    match tokio::time::timeout(PATIENCE, storage.size(key)).await {
        Ok(Ok(bytes)) => size(bytes as f64),
        Ok(Err(storage::Error::NotFound { .. })) => "not there any more".to_owned(),
        Ok(Err(error)) => message(&error.to_string()),
        Err(_) => "the bucket does not answer".to_owned(),
    }
}
