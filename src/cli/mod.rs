//! The command line: what to do, and the exit status.
//!
//! 0 is success, 4 a check that found something, 64 wrong settings or a wrong command line, 1 anything else.

mod reference;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing::{Level, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::consumer::Registry;
use crate::daemon::{self, Configured};
use crate::ops;
use crate::settings::{Entry, Env, Origin, Problems, Reader};
use crate::traces::{self, Traces};

pub(crate) const WRONG_SETTINGS: u8 = 64;

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
    Consume,
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
    /// Measure what this program and this Redis can do together.
    Bench(ops::BenchArguments),
}

/// Runs the program with these kinds of consumer: parses the command line, does what it says, gives the exit status.
pub fn run(registry: Registry) -> ExitCode {
    // Two providers could be compiled in by a user's own dependencies; this one is ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(WRONG_SETTINGS)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = |()| ExitCode::SUCCESS;
    let result = match arguments.command.unwrap_or(Command::Consume) {
        Command::Consume => consume(&registry).map(done),
        Command::Settings { reference: true } => show_reference(&registry).map(done),
        Command::Settings { reference: false } => show_settings(&registry).map(done),
        Command::Consumers => list_consumers(&registry).map(done),
        Command::Janitor(arguments) => janitor(arguments).map(done),
        Command::PromoteDelayed => block_on(ops::promote_delayed).map(done),
        Command::Check(arguments) => block_on(|stop| ops::check(registry, arguments, stop)),
        Command::Fsck(arguments) => block_on(|stop| ops::fsck(arguments, stop)),
        Command::Bench(arguments) => block_on(|stop| ops::bench(arguments, stop)).map(done),
    };
    result.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Who reads our output, such as `head`, has seen enough.
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(std::io::stderr(), "redis-consumer: {error:#}");
    if error.is::<Problems>() {
        ExitCode::from(WRONG_SETTINGS)
    } else {
        ExitCode::FAILURE
    }
}

fn consume(registry: &Registry) -> anyhow::Result<()> {
    let configured = daemon::configure(registry, &Env::from_process())?;
    block_on(async |stop| {
        let traces = configured.start_logs_and_traces()?;
        let consumed = daemon::consume(configured, traces.clone(), stop).await;
        traces.finish().await;
        consumed
    })
}

fn janitor(arguments: ops::JanitorArguments) -> anyhow::Result<()> {
    let env = Env::from_process();
    let mut reader = Reader::new(&env);
    let settings = ops::JanitorSettings::load(&mut reader);
    let log = daemon::log_settings(&mut reader);
    let (_, warnings) = reader.finish()?;
    log.start(&Traces::default());
    warnings.iter().for_each(|warning| warn!("{warning}"));
    block_on(|stop| ops::janitor(arguments, settings, stop))
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

async fn stop_on_signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        warn!("cannot listen for signals: a stop will leave running jobs to the next start");
        return;
    };
    loop {
        let (name, status) = tokio::select! {
            _ = terminate.recv() => ("SIGTERM", 143),
            _ = interrupt.recv() => ("SIGINT", 130),
        };
        if stop.is_cancelled() {
            std::process::exit(status);
        }
        info!("{name} received");
        stop.cancel();
    }
}

fn show_settings(registry: &Registry) -> anyhow::Result<()> {
    let Configured {
        entries, warnings, ..
    } = daemon::configure(registry, &Env::from_process())?;
    let width = |text: fn(&Entry) -> usize| entries.iter().map(text).max().unwrap_or(0);
    let (names, values) = (
        width(|entry| entry.name.len()),
        width(|entry| entry.value.chars().count()).min(40),
    );
    let mut out = std::io::stdout().lock();
    for entry in &entries {
        let origin = match &entry.origin {
            Origin::Default => "default".to_owned(),
            Origin::Variable(name) if name == entry.name => "environment".to_owned(),
            Origin::Variable(name) => format!("from {name}"),
        };
        let (name, value, doc) = (entry.name, &entry.value, entry.doc);
        writeln!(out, "{name:names$}  {value:values$}  {origin:12}  {doc}")?;
    }
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn show_reference(registry: &Registry) -> anyhow::Result<()> {
    Ok(write!(
        std::io::stdout().lock(),
        "{}",
        reference::markdown(registry)?
    )?)
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

/// How much is logged, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: tracing::Level,
    pub(crate) json: bool,
}

impl LogSettings {
    /// Sends log lines to standard error from now on, and spans where traces go.
    pub(crate) fn start(self, traces: &Traces) {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = if self.json {
            lines.json().flatten_event(true).boxed()
        } else {
            lines
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed()
        };
        let wanted = Targets::new()
            .with_default(Level::WARN)
            .with_target("redis_consumer", self.level);
        let traced = Targets::new().with_target(traces::TARGET, Level::INFO);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(wanted));
        // A second start within one process (tests of a user's binary) keeps the first one's.
        let _ = subscriber
            .with(traces.layer().map(|layer| layer.with_filter(traced)))
            .try_init();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
