//! Figures of each kind of segmentation on a real image, and of tracking on a movie: the input, the heads of the model, the
//! result.
//!
//! Images pass the steps of a job from the decoder to the labels; the models behind the server are the classical ones.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use bioimage::Limits;
use image::imageops::replace;
use image::{Rgb, RgbImage};
use ndarray::{Array2, Array3, Array4, ArrayView2, Axis, stack};
use redis_consumer::applications::{
    Application, Compartment, Model, TensorModel, Tracked, Tracker, TrackingModels,
};
use redis_consumer::serving::{Client, ModelId, ModelServer};

use crate::bitmap_font::{self, Point};
use crate::sample::Sample;
use crate::{lineage_tree, model_server, overlay, palette, sample_movie, track_models};

/// Longer side of a panel in pixels, about.
const SIDE: f64 = 400.0;

/// Pixels of white between panels.
const GAP: u32 = 8;

/// Frames of a movie that stand side by side.
const FRAMES_IN_A_ROW: usize = 4;

/// Tracks that are so many rows apart in the tree have colors that differ: sisters have their mother between them.
const TOLD_APART: usize = 2;

const PAPER: Rgb<u8> = Rgb([u8::MAX; 3]);

const DAPI: &[u8] = include_bytes!("../../../tests/fixtures/tissue/cytokit_dapi.tif");
const MEMBRANE: &[u8] = include_bytes!("../../../tests/fixtures/tissue/cytokit_membrane.tif");

/// Draws all figures into a folder.
pub(crate) async fn draw(folder: &Path) -> anyhow::Result<()> {
    let models = Models::serve().await?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let nuclei = Sample::shipped().plane()?;
    let picture = rows_of(
        &models.client,
        &models.nuclear,
        Application::nuclear(),
        &[nuclei],
    )
    .await?;
    overlay::save(&picture, &folder.join("nuclear.png"))?;

    let application = Application::mesmer(Compartment::Both);
    let picture = rows_of(&models.client, &models.mesmer, application, &tissue()?).await?;
    overlay::save(&picture, &folder.join("mesmer.png"))?;

    let movie = sample_movie::sample_movie()?;
    let tracked = tracked(&models, &movie).await?;
    overlay::save(
        &movie_and_tree(&movie, &tracked),
        &folder.join("tracking.png"),
    )?;
    models.server.stop().await;
    Ok(())
}

/// All classical models behind a server, and the way to them.
struct Models {
    server: ModelServer,
    client: Client,
    nuclear: ModelId,
    mesmer: ModelId,
    encoder: ModelId,
    inference: ModelId,
}

impl Models {
    async fn serve() -> anyhow::Result<Self> {
        let [nuclear, mesmer, encoder, inference] =
            ["Nuclear", "Mesmer", "Encoder", "Inference"].map(|name| ModelId::new(name, 1));
        let models = vec![
            model_server::nuclear(nuclear.clone()),
            model_server::mesmer(mesmer.clone()),
            track_models::encoder(encoder.clone()),
            track_models::inference(inference.clone()),
        ];
        let server = ModelServer::start(0, models).await?;
        let client = server.client();
        Ok(Self {
            server,
            client,
            nuclear,
            mesmer,
            encoder,
            inference,
        })
    }
}

/// The nuclear and the membrane channel of the sample of tissue.
fn tissue() -> anyhow::Result<[Array2<f32>; 2]> {
    Ok([plane_of(DAPI)?, plane_of(MEMBRANE)?])
}

/// The image `[row, column]` in a TIFF file of one page.
fn plane_of(file: &[u8]) -> anyhow::Result<Array2<f32>> {
    let image = bioimage::decode(file, "tissue.tif", &Limits::default())?;
    Ok(image.into_dimensionality()?)
}

