//! The command line: what to do, and the exit status.
//!
//! What the exit status says is in `exit_code`.

mod demo;
mod manual;
mod reference;
mod show_settings;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::demo::{DemoArguments, become_demo};
use self::manual::CompletionsArguments;
use crate::configuration::Configuration;
use crate::consumer::Registry;
use crate::daemon::{self, End, Work};
#[cfg(feature = "dashboard")]
use crate::dashboard;
use crate::exit_code;
use crate::ops;
use crate::process;
use crate::queue::{JobKey, QueueName};
use crate::settings::{Env, Problems};
use crate::untrusted;
use crate::worker::Bounds;

/// How long the runtime waits for computations that were abandoned at shutdown.
const ABANDON_AFTER: Duration = Duration::from_millis(100);

/// Takes microscopy jobs off a Redis queue, segments them with models on TensorFlow Serving, and stores the result.
///
/// All settings come from the environment; `redis-consumer settings` lists them.
#[derive(Parser)]
#[command(version, name = "redis-consumer")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Consume jobs until told to stop (what happens without a subcommand).
    Consume(ConsumeArguments),
    /// Show every setting in force and where it came from; nothing is started.
    Settings {
        /// Print all settings with their defaults as Markdown instead.
        #[arg(long)]
        reference: bool,
    },
    /// List the types of consumer that `CONSUMER_TYPE` can name.
    Consumers,
    /// Requeue the jobs of dead consumers, in fleets with Python consumers.
    Janitor(ops::JanitorArguments),
    /// Move delayed and waiting jobs back into their queues, before Python consumers take over.
    #[command(alias = "drain")]
    PromoteDelayed,
    /// Test the settings, Redis, the bucket and the models.
    Check(ops::CheckArguments),
    /// Find lost, duplicated and leftover jobs, and repair them with `--repair`.
    Fsck(ops::FsckArguments),
    /// Submit jobs of files, of objects in the bucket, or of fields alone.
    Submit(Box<ops::SubmitArguments>),
    /// Check plans of batches, and print their schema.
    #[command(subcommand)]
    Plan(ops::PlanCommand),
    /// Show, pause, resume, cancel and delete batches.
    #[command(subcommand)]
    Batch(ops::BatchCommand),
    /// Compare a batch with what lies in the bucket, and have what is missing worked again.
    Repair(ops::RepairArguments),
    /// Turn items of batches into jobs, where only Python consumers work the queues.
    Feed(ops::FeedArguments),
    /// Follow jobs until they have ended.
    Watch(ops::WatchArguments),
    /// Show how the queues fare.
    Status(ops::StatusArguments),
    /// Show the consumers, and what they work at.
    Workers(ops::WorkersArguments),
    /// Show one job, list jobs, and more.
    #[command(subcommand)]
    Job(ops::JobCommand),
    /// Show jobs that have failed, one by one or by cause.
    Failed(ops::FailedArguments),
    /// Have failed jobs worked once more.
    Requeue(ops::RequeueArguments),
    /// End jobs that wait or run.
    Cancel(ops::CancelArguments),
    /// Pause, resume, purge and move queues.
    #[command(subcommand)]
    Queue(ops::QueueCommand),
    /// Serve the web page.
    #[cfg(feature = "dashboard")]
    Dashboard(dashboard::DashboardArguments),
    /// Try a command on files as a consumer of type `exec` would run it; needs neither Redis nor a bucket.
    ExecTest(ops::ExecTestArguments),
    /// Measure what this program and this Redis can do together.
    Bench(ops::BenchArguments),
    /// Print what a shell needs to complete commands and options.
    Completions(CompletionsArguments),
    /// Print the manual as pages for `man`.
    Man,
    /// `redis-consumer-demo run`
    #[command(hide = true)]
    Demo(DemoArguments),
    /// `redis-consumer-demo model-server`
    #[command(hide = true)]
    DemoModelServer(DemoArguments),
    /// `redis-consumer-demo gallery`
    #[command(hide = true)]
    Gallery(DemoArguments),
}

#[derive(Args, Default)]
struct ConsumeArguments {
    /// End after so many jobs.
    #[arg(long, value_name = "N")]
    max_jobs: Option<u64>,
    /// End when there has been nothing to do for this long: nothing waits, now or later, no batch that goes on by itself has items
    /// for the queue, and nobody works on it.
    #[arg(long, value_name = "TIME")]
    exit_when_idle: Option<ops::Span>,
    /// Work this job of the queue and end: 0 if it is done, 4 if it has failed, 75 if it is not final or could not be claimed.
    #[arg(long, value_name = "JOB", conflicts_with_all = ["max_jobs", "exit_when_idle", "queues"])]
    job: Option<OsString>,
    /// Consume these queues instead of `QUEUE`: a job of the first is preferred to one of the second, and so on.
    #[arg(long, value_name = "QUEUE", value_delimiter = ',')]
    queues: Vec<QueueName>,
}

/// Runs the program with these kinds of consumer: parses the command line, does what it says, gives the exit status.
pub fn run(registry: Registry) -> ExitCode {
    // Others start the program under these names, and often: nothing else is done for them.
    if let Some(end) = process::as_helper() {
        return end;
    }
    // Two providers could be compiled in by a user's own dependencies; this one is ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return not_understood(&error),
    };
    let consume_all = Command::Consume(ConsumeArguments::default());
    let result = act(command.unwrap_or(consume_all), registry);
    result.unwrap_or_else(|error| failed(&error))
}

