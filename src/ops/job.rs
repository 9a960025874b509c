//! `redis-consumer job`: single jobs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::desk::{
    Consent, Desk, DeskArguments, Misuse, Refused, Report, Selector, Table, age, clock, consent,
    print_json,
};
use super::fetch::{FetchArguments, fetch};
use super::workers::jobs;
use crate::exit_code;
use crate::queue::control::{Place, Source};
use crate::queue::{Admin, JobKey};
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
    consent: Consent,
    /// One JSON object for each exception, and one at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
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
    queue: Option<&String>,
) -> anyhow::Result<(JobKey, RawFields, String)> {
    use std::os::unix::ffi::OsStrExt as _;
    let key = JobKey(job.as_bytes().to_vec());
    let fields = desk.admin.job(&key).await?;
    if fields.is_empty() {
        let text =
            format!("there is no job {key}: it has expired, was deleted, or the key is mistyped");
        return Err(Misuse(text).into());
    }
    let known = match queue {
        Some(_) => Vec::new(),
        None => desk.queues(false).await?,
    };
    let queue = queue
        .cloned()
        .or_else(|| Admin::queue_of(&key, &fields, &known));
    let queue = queue.ok_or_else(|| {
        Misuse(format!(
            "nothing tells the queue of {key}: add --queue NAME"
        ))
    })?;
    Ok((key, fields, queue))
}

async fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (key, fields, queue) = find(&desk, &arguments.job, arguments.queue.as_ref()).await?;
    let place = desk.admin.place(&key, &fields, &queue).await?;
    if arguments.json {
        print_json(&json!({
            "key": key.to_json(),
            "queue": queue,
            "place": place_to_json(&place),
            "fields": fields_to_json(&fields),
        }))?;
        return Ok(());
    }
    let mut out = io::stdout();
    writeln!(out, "{key}")?;
    let mut is_over = Some(fields.get(field::STATUS.as_bytes()).map(Vec::as_slice));
    let place = place_text(&place, is_over.take().is_some_and(wire::is_final));
    writeln!(out, "  {place}")?;
    for (heading, of_group) in GROUPS {
        let mut lines: Vec<_> = fields
            .iter()
            .filter(|(name, value)| group_of(name) == heading && !value.is_empty())
            .collect();
        if lines.is_empty() {
            continue;
        }
        lines.sort_by_key(|(name, _)| {
            let at = of_group
                .iter()
                .position(|known| known.as_bytes() == name.as_slice());
            (at.unwrap_or(usize::MAX), (*name).clone())
        });
        writeln!(out, "{heading}")?;
        for (name, value) in lines {
            let name = untrusted::name(untrusted::Bytes(name)).to_string();
            show_value(&mut out, &name, value)?;
        }
    }
    Ok(())
}

/// A field on a line; a text of several lines below one another.
fn show_value(out: &mut impl io::Write, name: &str, value: &[u8]) -> io::Result<()> {
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

/// Headings, and which fields come first under each.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "state",
        &[
            field::STATUS,
            field::PROGRESS,
            field::ERROR_CLASS,
            field::REASON,
        ],
    ),
    ("input", &[field::INPUT_FILE_NAME, field::ORIGINAL_NAME]),
    ("result", &[field::OUTPUT_FILE_NAME, field::OUTPUT_URL]),
    (
        "times",
        &[field::CREATED_AT, field::UPDATED_AT, field::FINISHED_AT],
    ),
    ("queue", &[]),
];

fn group_of(name: &[u8]) -> &'static str {
    let name = String::from_utf8_lossy(name);
    let state = [
        field::STATUS,
        field::PROGRESS,
        field::ERROR_CLASS,
        field::REASON,
        field::FAILURES,
    ];
    let result = [field::OUTPUT_FILE_NAME, field::OUTPUT_URL];
    match name.as_ref() {
        name if state.contains(&name) => "state",
        name if result.contains(&name) => "result",
        name if name.ends_with("_at") || name.ends_with("_time") => "times",
        name if wire::is_bookkeeping(name) => "queue",
        _ => "input",
    }
}

fn place_text(place: &Place, is_over: bool) -> String {
    match place {
        Place::Waiting { queue, before: 0 } => format!("waits in {queue}, as the next one"),
        Place::Waiting { queue, before } => format!("waits in {queue}, {before} before it"),
        Place::Held { list } => format!("is held in {list}"),
        Place::Delayed { queue, until } => format!("comes back to {queue} at {}", clock(*until)),
        Place::Parked { queue } => format!("waits for its children, then goes on in {queue}"),
        Place::Nowhere if is_over => "is final".to_owned(),
        Place::Nowhere => {
            "is in no list, or far from the end of its queue that is served".to_owned()
        }
    }
}