/// A row of panels for each compartment: a channel, both heads, and the cells outlined on the channel.
async fn rows_of(
    client: &Client,
    id: &ModelId,
    application: Application,
    channels: &[Array2<f32>],
) -> anyhow::Result<RgbImage> {
    let model = Model::load(client, id).await?;
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    let image = stack(Axis(2), &views)?.insert_axis(Axis(0));
    let size = [image.dim().1, image.dim().2];
    let prepared = application.prepare(image, application.model_mpp)?;
    let heads = application.predict(&model, prepared).await?;
    let labels = application.label(heads.clone(), size)?;
    let mut rows = Vec::new();
    for (compartment, labels) in labels.axis_iter(Axis(3)).enumerate() {
        let plane = |head: usize| {
            heads[2 * compartment + head]
                .index_axis(Axis(3), 0)
                .index_axis_move(Axis(0), 0)
        };
        // The channel that shows the compartment best: membranes for whole cells, nuclei for nuclei.
        let channel = channels[channels.len() - 1 - compartment].view();
        let blank = Array2::zeros(channel.dim());
        let panel = |plane: ArrayView2<'_, f32>| overlay::draw(plane, blank.view(), SIDE);
        let outlined = overlay::draw(channel, labels.index_axis(Axis(0), 0), SIDE);
        let panels = [panel(channel), panel(plane(0)), panel(plane(1)), outlined];
        rows.push(side_by_side(&panels));
    }
    Ok(stacked(&rows))
}

/// The cells of a movie `[frame, row, column]`: frame by frame the way of a segmentation job, then that of a tracking job.
async fn tracked(models: &Models, movie: &Array3<f32>) -> anyhow::Result<Tracked> {
    let (application, model) = (
        Application::nuclear(),
        Model::load(&models.client, &models.nuclear).await?,
    );
    let mut frames = Vec::new();
    for frame in movie.outer_iter() {
        let image: Array4<f32> = frame.to_owned().insert_axis(Axis(0)).insert_axis(Axis(3));
        let prepared = application.prepare(image, application.model_mpp)?;
        let labels = application.label(
            application.predict(&model, prepared).await?,
            frame.dim().into(),
        )?;
        frames.push(
            labels
                .index_axis_move(Axis(0), 0)
                .mapv(|label| label as i32),
        );
    }
    let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
    let labels = stack(Axis(0), &views)?.into_dyn();
    let raw = movie.clone().insert_axis(Axis(3)).into_dyn();
    let models = TrackingModels {
        encoder: TensorModel::new(&models.client, &models.encoder),
        inference: TensorModel::new(&models.client, &models.inference),
    };
    Tracker::default().track(&models, raw, labels).await
}

/// The frames with each cell outlined in the color of its track, and the tracks as a tree in the same colors.
fn movie_and_tree(movie: &Array3<f32>, tracked: &Tracked) -> RgbImage {
    let labels = tracked.labels.mapv(i32::unsigned_abs);
    let order: Vec<u32> = lineage_tree::order(&tracked.lineage)
        .into_iter()
        .map(i32::unsigned_abs)
        .collect();
    let near_in_the_tree: Vec<_> = (1..=TOLD_APART)
        .flat_map(|rows| order.iter().copied().zip(order.iter().copied().skip(rows)))
        .collect();
    let colors = palette::colors(labels.outer_iter(), &near_in_the_tree);
    let (mut panels, factor) = overlay::draw_movie(movie.view(), labels.view(), &colors, SIDE);
    for (frame, (panel, labels)) in panels.iter_mut().zip(labels.outer_iter()).enumerate() {
        for (label, color) in &colors {
            if let Some([row, column]) = middle_of(labels, *label) {
                let text = label.to_string();
                let [y, x] = [row, column].map(|at| (at * factor) as u32);
                let at = Point {
                    x: x.saturating_sub(bitmap_font::width(&text) / 2),
                    y: y.saturating_sub(bitmap_font::HEIGHT / 2),
                };
                bitmap_font::write_rimmed(panel, &text, at, *color);
            }
        }
        *panel = captioned(panel, &format!("frame {frame}"));
    }
    let mut rows: Vec<_> = panels.chunks(FRAMES_IN_A_ROW).map(side_by_side).collect();
    let width = rows[0].width();
    let frames = panels.len() as u32;
    rows.push(lineage_tree::draw(&tracked.lineage, frames, &colors, width));
    stacked(&rows)
}

