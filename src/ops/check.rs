//! `redis-consumer check`: what is right and wrong with the settings and with each peer, on one screen.

use std::fmt::{self, Display};
use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::exit_code;
use crate::configuration::Configuration;
use crate::consumer::{Clients, ModelNeed, Registry, Takes};
use crate::memory::Memory;
use crate::queue::{Backlog, Queue, ServerState};
use crate::serving::{self, Signature};
use crate::settings::{Env, Loaded, Problems};
use crate::storage::{self, Storage, StorageSettings};

/// Longest time for one question to a peer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is written to the bucket; the same each time, so that it does not become more.
const PROBE_KEY: &str = "output/rc-check.txt";

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
}

/// How a part was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, but is not as it should be.
    Warning,
    Wrong,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    part: String,
    verdict: Verdict,
    text: String,
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, part: impl Display, verdict: Verdict, text: impl Display) {
        self.0.push(Finding {
            part: part.to_string(),
            verdict,
            text: text.to_string(),
        });
    }

    fn ok(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Ok, text);
    }

    fn warn(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Warning, text);
    }

    fn wrong(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Wrong, text);
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }
}

/// Prints what is right and wrong. The status is 4 if anything is wrong, 64 if it is the settings.
pub(crate) async fn check(
    registry: Registry,
    arguments: CheckArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let status = match Configuration::load(&registry, &Env::from_process()) {
        Err(Problems(problems)) => {
            problems
                .iter()
                .for_each(|problem| report.wrong(&problem.name, &problem.message));
            exit_code::WRONG_SETTINGS
        }
        Ok(configuration) => {
            if stop
                .run_until_cancelled(look(configuration, &mut report))
                .await
                .is_none()
            {
                return Ok(ExitCode::from(exit_code::FAILURE));
            }
            if report.count(Verdict::Wrong) > 0 {
                exit_code::FOUND
            } else {
                exit_code::SUCCESS
            }
        }
    };
    print(&report, arguments.json)?;
    Ok(ExitCode::from(status))
}

fn print(report: &Report, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for finding in &report.0 {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        }
        return Ok(());
    }
    let colours = out.is_terminal();
    let width = report
        .0
        .iter()
        .map(|finding| finding.part.chars().count())
        .max()
        .unwrap_or(0);
    for Finding {
        part,
        verdict,
        text,
    } in &report.0
    {
        let verdict = if colours {
            format!("\x1b[{}m{verdict:5}\x1b[0m", verdict.colour())
        } else {
            format!("{verdict:5}")
        };
        writeln!(out, "{verdict}  {part:width$}  {text}")?;
    }
    let (wrong, warnings) = (report.count(Verdict::Wrong), report.count(Verdict::Warning));
    match (wrong, warnings) {
        (0, 0) => writeln!(out, "\nall is well"),
        (0, warnings) => writeln!(out, "\njobs can be worked; {warnings} to think about"),
        (wrong, _) => writeln!(out, "\n{wrong} wrong: jobs will wait or fail"),
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Wrong => "WRONG",
        })
    }
}

impl Verdict {
    /// The number of a colour of terminals.
    fn colour(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warning => 33,
            Self::Wrong => 31,
        }
    }
}

async fn look(configuration: Configuration, report: &mut Report) {
    let Configuration {
        loaded: Loaded { settings, warnings },
        kind,
        build,
        queue,
        storage,
        mut serving,
        ..
    } = configuration;
    let set = settings.iter().filter(|setting| setting.is_set()).count();
    report.ok(
        "settings",
        format!(
            "consumer `{kind}`, queue `{}`; {set} settings of {} are set",
            queue.queue,
            settings.len()
        ),
    );
    warnings
        .iter()
        .for_each(|warning| report.warn("settings", warning));

    look_at_redis(&Queue::new(queue), report).await;
    let storage = look_at_bucket(storage, report).await;

    serving.patience = Some(Duration::ZERO);
    serving.max_retries = Some(0);
    let server = format!("{}:{}", serving.host, serving.port);
    let serving = serving::Client::new(serving, None);
    let Some(storage) = storage else { return };
    let clients = Clients {
        storage,
        serving: serving.clone(),
        memory: Memory::new(0),
    };
    let needs = build(&clients).models();
    if needs.is_empty() {
        return report.ok("models", "this consumer asks none itself");
    }
    let mut answers = Vec::new();
    for need in &needs {
        let absent = match tokio::time::timeout(PATIENCE, serving.signature(&need.model)).await {
            Ok(Err(serving::Error::Unavailable { message, .. })) => message,
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            Ok(answer) => {
                answers.push(answer.map_err(|error| error.to_string()));
                continue;
            }
        };
        return report.wrong(
            "model server",
            format!("{server}: {absent}; jobs wait until it is there"),
        );
    }
    report.ok("model server", server);
    needs
        .iter()
        .zip(answers)
        .for_each(|(need, answer)| judge_model(need, answer, report));
}

