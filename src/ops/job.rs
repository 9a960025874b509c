//! `redis-consumer job`: single jobs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::desk::{
    ChangeArguments, Consent, Desk, DeskArguments, Misuse, Refused, Selector, Table, age, consent,
    grouped, jobs, print_json, queue_of, value_of,
};
use super::fetch::{FetchArguments, fetch};
use super::job_log::{LogArguments, log};
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{Place, Source, in_groups, job_to_json};
use crate::untrusted;
use crate::wire::{self, RawFields, field};

/// Jobs that `job list` shows unless told otherwise.
const LISTED: usize = 50;
/// Above so many waiting jobs, to look for one among them takes Redis noticeably long.
const LONG: u64 = 100_000;

#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Show all that is known of a job.
    Show(ShowArguments),
    /// List jobs of a queue by where they are.
    List(ListArguments),
    /// Print what the job's command has written.
    Log(LogArguments),
    /// Fetch the result of a job, and unpack it.
    Fetch(FetchArguments),
    /// Put a waiting job before all others.
    Bump(BumpArguments),
    /// Delete jobs that are final or in no list.
    Delete(DeleteArguments),
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    job: std::ffi::OsString,
    /// Its queue, if nothing tells it.
    #[arg(long)]
    queue: Option<String>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    selector: Selector,
    /// Which jobs.
    #[arg(long, value_enum, default_value = "waiting")]
    state: State,
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct BumpArguments {
    job: std::ffi::OsString,
    /// Its queue, if nothing tells it.
    #[arg(long)]
    queue: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    change: ChangeArguments,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    /// In the queue, the next one first.
    Waiting,
    /// At work.
    Running,
    /// To come back later.
    Delayed,
    /// Waiting for their children.
    Parked,
    /// Failed, the last one first.
    Failed,
}

impl From<State> for Source {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Running => Self::Running,
            State::Delayed => Self::Delayed,
            State::Parked => Self::Parked,
            State::Failed => Self::Failed,
        }
    }
}

/// Does what the command says with single jobs.
pub(crate) async fn job(command: JobCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobCommand::Show(arguments) => show(&arguments).await?,
        JobCommand::List(arguments) => list(&arguments).await?,
        JobCommand::Log(arguments) => return log(arguments).await,
        JobCommand::Fetch(arguments) => return fetch(arguments).await,
        JobCommand::Bump(arguments) => bump(&arguments).await?,
        JobCommand::Delete(arguments) => return delete(&arguments).await,
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

/// A job that is there, and its queue.
async fn find(
    desk: &Desk,
    job: &std::ffi::OsStr,
    queue: Option<&str>,
) -> anyhow::Result<(JobKey, RawFields, String)> {
    use std::os::unix::ffi::OsStrExt as _;
    let key = JobKey(job.as_bytes().to_vec());
    let fields = desk.admin.job(&key).await?;
    if fields.is_empty() {
        return Err(Misuse::no_job(&key).into());
    }
    let known = match queue {
        Some(_) => Vec::new(),
        None => desk.admin.known_queues(false).await?,
    };
    let queue = queue_of(&key, &fields, queue, &known)?;
    Ok((key, fields, queue))
}

async fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (key, fields, queue) = find(&desk, &arguments.job, arguments.queue.as_deref()).await?;
    let place = desk.admin.place(&key, &fields, &queue).await?;
    if arguments.json {
        print_json(&place.job_to_json(&key, &queue, &fields))?;
        return Ok(());
    }
    let mut out = io::stdout();
    writeln!(out, "{key}")?;
    let place = place.in_words(is_over(&fields));
    writeln!(out, "  {}", untrusted::message(place))?;
    for (heading, lines) in in_groups(&fields) {
        writeln!(out, "{heading}")?;
        for (name, value) in lines {
            show_value(&mut out, name, value)?;
        }
    }
    Ok(())
}