/// The mean place of a label, if the image has it.
fn middle_of(labels: ArrayView2<'_, u32>, label: u32) -> Option<[usize; 2]> {
    let places = || {
        labels
            .indexed_iter()
            .filter(|(_, other)| **other == label)
            .map(|(at, _)| at)
    };
    let (rows, columns) =
        places().fold((0, 0), |(rows, columns), at| (rows + at.0, columns + at.1));
    Some([
        rows.checked_div(places().count())?,
        columns.checked_div(places().count())?,
    ])
}

/// The picture with a line of text above.
fn captioned(picture: &RgbImage, text: &str) -> RgbImage {
    let mut strip = RgbImage::from_pixel(picture.width(), bitmap_font::HEIGHT, PAPER);
    bitmap_font::write(&mut strip, text, Point { x: 0, y: 0 }, Rgb([0; 3]));
    stacked(&[strip, picture.clone()])
}

/// Pictures in a row, with white between them.
fn side_by_side(pictures: &[RgbImage]) -> RgbImage {
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(0);
    let mut row = RgbImage::from_pixel(total(pictures, RgbImage::width), height, PAPER);
    let mut x = 0;
    for picture in pictures {
        replace(&mut row, picture, x, 0);
        x += i64::from(picture.width() + GAP);
    }
    row
}

/// Pictures one above the other, with white between them.
fn stacked(pictures: &[RgbImage]) -> RgbImage {
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(0);
    let mut column = RgbImage::from_pixel(width, total(pictures, RgbImage::height), PAPER);
    let mut y = 0;
    for picture in pictures {
        replace(&mut column, picture, 0, y);
        y += i64::from(picture.height() + GAP);
    }
    column
}

/// The pixels of all pictures along one side, with the gaps.
fn total(pictures: &[RgbImage], side: fn(&RgbImage) -> u32) -> u32 {
    let gaps = GAP * (pictures.len() as u32).saturating_sub(1);
    pictures.iter().map(side).sum::<u32>() + gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_kind_of_segmentation_has_a_picture_and_tracking_has_one() {
        let folder = tempfile::tempdir().expect("a folder");
        draw(folder.path()).await.expect("pictures");
        for (name, rows) in [("nuclear.png", 1), ("mesmer.png", 2), ("tracking.png", 3)] {
            let file = fs::read(folder.path().join(name)).expect("it is drawn");
            let picture =
                bioimage::decode(&file, name, &Limits::default()).expect("it is a picture");
            assert!(
                picture.shape()[1] > 4 * 300 && picture.shape()[0] > rows * 300,
                "{name}: {:?}",
                picture.shape()
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_movie_is_tracked_as_it_was_staged() {
        let models = Models::serve().await.expect("a free port");
        let tracked = tracked(&models, &sample_movie::sample_movie().expect("a movie"))
            .await
            .expect("tracks");
        let tracks = &tracked.lineage.0;
        assert_eq!(tracks.len(), 10);
        let divisions: Vec<_> = tracks
            .iter()
            .filter_map(|track| Some((track.frame_div?, track.daughters.len())))
            .collect();
        assert_eq!(divisions, [(3, 2), (5, 2)]);
        let late = tracks
            .iter()
            .filter(|track| track.parent.is_none() && track.frames[0] > 0);
        assert_eq!(late.count(), 1, "one enters");
        let early = tracks
            .iter()
            .filter(|track| !track.capped && *track.frames.last().expect("seen") < 7);
        assert_eq!(early.count(), 1, "one leaves");
    }
}
