//! Pictures of what each kind of segmentation does to a real image: what goes in, what the model says, what comes out.
//!
//! The images take the way of a job from the decoder to the labels; the models behind the server are the classical ones.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use ndarray::{Array2, Array3, ArrayView2, Axis, concatenate, stack};

use super::overlay;
use super::{model_server, sample::Sample};
use crate::applications::{Application, Compartment, Model};
use crate::images::{self, Limits};
use crate::serving::{Client, ModelId, ModelServer, ServingSettings};
use crate::settings::{Env, Reader};

/// Longer side of a panel in pixels, about.
const SIDE: f64 = 400.0;

/// Pixels of white between panels.
const GAP: usize = 8;

const DAPI: &[u8] = include_bytes!("../../tests/fixtures/tissue/cytokit_dapi.tif");
const MEMBRANE: &[u8] = include_bytes!("../../tests/fixtures/tissue/cytokit_membrane.tif");

/// Draws all pictures into a folder.
pub(super) async fn draw(folder: &Path) -> anyhow::Result<()> {
    let ids: [ModelId; 2] = ["NuclearSegmentation:6".parse()?, "MultiplexSegmentation:9".parse()?];
    let [nuclear, mesmer] = &ids;
    let models = vec![model_server::nuclear(nuclear.clone()), model_server::mesmer(mesmer.clone())];
    let server = ModelServer::start(0, models).await?;
    let address = server.address();
    let env: Env =
        [("TF_HOST", address.ip().to_string()), ("TF_PORT", address.port().to_string())].into_iter().collect();
    let client = Client::new(ServingSettings::load(&mut Reader::new(&env)), None);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let nuclei = Sample::shipped().plane()?;
    let picture = rows_of(&client, nuclear, Application::nuclear(), &[nuclei]).await?;
    save(&picture, &folder.join("nuclear.png"))?;

    let picture = rows_of(&client, mesmer, Application::mesmer(Compartment::Both), &tissue()?).await?;
    save(&picture, &folder.join("mesmer.png"))?;
    server.stop().await;
    Ok(())
}

/// The nuclear and the membrane channel of the sample of tissue.
fn tissue() -> anyhow::Result<[Array2<f32>; 2]> {
    let plane = |file| -> anyhow::Result<Array2<f32>> {
        Ok(images::decode(file, "tissue.tif", &Limits::default())?.into_dimensionality()?)
    };
    Ok([plane(DAPI)?, plane(MEMBRANE)?])
}

/// A row of panels for each compartment: a channel, both heads, and the cells outlined on the channel.
async fn rows_of(
    client: &Client,
    id: &ModelId,
    application: Application,
    channels: &[Array2<f32>],
) -> anyhow::Result<Array3<u8>> {
    let model = Model::load(client, id).await?;
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    let image = stack(Axis(2), &views)?.insert_axis(Axis(0));
    let size = [image.dim().1, image.dim().2];
    let prepared = application.prepare(image, application.model_mpp)?;
    let heads = application.predict(&model, prepared).await?;
    let labels = application.label(heads.clone(), size)?;
    let mut rows = Vec::new();
    for (compartment, labels) in labels.axis_iter(Axis(3)).enumerate() {
        let plane = |head: usize| heads[2 * compartment + head].index_axis(Axis(3), 0).index_axis_move(Axis(0), 0);
        // The channel that shows the compartment best: membranes for whole cells, nuclei for nuclei.
        let channel = channels[channels.len() - 1 - compartment].view();
        let blank = Array2::zeros(channel.dim());
        let panel = |plane: ArrayView2<'_, f32>| overlay::draw(plane, blank.view(), SIDE);
        let outlined = overlay::draw(channel, labels.index_axis(Axis(0), 0), SIDE);
        rows.push(joined(&[panel(channel), panel(plane(0)), panel(plane(1)), outlined], Axis(1))?);
    }
    joined(&rows, Axis(0))
}

/// Pictures side by side, or one above the other, with white in between.
fn joined(pictures: &[Array3<u8>], axis: Axis) -> anyhow::Result<Array3<u8>> {
    let mut parts = Vec::new();
    for picture in pictures {
        if !parts.is_empty() {
            let mut shape = picture.dim();
            *[&mut shape.0, &mut shape.1][axis.index()] = GAP;
            parts.push(Array3::from_elem(shape, u8::MAX));
        }
        parts.push(picture.clone());
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(axis, &views)?)
}

fn save(picture: &Array3<u8>, path: &Path) -> anyhow::Result<()> {
    fs::write(path, overlay::encode_png(picture)?).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_kind_of_segmentation_has_a_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        draw(folder.path()).await.expect("pictures");
        for (name, rows) in [("nuclear.png", 1), ("mesmer.png", 2)] {
            let file = fs::read(folder.path().join(name)).expect("it is drawn");
            let picture = images::decode(&file, name, &Limits::default()).expect("it is a picture");
            assert!(picture.shape()[1] > 4 * 300 && picture.shape()[0] > rows * 300, "{name}: {:?}", picture.shape());
        }
    }
}
