//! Holding what is asked for against what is there, and queueing it: the one way for pages and programs.

use tracing::warn;

use super::super::form::Form;
use super::super::site::Site;
use super::command;
use super::files::{Files, bucket};
use super::kinds::{chosen, kind_of};
use super::plan;
use super::request::Request;
use crate::batch::{Operator, keep_plan};
use crate::consumers::options;
use crate::queue::JobKey;
use crate::queue::control::{NewEntry, Submitted, host_name, queue_for};
use crate::refusal::Refused;
use crate::submission::{Identity, Input, Peers, Prepared, Wanted, Wishes, create, differences};
use crate::untrusted;
use crate::wire::timestamp;

/// What would be queued, and what is wrong with it.
pub(in super::super) struct Looked {
    pub(in super::super) count: u64,
    pub(in super::super) bytes: u64,
    /// The queue of the jobs.
    pub(in super::super) queue: String,
    /// What is wrong, a line each.
    pub(in super::super) problems: Vec<String>,
    /// How many problems there are.
    pub(in super::super) problem_count: u64,
    /// The command that does the same.
    pub(in super::super) command: String,
    what: What,
}

enum What {
    Job(Box<NewEntry>),
    Batch(Box<Prepared>),
}

/// What came of it.
pub(in super::super) enum Queued {
    /// A job; and its status if it was there already.
    Job(JobKey, Option<String>),
    /// A batch; and its items unless it was there already.
    Batch(String, Option<u64>),
}

impl Looked {
    pub(in super::super) fn is_batch(&self) -> bool {
        matches!(self.what, What::Batch(_))
    }
}

/// What a form wants.
///
/// # Errors
///
/// A job type that is not known, or something that `submit` would not take either.
pub(in super::super) async fn read(site: &Site, form: &Form) -> anyhow::Result<Request> {
    let (_, queue) = chosen(site, form.text("type")).await?;
    let kind = kind_of(site, &queue).await?;
    let options = options(kind.map_or("", |kind| kind.name));
    Ok(Request::of(form, &queue, &options)?)
}

/// Looks at everything that `submit` looks at. Nothing is queued.
pub(in super::super) async fn look(site: &Site, request: &Request) -> anyhow::Result<Looked> {
    let storage = bucket(site)?;
    let files = Files::of(site, &request.upload).await?;
    files.check()?;
    let kind = kind_of(site, &request.queue).await?;
    let kind = kind.map_or("", |kind| kind.name);
    let text = plan::text(request, &files, options(kind).has_result);
    let wanted = Wanted::default();
    let prepared = Prepared::read(plan::resolved(&text)?, &wanted, Some(storage.clone())).await?;
    let peers = Peers {
        storage: Some(storage.clone()),
        admin: Some(site.admin.clone()),
        ..Peers::default()
    };
    let verified = prepared.verify(&wanted, &peers).await?;
    let mut problems: Vec<_> = prepared.problems.iter().map(ToString::to_string).collect();
    // People know their files by the paths that they have dropped.
    let lines = verified.lines().into_iter();
    problems.extend(lines.map(|line| line.replace(&files.folder, "")));
    let problem_count = verified.problems() + prepared.problems.len() as u64;
    let queue = queue_for(&request.queue, files.name(&files.first));
    let (what, command) = match files.count {
        1 => job(site, request, &files)?,
        _ => {
            let command = command::of_batch(&text, request.skips_rules);
            (What::Batch(Box::new(prepared)), command)
        }
    };
    Ok(Looked {
        count: files.count,
        bytes: files.bytes,
        queue,
        problems,
        problem_count,
        command,
        what,
    })
}

/// The job of the only file.
fn job(site: &Site, request: &Request, files: &Files) -> anyhow::Result<(What, String)> {
    let name = files.name(&files.first);
    let (wishes, words) = named(request, name)?;
    let input = Input {
        url: bucket(site)?.public_url(&files.first),
        key: files.first.clone(),
        name: name.to_owned(),
        sha256: None,
    };
    let queue = queue_for(&request.queue, name);
    let by = (timestamp(), host_name());
    // The same wishes for the same file are the same job, however often they are sent.
    let job = wishes.job(&queue, &input, Identity::Name, (&by.0, &by.1));
    let command = command::of_job(&request.queue, &files.first, &words);
    Ok((What::Job(Box::new(job)), command))
}

/// The wishes with the name that people know the file by.
fn named(request: &Request, name: &str) -> anyhow::Result<(Wishes, Vec<String>)> {
    let mut words = request.words.clone();
    words.extend(["--field".to_owned(), format!("original_name={name}")]);
    Ok((Wishes::parse(&words)?, words))
}

/// Queues what is asked for, and records who did it.
///
/// # Errors
///
/// What is wrong with it, unless the request wants it queued all the same. Nothing is queued then.
pub(in super::super) async fn queue(
    site: &Site,
    who: &str,
    request: &Request,
) -> anyhow::Result<Queued> {
    let looked = look(site, request).await?;
    if looked.problem_count > 0 && !request.skips_rules {
        let text = format!("nothing was queued: {}", looked.problems.join("; "));
        return Err(Refused(text).into());
    }
    match looked.what {
        What::Job(job) => queue_job(site, (who, &request.queue), (&looked.queue, &job)).await,
        What::Batch(prepared) => begin(site, who, &prepared).await,
    }
}

async fn queue_job(
    site: &Site,
    (who, about): (&str, &str),
    (queue, job): (&str, &NewEntry),
) -> anyhow::Result<Queued> {
    let (admin, stamp) = (&site.admin, timestamp());
    let jobs = std::slice::from_ref(job);
    let answers = admin.submit_jobs(queue, &stamp, jobs).await?;
    let known = match answers.into_iter().next() {
        Some(Submitted::Known(status)) => Some(status),
        _ => {
            let text = format!("1 queued on {queue}");
            admin.record(who, "submit", about, &text).await?;
            None
        }
    };
    Ok(Queued::Job(job.key.clone(), known))
}

/// Keeps the plan, and begins its batch unless it is there.
async fn begin(site: &Site, who: &str, prepared: &Prepared) -> anyhow::Result<Queued> {
    let (storage, admin, name) = (bucket(site)?, &site.admin, prepared.plan.name());
    if admin.batch(name).await?.is_some() {
        return meet(site, prepared).await;
    }
    keep_plan(storage, &prepared.plan, &prepared.lists).await?;
    let Some((items, _)) = create(admin, prepared, (who, false)).await? else {
        return meet(site, prepared).await;
    };
    let storage = Some(storage.clone());
    let operator = Operator {
        admin,
        storage,
        who,
    };
    if let Err(error) = operator.feed_first(name).await {
        let error = untrusted::message(format!("{error:#}")).to_string();
        warn!(
            batch = name,
            error, "no item was queued, which is left to consumers"
        );
    }
    Ok(Queued::Batch(name.to_owned(), Some(items)))
}

/// The batch of this name, if it runs this plan.
async fn meet(site: &Site, prepared: &Prepared) -> anyhow::Result<Queued> {
    let name = prepared.plan.name();
    let found = differences(&site.admin, prepared).await?;
    if found.is_empty() {
        return Ok(Queued::Batch(name.to_owned(), None));
    }
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    let text = format!(
        "batch {name} runs another plan ({}): give this one another name",
        lines.join("; ")
    );
    Err(Refused(text).into())
}
