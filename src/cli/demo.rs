//! Commands that are those of `redis-consumer-demo` now: scripts that say the old names find it beside this program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::anyhow;
use clap::Args;

/// The program that has the commands.
const DEMO: &str = "redis-consumer-demo";

/// What the command is given, as it is.
#[derive(Args)]
pub(super) struct DemoArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the demo program with this command; comes back only if there is no such program.
pub(super) fn become_demo(command: &str, arguments: DemoArguments) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name(DEMO);
    let error = Command::new(&program)
        .arg(command)
        .args(arguments.arguments)
        .exec();
    Err(anyhow!(error).context(format!(
        "`{DEMO} {command}` is a program of its own, which is not beside this one: build it with `cargo build --release -p {DEMO}`"
    )))
}
