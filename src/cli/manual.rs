//! What shells and `man` are told of the command line.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// What the program is called.
const NAME: &str = "redis-consumer";

#[derive(Args)]
pub(super) struct CompletionsArguments {
    /// The shell that they are for.
    shell: Shell,
}

/// Prints what a shell reads to complete commands and options.
pub(super) fn completions(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> anyhow::Result<()> {
    // Made in memory: the generator takes a reader that has gone for a fault of its own.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, NAME, &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Prints the page of the program and those of all its commands, one behind the other.
pub(super) fn man(command: Command) -> anyhow::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    Ok(pages(&command, &mut io::stdout().lock())?)
}

fn pages(command: &Command, out: &mut impl Write) -> io::Result<()> {
    Man::new(command.clone()).render(out)?;
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    for command in shown {
        pages(command, out)?;
    }
    Ok(())
}
