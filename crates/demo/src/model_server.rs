//! The classical models in the form that a model server serves, and that server.

use std::io::{Write as _, stdout};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use ndarray::{Array4, ArrayD, ArrayView4, Axis, Ix4, concatenate};
use redis_consumer::serving::{Input, Model, ModelId, ModelServer};
use tokio_util::sync::CancellationToken;

use crate::nuclei_model::{NucleiHeads, nuclei_model};
use crate::track_models;

/// Rows and columns of a tile, as the trained nuclear model has them.
const TILE: i64 = 256;

const IMAGE: &str = "image";

/// Consumers read the first output in the order of names as centers, and the last one as interiors.
const CENTERS: &str = "centers";
const INTERIOR: &str = "interior";

/// Consumers read distances and classes of whole cells and of nuclei in the order of names.
const MESMER_OUTPUTS: [&str; 4] = ["cells_0", "cells_1", "nuclei_0", "nuclei_1"];

/// What to serve, and where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address to listen on; 0.0.0.0 can be reached from other machines, too, without a password.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes any that is free.
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

/// Serves the classical models over the TensorFlow Serving API until `stop`.
pub(crate) async fn serve(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    let Arguments {
        host,
        port,
        model,
        mesmer: mesmer_id,
        encoder,
        tracking,
    } = arguments;
    let names = format!("{model}, {mesmer_id}, {encoder} and {tracking}");
    let models = vec![
        nuclear(model),
        mesmer(mesmer_id),
        track_models::encoder(encoder),
        track_models::inference(tracking),
    ];
    let address = SocketAddr::from((host, port));
    let server = ModelServer::start_at(address, models).await;
    let server = server.with_context(|| {
        format!("cannot listen on {address}: choose another port with `--port`, or 0 for any")
    })?;
    writeln!(
        stdout(),
        "serving {names} on {}: classical stand-ins, not trained networks",
        server.address()
    )?;
    stop.cancelled().await;
    server.stop().await;
    Ok(())
}

/// The nuclear model under a name and version of the operator's choice.
pub(crate) fn nuclear(id: ModelId) -> Model {
    let outputs = vec![plane(CENTERS, 1), plane(INTERIOR, 1)];
    Model {
        id,
        inputs: vec![plane(IMAGE, 1)],
        outputs,
        run: Arc::new(run_nuclear),
    }
}

/// A stand-in for Mesmer: nuclei are looked for in the first channel, whole cells in whatever of both is brighter.
pub(crate) fn mesmer(id: ModelId) -> Model {
    let outputs = MESMER_OUTPUTS
        .iter()
        .zip([1, 3, 1, 3])
        .map(|(name, channels)| plane(name, channels))
        .collect();
    Model {
        id,
        inputs: vec![plane(IMAGE, 2)],
        outputs,
        run: Arc::new(run_mesmer),
    }
}

fn plane(name: &str, channels: i64) -> Input {
    Input::float(name, &[-1, TILE, TILE, channels])
}

fn run_nuclear(inputs: &[(String, ArrayD<f32>)]) -> Result<Vec<(String, ArrayD<f32>)>, String> {
    let NucleiHeads { maxima, interior } = nuclei_model(only_input(inputs)?);
    Ok(vec![
        (CENTERS.to_owned(), maxima.into_dyn()),
        (INTERIOR.to_owned(), interior.into_dyn()),
    ])
}

fn run_mesmer(inputs: &[(String, ArrayD<f32>)]) -> Result<Vec<(String, ArrayD<f32>)>, String> {
    let tiles = only_input(inputs)?;
    if tiles.dim().3 != 2 {
        return Err(format!(
            "tiles have {} channels, the model takes two",
            tiles.dim().3
        ));
    }
    let brighter = tiles
        .fold_axis(Axis(3), 0.0, |a: &f32, b| a.max(*b))
        .insert_axis(Axis(3));
    let nuclei = tiles
        .slice_axis(Axis(3), (0..1).into())
        .as_standard_layout()
        .into_owned();
    let mut outputs = Vec::new();
    for tiles in [brighter, nuclei] {
        let NucleiHeads { maxima, interior } = nuclei_model(tiles.view());
        let outside = interior.mapv(|inside| 1.0 - inside);
        let edge = Array4::zeros(interior.dim());
        let classes = concatenate(Axis(3), &[edge.view(), interior.view(), outside.view()]);
        outputs.push(maxima.into_dyn());
        outputs.push(classes.map_err(|error| error.to_string())?.into_dyn());
    }
    Ok(MESMER_OUTPUTS
        .map(str::to_owned)
        .into_iter()
        .zip(outputs)
        .collect())
}

fn only_input(inputs: &[(String, ArrayD<f32>)]) -> Result<ArrayView4<'_, f32>, String> {
    let [(_, tiles)] = inputs else {
        return Err(format!(
            "the request has {} inputs, the model takes one",
            inputs.len()
        ));
    };
    tiles
        .view()
        .into_dimensionality::<Ix4>()
        .map_err(|error| format!("tiles must have four axes: {error}"))
}