fn place_to_json(place: &Place) -> Value {
    match place {
        Place::Waiting { queue, before } => {
            json!({ "in": "queue", "queue": queue, "before": before })
        }
        Place::Held { list } => json!({ "in": "processing", "list": list }),
        Place::Delayed { queue, until } => {
            json!({ "in": "delayed", "queue": queue, "until": clock(*until) })
        }
        Place::Parked { queue } => json!({ "in": "parked", "queue": queue }),
        Place::Nowhere => Value::Null,
    }
}

fn fields_to_json(fields: &RawFields) -> Value {
    let mut all = Map::new();
    for (name, value) in fields {
        let name = String::from_utf8_lossy(name).into_owned();
        all.insert(name, JobKey(value.clone()).to_json());
    }
    all.into()
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let most = if arguments.json { usize::MAX } else { LISTED };
    let limit = arguments.selector.limit().min(most);
    let mut table = Table::new(&["status", ">updated", "input", "job"]);
    let mut left = limit;
    for queue in arguments.selector.queues(&desk).await? {
        let mut offset = 0;
        while left > 0 {
            let keys = desk
                .admin
                .jobs_of(&queue, arguments.state.into(), offset)
                .await?;
            if keys.is_empty() {
                break;
            }
            offset += keys.len();
            let hashes = desk.admin.jobs(&keys).await?;
            let found = keys.into_iter().zip(hashes);
            for (key, fields) in found
                .filter(|(_, fields)| arguments.selector.accepts(fields))
                .take(left)
            {
                left -= 1;
                if arguments.json {
                    print_json(&job_to_json(&key, &queue, &fields))?;
                } else {
                    table.row(cells(&key, &fields));
                }
            }
        }
    }
    if arguments.json {
        return Ok(());
    }
    if left == limit {
        writeln!(io::stdout(), "no such jobs")?;
        return Ok(());
    }
    table.print()?;
    Ok(())
}

fn job_to_json(key: &JobKey, queue: &str, fields: &RawFields) -> Value {
    json!({ "key": key.to_json(), "queue": queue, "fields": fields_to_json(fields) })
}

fn cells(key: &JobKey, fields: &RawFields) -> [String; 4] {
    let value = |name: &str| fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
    let shown = |name: &str| untrusted::name(untrusted::Bytes(value(name))).to_string();
    [
        shown(field::STATUS),
        age(value(field::UPDATED_AT)).map_or_else(String::new, |age| age.to_string()),
        shown(field::INPUT_FILE_NAME),
        key.to_string(),
    ]
}

async fn bump(arguments: &BumpArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (key, _, queue) = find(&desk, &arguments.job, arguments.queue.as_ref()).await?;
    let length = desk.admin.length(&queue).await?;
    if length > LONG {
        let question = format!(
            "{queue} has {length} jobs: to find one of them may hold up Redis for a moment. Go on?"
        );
        if !consent(&arguments.consent, &question)? {
            return Ok(());
        }
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be the next one of {queue}")?;
        return Ok(());
    }
    if !desk.admin.bump(&queue, &key).await? {
        return Err(Refused(format!("the job does not wait in {queue}")).into());
    }
    desk.admin
        .record(&desk.who, "job bump", &key.to_string(), "")
        .await?;
    writeln!(io::stdout(), "it is the next one of {queue}")?;
    Ok(())
}

async fn delete(arguments: &DeleteArguments) -> anyhow::Result<ExitCode> {
    arguments.selector.check_for_change()?;
    let desk = arguments.desk.open()?;
    let selected = arguments.selector.failed(&desk).await?;
    let question = format!("Delete {}?", jobs(selected.len()));
    if !consent(&arguments.consent, &question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mut report = Report::new("deleted", arguments.json);
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
        if !arguments.consent.dry_run && !unneeded.is_empty() {
            desk.admin.delete_jobs(queue, &unneeded).await?;
        }
    }
    if !arguments.consent.dry_run {
        desk.admin
            .record(&desk.who, "job delete", "", &report.summary())
            .await?;
    }
    Ok(report.end(arguments.consent.dry_run)?)
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
    if wire::is_final(fields.get(field::STATUS.as_bytes()).map(Vec::as_slice)) {
        return Ok(None);
    }
    let place = desk.admin.place(key, fields, queue).await?;
    Ok((place != Place::Nowhere).then_some("it waits or is at work: cancel it first"))
}
