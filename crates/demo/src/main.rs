//! Tries `redis-consumer` on one machine: classical models behind a model server, a guided run of one image, and figures.
//!
//! None of this is in the program that a Kiosk runs, which the demo starts as a separate process.

mod bitmap_font;
mod distance;
mod gallery;
mod iou;
mod lineage_tree;
mod model_server;
mod networks;
mod nuclei_model;
mod overlay;
mod page;
mod palette;
mod processes;
mod progress;
mod report;
mod result;
mod run;
mod sample;
mod sample_movie;
mod stop;
mod track_models;
mod watershed;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::networks::Network;
use crate::page::Page;
use crate::run::Wishes;

/// Tries redis-consumer on this machine, with a small trained network or classical models.
#[derive(Parser)]
#[command(version, name = "redis-consumer-demo")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one image through the whole system on this machine and draw the result; needs `redis-server` on the PATH.
    Run {
        /// An image of nuclei, such as a TIFF or PNG file; without it, a built-in sample is used. `NAME_labels.tif` beside
        /// the image is taken for the ground truth.
        image: Option<PathBuf>,
        /// What segments the image.
        #[arg(long, value_enum, default_value = "trained")]
        model: Network,
        /// Keeps everything up when the job is done, and opens the web page in a browser; on a terminal it is kept up in any
        /// case, until Ctrl-C.
        #[arg(long)]
        page: bool,
    },
    /// Serve small classical models over the TensorFlow Serving API, to try things without a GPU.
    ModelServer(model_server::Arguments),
    /// Draw figures: each kind of segmentation on a real image, and tracking on a movie.
    Gallery {
        /// The folder to draw into, created if it is missing.
        #[arg(default_value = "docs/images/gallery")]
        folder: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let stop = stop::on_signals();
    match run(Arguments::parse().command, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis-consumer-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, stop: CancellationToken) -> anyhow::Result<()> {
    match command {
        Command::Run { image, model, page } => {
            let wishes = Wishes {
                image: image.as_deref(),
                network: model,
                page: if page { Page::Opened } else { Page::OnTerminal },
            };
            run::run(wishes, stop).await
        }
        Command::ModelServer(arguments) => model_server::serve(arguments, stop).await,
        Command::Gallery { folder } => {
            let drawn = stop.run_until_cancelled(gallery::draw(&folder)).await;
            drawn.unwrap_or(Ok(()))
        }
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
