//! Stand-ins for what a real deployment brings along, so that the program can be tried on one machine.
//!
//! A model server with classical models, and a guided run of one image through Redis, a bucket in a folder, that
//! server and a consumer. Nothing outside this folder depends on it but the command line.

mod agreement;
mod basins;
mod distance;
mod gallery;
mod glyphs;
mod lineage_tree;
mod model_server;
mod nuclei_model;
mod overlay;
mod palette;
mod peers;
mod progress;
mod report;
mod result;
mod run;
mod sample;
mod sample_movie;
mod track_models;

use std::io::{Write as _, stdout};
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::serving::{ModelId, ModelServer};

/// What to serve, and where.
#[derive(clap::Args)]
pub(crate) struct ServerArguments {
    /// Address to listen at; 0.0.0.0 is reached from other machines, too. There is no password.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port on this machine; 0 takes any that is free.
    #[arg(long, default_value_t = 8500)]
    port: u16,
    /// Name and version under which the nuclear model is served.
    #[arg(
        long,
        value_name = "NAME:VERSION",
        default_value = "NuclearSegmentation:6"
    )]
    model: ModelId,
    /// Name and version under which the stand-in for Mesmer is served.
    #[arg(
        long,
        value_name = "NAME:VERSION",
        default_value = "MultiplexSegmentation:9"
    )]
    mesmer: ModelId,
    /// Name and version under which the stand-in for the encoder of cells is served.
    #[arg(
        long,
        value_name = "NAME:VERSION",
        default_value = "NuclearTrackingNE:6"
    )]
    encoder: ModelId,
    /// Name and version under which the stand-in for the tracking model is served.
    #[arg(
        long,
        value_name = "NAME:VERSION",
        default_value = "NuclearTrackingInf:6"
    )]
    tracking: ModelId,
}

/// Where pictures go.
#[derive(clap::Args)]
pub(crate) struct GalleryArguments {
    /// A folder, created if it is missing.
    #[arg(default_value = "docs/images/gallery")]
    folder: PathBuf,
}

/// What to show.
#[derive(clap::Args)]
pub(crate) struct DemoArguments {
    /// An image of nuclei, such as a TIFF or PNG file; one is built in. `NAME_labels.tif` beside it is taken for the truth.
    image: Option<PathBuf>,
}

/// Serves the classical models over the TensorFlow Serving API until `stop`.
pub(crate) async fn serve(
    arguments: ServerArguments,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ServerArguments {
        host,
        port,
        model,
        mesmer,
        encoder,
        tracking,
    } = arguments;
    let names = format!("{model}, {mesmer}, {encoder} and {tracking}");
    let models = vec![
        model_server::nuclear(model),
        model_server::mesmer(mesmer),
        track_models::encoder(encoder),
        track_models::inference(tracking),
    ];
    let server = ModelServer::start_at((host, port).into(), models).await;
    let server = server.with_context(|| format!("cannot listen on port {port} of {host}"))?;
    writeln!(
        stdout(),
        "serving {names} on {}: classical stand-ins, no trained networks",
        server.address()
    )?;
    stop.cancelled().await;
    server.stop().await;
    Ok(())
}

/// Draws pictures of what each kind of segmentation does, and tracking.
pub(crate) async fn gallery(
    arguments: GalleryArguments,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    stop.run_until_cancelled(gallery::draw(&arguments.folder))
        .await
        .unwrap_or(Ok(()))
}

/// Runs one image through the whole system on this machine and draws the result to the folder `demo-output`.
pub(crate) async fn run(arguments: DemoArguments, stop: CancellationToken) -> anyhow::Result<()> {
    run::run(arguments.image.as_deref(), stop).await
}