/// The answer, or what is to be said if there is none in time.
async fn asked<T, E: Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn look_at_redis(queue: &Queue, report: &mut Report) {
    let server = &queue.settings().server;
    let addresses: Vec<_> = server
        .addresses
        .iter()
        .map(|(host, port)| format!("{host}:{port}"))
        .collect();
    let addresses = addresses.join(", ");
    let backlog = match asked(queue.backlog()).await {
        Ok(backlog) => backlog,
        Err(error) => return report.wrong("redis", format!("{addresses}: {error}")),
    };
    match asked(queue.server_state()).await {
        Ok(state) => {
            let ServerState {
                version,
                role,
                address,
                ..
            } = &state;
            let by = if *address == addresses {
                String::new()
            } else {
                format!(", by way of {addresses}")
            };
            match role.as_str() {
                "master" => report.ok("redis", format!("{address}{by}: Redis {version}, master")),
                role => {
                    let text = format!(
                        "{address} is a {role}: it takes no writes; give its master, or a Sentinel"
                    );
                    report.wrong("redis", text);
                }
            }
            state
                .risks()
                .iter()
                .for_each(|risk| report.warn("redis", risk));
        }
        Err(error) => report.warn(
            "redis",
            format!("{addresses}: cannot be asked about itself: {error}"),
        ),
    }
    let Backlog {
        waiting,
        in_flight,
        delayed,
        parked,
        dead,
        ..
    } = backlog;
    let name = queue.name();
    let text = format!(
        "`{name}`: {waiting} waiting, {in_flight} in flight, {delayed} delayed, {parked} parked, {dead} dead"
    );
    if dead > 0 {
        report.warn("queue", text)
    } else {
        report.ok("queue", text)
    }
    match asked(queue.try_scripts()).await {
        Ok(()) => report.ok("scripts", "may be run"),
        Err(error) => report.wrong("scripts", error),
    }
}

async fn look_at_bucket(mut settings: StorageSettings, report: &mut Report) -> Option<Storage> {
    let bucket = settings.bucket.to_string();
    settings.retry_limit = Some(Duration::ZERO);
    let storage = match Storage::open(&settings) {
        Ok(storage) => storage,
        Err(error) => {
            report.wrong("bucket", error);
            return None;
        }
    };
    let body = Bytes::from_static(b"written by `redis-consumer check`\n");
    let url = match asked(storage.upload(PROBE_KEY, body.clone())).await {
        Ok(url) => {
            report.ok("bucket", format!("{bucket}: `{PROBE_KEY}` was written"));
            url
        }
        Err(error) => {
            report.wrong("bucket", format!("writing: {error}"));
            return Some(storage);
        }
    };
    match asked::<_, storage::Error>(storage.download(PROBE_KEY)).await {
        Ok(found) if found == body => report.ok("bucket", format!("{bucket}: and read again")),
        Ok(_) => report.wrong(
            "bucket",
            format!("{bucket}: other bytes come back than were written"),
        ),
        Err(error) => report.wrong("bucket", format!("reading: {error}")),
    }
    if url.starts_with("http") {
        match asked(fetch(&url)).await {
            Ok(()) => report.ok("results", format!("{url} can be fetched by anybody")),
            Err(error) => {
                let text = format!(
                    "{url}: {error}: users and the label tool could not fetch results (STORAGE_ACL, STORAGE_PUBLIC_URL)"
                );
                report.warn("results", text);
            }
        }
    }
    Some(storage)
}

/// Fetches a page as somebody without rights.
async fn fetch(url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

fn judge_model(need: &ModelNeed, answer: Result<Arc<Signature>, String>, report: &mut Report) {
    let part = format!("model {}", need.model);
    let found = answer.and_then(|signature| fits(&signature, need).map(|()| signature));
    match found {
        Ok(signature) => {
            let inputs: Vec<_> = signature
                .inputs
                .iter()
                .map(|input| format!("{} {:?}", input.name, input.shape))
                .collect();
            report.ok(part, format!("takes {}", inputs.join(", ")));
        }
        Err(error) if need.is_optional => {
            report.warn(part, format!("{error}; jobs that ask for it would fail"))
        }
        Err(error) => report.wrong(part, error),
    }
}

/// Whether a model takes what it will be given.
fn fits(signature: &Signature, need: &ModelNeed) -> Result<(), String> {
    let names = || {
        signature
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match &need.takes {
        Takes::Image { channels } => {
            let [input] = signature.inputs.as_slice() else {
                return Err(format!(
                    "it takes several inputs ({}), an image model takes one",
                    names()
                ));
            };
            match input.shape.as_slice() {
                [_, _, _, found] if *found < 0 || usize::try_from(*found) == Ok(*channels) => {
                    Ok(())
                }
                [_, _, _, found] => Err(format!(
                    "it takes images of {found} channels, and is given {channels}"
                )),
                shape => Err(format!(
                    "it takes input of shape {shape:?}, an image model takes [batch, row, column, channel]"
                )),
            }
        }
        Takes::Tensors(wanted) => {
            let missing: Vec<_> = wanted
                .iter()
                .copied()
                .filter(|name| signature.input(name).is_none())
                .collect();
            let exact = missing.is_empty() && signature.inputs.len() == wanted.len();
            if exact {
                Ok(())
            } else {
                Err(format!(
                    "it takes {}, and is given {}",
                    names(),
                    wanted.join(", ")
                ))
            }
        }
    }
}
