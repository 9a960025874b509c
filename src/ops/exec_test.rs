//! `redis-consumer exec-test`: tries a command on files, without Redis and without a bucket.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::desk::size;
use crate::consumers::exec::{ExecSettings, Rehearsal, rehearse};
use crate::exit_code;
use crate::settings::{Env, Loader};
use crate::untrusted::{self, Bytes};

/// Lines of the log that are shown.
const LINES: usize = 200;

#[derive(Args)]
pub(crate) struct ExecTestArguments {
    /// The inputs of the job.
    files: Vec<PathBuf>,
    /// The command, as `EXEC_COMMAND` has it.
    #[arg(long)]
    command: Option<String>,
    /// One process for all runs, as with `EXEC_MODE=persistent`.
    #[arg(long)]
    persistent: bool,
    /// Run it so many times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// A field of the job.
    #[arg(long, value_name = "NAME=VALUE")]
    field: Vec<String>,
    /// Put the results of the last run into this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Runs what a consumer would run, with its limits, and shows each step.
pub(crate) async fn exec_test(arguments: ExecTestArguments) -> anyhow::Result<ExitCode> {
    let mut env = Env::from_process();
    if let Some(command) = &arguments.command {
        env.set("EXEC_COMMAND", command);
    }
    if arguments.persistent {
        env.set("EXEC_MODE", "persistent");
    }
    let mut loader = Loader::new(&env);
    let settings = ExecSettings::load(&mut loader);
    loader.finish()?;
    let mut fields = Vec::new();
    for field in &arguments.field {
        let (name, value) = field
            .split_once('=')
            .ok_or_else(|| super::Misuse(format!("`{field}` is not NAME=VALUE")))?;
        fields.push((name.to_owned(), value.to_owned()));
    }
    let how = (arguments.repeat, arguments.keep.as_deref());
    let runs = rehearse(settings, &arguments.files, &fields, how).await?;
    let mut has_failed = false;
    for (number, run) in runs.iter().enumerate() {
        if runs.len() > 1 {
            writeln!(io::stdout(), "— run {} of {}", number + 1, runs.len())?;
        }
        show(run)?;
        has_failed |= run.failure.is_some();
    }
    Ok(ExitCode::from(if has_failed {
        exit_code::FOUND
    } else {
        exit_code::SUCCESS
    }))
}

fn show(run: &Rehearsal) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let command: Vec<_> = run.command.iter().map(OsString::from).collect();
    let command: Vec<_> = command
        .iter()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    writeln!(out, "command   {}", untrusted::message(command.join(" ")))?;
    writeln!(out, "job       {}", untrusted::message(&run.job))?;
    let lines: Vec<_> = run.log.split_inclusive(|&byte| byte == b'\n').collect();
    for line in lines.iter().take(LINES) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        writeln!(out, "log       {}", untrusted::message(Bytes(line)))?;
    }
    if lines.len() > LINES {
        writeln!(out, "log       … {} more lines", lines.len() - LINES)?;
    }
    for (percent, note) in &run.progress {
        writeln!(out, "progress  {percent} % {}", untrusted::name(note))?;
    }
    for (path, bytes) in &run.outputs {
        writeln!(
            out,
            "output    {} ({})",
            untrusted::name(path),
            size(*bytes as f64)
        )?;
    }
    for (name, value) in &run.fields {
        writeln!(out, "field     {name} = {}", untrusted::name(value))?;
    }
    let took = run.took.as_secs_f64();
    match &run.failure {
        None => writeln!(out, "done      in {took:.2} s"),
        Some((class, text)) => writeln!(
            out,
            "failed    in {took:.2} s: {class}: {}",
            untrusted::message(text)
        ),
    }
}

/// A word as a shell would have it.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned())
}
