//! `redis-consumer batch`: plans that run.

mod cancel;
mod change;
mod delete;
mod item;
mod list;
mod pause;
mod restore;
mod set;
mod start;
mod table;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::cancel::CancelArguments;
use self::delete::DeleteArguments;
pub(super) use self::delete::forget;
use self::item::ItemArguments;
use self::list::ListArguments;
use self::pause::{PauseArguments, ResumeArguments};
use self::restore::RestoreArguments;
use self::set::SetArguments;
pub(super) use self::set::update;
use self::start::StartArguments;
pub(super) use self::table::show;
use super::desk::{DeskArguments, print_json};
use crate::batch::Standing;
use crate::exit_code;

#[derive(Subcommand)]
pub(crate) enum BatchCommand {
    /// List all batches, the latest first.
    List(ListArguments),
    /// Show how a batch fares, stage by stage.
    Show(ShowArguments),
    /// Start a stage that waits for a person.
    Start(StartArguments),
    /// Turn no more items into jobs.
    Pause(PauseArguments),
    /// End a pause, revive what was cancelled, and let go on what was held.
    Resume(ResumeArguments),
    /// End a batch: what waits and what runs of it. It can be resumed.
    Cancel(CancelArguments),
    /// Show one item: where it stands, its children and parents, and what it waits for.
    Item(ItemArguments),
    /// Change limits, timeouts and the like of a stage while it runs.
    Set(SetArguments),
    /// Make a batch that Redis has lost from its plan in the bucket. What its items have left there counts as done.
    Restore(RestoreArguments),
    /// Remove a batch, and all that is known of its items. Results in the bucket stay.
    Delete(DeleteArguments),
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    batch: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Does what the command says with batches.
pub(crate) async fn batch(command: BatchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BatchCommand::List(arguments) => list::list(&arguments).await?,
        BatchCommand::Show(arguments) => {
            let (desk, name) = (arguments.desk.open()?, &arguments.batch);
            match arguments.json {
                true => print_json(&Standing::of(&desk.admin, name).await?.to_json(name))?,
                false => show(&desk, name).await?,
            }
        }
        BatchCommand::Start(arguments) => start::start(&arguments).await?,
        BatchCommand::Pause(arguments) => pause::pause(&arguments).await?,
        BatchCommand::Resume(arguments) => pause::resume(&arguments).await?,
        BatchCommand::Cancel(arguments) => cancel::cancel(&arguments).await?,
        BatchCommand::Item(arguments) => item::show(&arguments).await?,
        BatchCommand::Set(arguments) => set::set(&arguments).await?,
        BatchCommand::Restore(arguments) => restore::restore(&arguments).await?,
        BatchCommand::Delete(arguments) => delete::delete(&arguments).await?,
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}
