//! `redis-consumer exec-test`: tries a command on files, without Redis and without a bucket.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Misuse;
use super::desk::{jobs, size};
use crate::consumers::exec::{ExecSettings, Seen, Trial, rehearse};
use crate::exit_code;
use crate::settings::{Env, Loader};
use crate::untrusted;

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
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroUsize,
    /// A field of the job.
    #[arg(long, value_name = "NAME=VALUE")]
    field: Vec<String>,
    /// Put the results of the last run into this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Runs what a consumer would run, with its limits, and shows each step.
pub(crate) async fn exec_test(arguments: ExecTestArguments) -> anyhow::Result<ExitCode> {
    let settings = settings(&arguments)?;
    let fields = arguments.field.iter().map(|field| {
        let (name, value) = field
            .split_once('=')
            .ok_or_else(|| Misuse(format!("`{field}` is not NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let trial = Trial {
        files: &arguments.files,
        fields: &fields.collect::<Result<Vec<_>, Misuse>>()?,
        keep: arguments.keep.as_deref(),
    };
    // Who reads it may have seen enough.
    let mut show = |seen: Seen<'_>| _ = writeln!(io::stdout(), "{}", line_of(&seen));
    let is_done = rehearse(settings, &trial, arguments.repeat.get(), &mut show).await?;
    Ok(ExitCode::from(if is_done {
        exit_code::SUCCESS
    } else {
        exit_code::FOUND
    }))
}

fn settings(arguments: &ExecTestArguments) -> anyhow::Result<ExecSettings> {
    let mut env = Env::from_process();
    if let Some(command) = &arguments.command {
        env.set("EXEC_COMMAND", command);
    }
    if env.get("EXEC_COMMAND").is_none() {
        let text = "say which command: --command \"python3 cells.py\", or EXEC_COMMAND";
        return Err(Misuse(text.to_owned()).into());
    }
    if arguments.persistent {
        env.set("EXEC_MODE", "persistent");
    }
    let mut loader = Loader::new(&env);
    let settings = ExecSettings::load(&mut loader);
    loader.finish()?;
    Ok(settings)
}

fn line_of(seen: &Seen<'_>) -> String {
    match seen {
        Seen::Command(words) => {
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("command   {}", untrusted::message(words.join(" ")))
        }
        Seen::Job(json) => format!("job       {}", untrusted::message(json)),
        Seen::Line(text) => {
            let text = text.replace('\t', "    ");
            format!("log       {}", untrusted::message(text))
        }
        Seen::Progress(percent, note) => {
            format!("progress  {percent} % {}", untrusted::name(note))
        }
        Seen::Output(path, bytes) => {
            format!(
                "output    {} ({})",
                untrusted::name(path),
                size(*bytes as f64)
            )
        }
        Seen::Field(name, value) => format!("field     {name} = {}", untrusted::name(value)),
        Seen::Child(queue, name) => {
            let (queue, name) = (untrusted::name(queue), untrusted::name(name));
            format!("child     {name} on {queue}")
        }
        Seen::Done(took, 0) => format!("done      in {:.2} s", took.as_secs_f64()),
        Seen::Done(took, children) => format!(
            "waiting   after {:.2} s, for {}; a consumer runs the command again when they have ended",
            took.as_secs_f64(),
            jobs(*children)
        ),
        Seen::Failed(took, class, text) => {
            let (took, text) = (took.as_secs_f64(), untrusted::message(text));
            format!("failed    in {took:.2} s: {class}: {text}")
        }
    }
}

/// A word as a shell would have it.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned())
}