/// A field on a line; a text of several lines below one another.
fn show_value(out: &mut impl io::Write, name: &[u8], value: &[u8]) -> io::Result<()> {
    let name = untrusted::name(untrusted::Bytes(name)).to_string();
    let text = String::from_utf8_lossy(value);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let since = name.ends_with("_at").then(|| age(value)).flatten();
    let since = since.map_or_else(String::new, |since| format!("  ({since} ago)"));
    writeln!(out, "  {name:22} {}{since}", untrusted::message(first))?;
    for line in lines {
        writeln!(out, "  {:22} {}", "", untrusted::message(line))?;
    }
    Ok(())
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let (selector, json) = (&arguments.selector, arguments.json);
    if selector.names_jobs() {
        let text =
            "the jobs of queues are listed; `redis-consumer job show` shows the one of a key";
        return Err(Misuse(text.to_owned()).into());
    }
    let desk = arguments.desk.open()?;
    let limit = selector.limit_or(if json { usize::MAX } else { LISTED });
    let mut table = Table::new(&["status", ">updated", "input", "job"]);
    let mut is_empty = true;
    selector
        .each_job(
            &desk.admin,
            &[arguments.state.into()],
            limit,
            |queue, key, fields| {
                is_empty = false;
                if json {
                    print_json(&job_to_json(&key, queue, &fields))?;
                } else {
                    table.row(cells(&key, &fields));
                }
                Ok(true)
            },
        )
        .await?;
    if json {
        return Ok(());
    }
    if is_empty {
        writeln!(io::stdout(), "no such jobs")?;
        return Ok(());
    }
    table.print()?;
    Ok(())
}

fn cells(key: &JobKey, fields: &RawFields) -> [String; 4] {
    let shown = |name| untrusted::name(untrusted::Bytes(value_of(fields, name))).to_string();
    let updated = age(value_of(fields, field::UPDATED_AT));
    [
        shown(field::STATUS),
        updated.map_or_else(String::new, |age| age.to_string()),
        shown(field::INPUT_FILE_NAME),
        key.to_string(),
    ]
}

async fn bump(arguments: &BumpArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (key, _, queue) = find(&desk, &arguments.job, arguments.queue.as_deref()).await?;
    let shown = untrusted::name(&queue);
    let length = desk.admin.length(&queue).await?;
    if length > LONG {
        let question = format!(
            "{shown} has {} jobs: to find one of them may hold up Redis for a moment. Go on?",
            grouped(length)
        );
        if !consent(&arguments.consent, &question)? {
            return Ok(());
        }
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be the next one of {shown}")?;
        return Ok(());
    }
    if !desk.admin.bump(&queue, &key).await? {
        return Err(Refused(format!("the job does not wait in {shown}")).into());
    }
    desk.record("job bump", &key.as_text(), "").await?;
    writeln!(io::stdout(), "it is the next one of {shown}")?;
    Ok(())
}

async fn delete(arguments: &DeleteArguments) -> anyhow::Result<ExitCode> {
    let DeleteArguments { selector, change } = arguments;
    selector.check_for_change()?;
    let desk = change.desk.open()?;
    let selected = selector.failed(&desk.admin).await?;
    let question = format!("Delete {}?", jobs(selected.len()));
    if !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mut report = change.report("deleted");
    for (queue, keys) in selected.steps() {
        let hashes = desk.admin.jobs(&keys).await?;
        let mut unneeded = Vec::new();
        for (key, fields) in keys.iter().zip(hashes) {
            let obstacle = obstacle(&desk, key, &fields, queue).await?;
            if obstacle.is_none() {
                unneeded.push(key.clone());
            }
            report.count(key, obstacle)?;
        }
        if !change.is_dry() && !unneeded.is_empty() {
            desk.admin.delete_jobs(queue, &unneeded).await?;
        }
    }
    report.record(&desk, "job delete", "").await?;
    report.end()
}

fn is_over(fields: &RawFields) -> bool {
    wire::is_final(Some(value_of(fields, field::STATUS)))
}

/// Why a job must not be deleted.
async fn obstacle(
    desk: &Desk,
    key: &JobKey,
    fields: &RawFields,
    queue: &str,
) -> anyhow::Result<Option<&'static str>> {
    if fields.is_empty() {
        return Ok(Some("it has vanished (expired or deleted)"));
    }
    if is_over(fields) {
        return Ok(None);
    }
    let place = desk.admin.place(key, fields, queue).await?;
    Ok((place != Place::Nowhere).then_some("it waits or is at work: cancel it first"))
}