fn act(command: Command, registry: Registry) -> anyhow::Result<ExitCode> {
    match command {
        Command::Consume(arguments) => consume(&registry, arguments),
        Command::Settings { reference: true } => reference::show(&registry).map(success),
        Command::Settings { reference: false } => show_settings::show(&registry).map(success),
        Command::Consumers => list_consumers(&registry).map(success),
        Command::Janitor(arguments) => block_on(|stop| ops::janitor(arguments, stop)).map(success),
        Command::PromoteDelayed => block_on(ops::promote_delayed).map(success),
        Command::Check(arguments) => block_on(|stop| ops::check(registry, arguments, stop)),
        Command::Fsck(arguments) => block_on(|stop| ops::fsck(arguments, stop)),
        Command::Submit(arguments) => block_on(|stop| ops::submit(*arguments, stop)),
        Command::Plan(command) => block_on(|_| ops::plan(command)),
        Command::Batch(command) => block_on(|_| ops::batch(command)),
        Command::Repair(arguments) => block_on(|_| ops::repair(arguments)),
        Command::Feed(arguments) => block_on(|stop| ops::feed(arguments, stop)),
        Command::Watch(arguments) => block_on(|stop| ops::watch(arguments, stop)),
        Command::Status(arguments) => block_on(|stop| ops::status(arguments, stop)),
        Command::Workers(arguments) => block_on(|_| ops::workers(arguments)).map(success),
        Command::Job(command) => block_on(|_| ops::job(command)),
        Command::Failed(arguments) => block_on(|_| ops::failed(arguments)),
        Command::Requeue(arguments) => block_on(|stop| ops::requeue(arguments, stop)),
        Command::Cancel(arguments) => block_on(|stop| ops::cancel(arguments, stop)),
        Command::Queue(command) => block_on(|_| ops::queue(command)),
        #[cfg(feature = "dashboard")]
        Command::Dashboard(arguments) => {
            block_on(|stop| dashboard::dashboard(registry, arguments, stop)).map(success)
        }
        Command::ExecTest(arguments) => block_on(|_| ops::exec_test(arguments)),
        Command::Bench(arguments) => block_on(|stop| ops::bench(arguments, stop)).map(success),
        Command::Completions(arguments) => {
            manual::completions(&arguments, Arguments::command()).map(success)
        }
        Command::Man => manual::man(Arguments::command()).map(success),
        Command::Demo(arguments) => become_demo("run", arguments).map(success),
        Command::DemoModelServer(arguments) => become_demo("model-server", arguments).map(success),
        Command::Gallery(arguments) => become_demo("gallery", arguments).map(success),
    }
}

/// Says what is wrong with the command line, or what was asked for instead of a command, such as help.
fn not_understood(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        exit_code::WRONG_SETTINGS
    } else {
        exit_code::SUCCESS
    })
}

fn success(_: ()) -> ExitCode {
    ExitCode::from(exit_code::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Who reads our output, such as `head`, has seen enough.
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    {
        return ExitCode::from(exit_code::SUCCESS);
    }
    let mut out = std::io::stderr();
    if error.is::<Problems>() {
        let _ = writeln!(out, "redis-consumer: {error:#}");
        return ExitCode::from(exit_code::WRONG_SETTINGS);
    }
    // A server may have said anything, and a command may quote users.
    let text = format!("{error:#}");
    let _ = writeln!(out, "redis-consumer: {}", untrusted::message(text));
    ExitCode::from(if error.is::<ops::Refused>() {
        exit_code::REFUSED
    } else if error.is::<ops::Misuse>() {
        exit_code::WRONG_SETTINGS
    } else {
        exit_code::FAILURE
    })
}

fn consume(registry: &Registry, arguments: ConsumeArguments) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load(registry, &Env::from_process())?;
    let configuration = configuration.for_queues(&arguments.queues);
    let (configuration, work) = match arguments.job {
        Some(key) => {
            let key = JobKey(key.into_vec());
            (configuration.for_one_job(), Work::Job(key))
        }
        None => {
            let idle = arguments.exit_when_idle.map(Duration::from);
            let bounds = Bounds::new(arguments.max_jobs, idle);
            (configuration, Work::Queues(bounds))
        }
    };
    let end = block_on(async |stop| {
        let traces = configuration.start_logs_and_traces()?;
        let consumed = daemon::consume(configuration, work, traces.clone(), stop).await;
        traces.finish().await;
        consumed
    })?;
    Ok(ExitCode::from(match end {
        End::Stopped | End::Done => exit_code::SUCCESS,
        End::Failed => exit_code::FOUND,
        End::NotFinal => exit_code::REFUSED,
        End::NotClaimed(why) => {
            return Err(ops::Refused(format!("the job is not worked: {why}")).into());
        }
    }))
}

/// Runs a future on a fresh runtime. The first SIGTERM or SIGINT cancels the token, the second ends the process.
fn block_on<T, F>(future: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signals = tokio::spawn(stop_on_signals(stop.clone()));
        let result = future(stop).await;
        signals.abort();
        result
    });
    runtime.shutdown_timeout(ABANDON_AFTER);
    result
}

/// Listens from the call on: a signal that comes before the first poll is not lost.
fn stop_on_signals(stop: CancellationToken) -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        let [Ok(mut terminate), Ok(mut interrupt)] = signals else {
            warn!("cannot listen for signals: a stop will leave running jobs to the next start");
            return;
        };
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            exit_code::note_signal(name);
            if stop.is_cancelled() {
                std::process::exit(exit_code::of_signal().into());
            }
            info!("{name} received");
            stop.cancel();
        }
    }
}

fn list_consumers(registry: &Registry) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for kind in registry.kinds() {
        let aliases = if kind.aliases.is_empty() {
            String::new()
        } else {
            format!(" (also {})", kind.aliases.join(", "))
        };
        writeln!(out, "{}{aliases}: {}", kind.name, kind.summary)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
