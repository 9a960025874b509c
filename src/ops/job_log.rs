//! `redis-consumer job log`: what the command of a job has written.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

use clap::Args;

use super::desk::{DeskArguments, Misuse, text_of};
use crate::exit_code;
use crate::queue::JobKey;
use crate::storage::{Storage, StorageSettings};
use crate::untrusted::{self, Bytes};
use crate::wire::field;

#[derive(Args)]
pub(crate) struct LogArguments {
    job: std::ffi::OsString,
    /// The last lines, which the job itself has; the bucket is not asked.
    #[arg(long)]
    tail: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Prints the log of a job: the object in the bucket, or else the last lines, which lie with the job.
pub(crate) async fn log(arguments: LogArguments) -> anyhow::Result<ExitCode> {
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let key = JobKey(arguments.job.into_vec());
    let fields = desk.admin.job(&key).await?;
    if fields.is_empty() {
        return Err(Misuse::no_job(&key).into());
    }
    let (object, tail) = (
        text_of(&fields, field::LOG_FILE_NAME),
        text_of(&fields, field::LOG),
    );
    if object.is_empty() && tail.is_empty() {
        anyhow::bail!("the job has no log: only consumers that run a command write one");
    }
    if arguments.tail || object.is_empty() {
        print(tail.as_bytes())?;
    } else {
        let log = Storage::open(&storage)?.download(&object).await?;
        print(&log)?;
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

/// Prints lines: as they are for programs, without what acts on a terminal for people.
fn print(log: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !out.is_terminal() {
        return out.write_all(log);
    }
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        writeln!(out, "{}", untrusted::message(Bytes(line)))?;
    }
    Ok(())
}
