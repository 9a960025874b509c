//! Cutting an image into tiles, running the model batch by batch, and joining the answers.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array4, ArrayD, ArrayView4, Axis, Ix4, Slice};
use rayon::prelude::*;

use crate::compute;
use crate::serving::{Client, Floats, ModelId};
use cell_analysis::segmentation::{PadMode, Tiling, Untiler};
use cell_analysis::zeros;

/// A model of the server, with what it expects.
#[derive(Clone)]
pub struct Model {
    client: Client,
    id: ModelId,
    batch_size: usize,
    /// Name of the input that takes the image.
    input: String,
    input_shape: [i64; 4],
    fixed_tile: [Option<usize>; 2],
}

impl Model {
    /// Asks the server (or a cache) what the model takes.
    ///
    /// # Errors
    ///
    /// When the server does not know the model, or the model does not take one batch of images: of several inputs,
    /// `TF_TENSOR_NAME` names the one.
    pub async fn load(client: &Client, id: &ModelId) -> anyhow::Result<Self> {
        let signature = client.signature(id).await?;
        let Some(input) = client.image_input(&signature) else {
            let count = signature.inputs.len();
            bail!(
                "model `{id}` takes {count} inputs; name the one that takes the image in TF_TENSOR_NAME"
            );
        };
        let shape = input.shape.as_slice();
        let input_shape = shape.try_into().ok().with_context(|| {
            format!("model `{id}` takes input of shape {shape:?}, an image model takes [batch, row, column, channel]")
        })?;
        Ok(Self {
            client: client.clone(),
            id: id.clone(),
            batch_size: client.batch_size(&signature),
            input: input.name.clone(),
            fixed_tile: client.fixed_tile(id, &input.name).await?,
            input_shape,
        })
    }

    /// Shape of the input, `[batch, row, column, channel]`; unknown sizes are negative.
    pub fn input_shape(&self) -> [i64; 4] {
        self.input_shape
    }

    /// Rows and columns of a tile; where the model leaves them open, those of the image.
    pub fn tile_shape(&self, image_shape: [usize; 4]) -> [usize; 2] {
        [1, 2].map(|axis| {
            usize::try_from(self.input_shape[axis])
                .ok()
                .filter(|&n| n > 0)
                .unwrap_or(image_shape[axis])
        })
    }

    /// Rows and columns of a tile, where the model takes no others, whatever the settings say of tiles.
    pub fn fixed_tile(&self) -> [Option<usize>; 2] {
        self.fixed_tile
    }

    /// How many tiles go into one request.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The outputs for tiles `[tile, row, column, channel]`, in the order of their names, each `[tile, …]`.
    async fn predict(&self, tiles: Array4<f32>) -> anyhow::Result<Vec<Floats>> {
        let count = tiles.dim().0;
        let inputs = vec![(self.input.as_str(), tiles.into_dyn())];
        let outputs = self.client.answer(&self.id, inputs).await?;
        let outputs: Vec<_> = outputs.into_iter().map(|(_, floats)| floats).collect();
        for output in &outputs {
            let found = output.shape().first().copied().unwrap_or(0);
            ensure!(
                found == count,
                "model `{}` answered {found} results for {count} tiles",
                self.id
            );
        }
        Ok(outputs)
    }
}

/// One plane of the model's answer that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Output in the order of names; negative counts from the last, −1.
    pub output: isize,
    /// Channel of that output.
    pub channel: usize,
}

/// Which planes of the model's answer are joined to images.
#[derive(Clone, Debug)]
pub enum Heads {
    /// Every channel of every output.
    All,
    /// One channel each.
    Only {
        /// Which.
        wanted: Vec<Head>,
        /// How many outputs the model has to have, if other numbers mean that it is another model.
        outputs: Option<usize>,
    },
}

/// How an image is cut and sent.
#[derive(Clone)]
pub struct Tiles {
    /// The cut.
    pub tiling: Arc<Tiling>,
    /// Tiles in one request, at most.
    pub batch_size: usize,
}

impl Tiles {
    /// Tiles of the size that the model takes, as many in a request as it takes.
    pub fn of(model: &Model, image_shape: [usize; 4], pad: PadMode) -> Self {
        Self::sized(model, image_shape, model.tile_shape(image_shape), pad)
    }

    /// The same with tiles of these rows and columns.
    pub fn sized(model: &Model, image_shape: [usize; 4], tile: [usize; 2], pad: PadMode) -> Self {
        Self {
            tiling: Arc::new(Tiling::new(image_shape, tile, pad)),
            batch_size: model.batch_size(),
        }
    }
}

/// The model's answers for a whole image, tiles joined: for each wanted head `[batch, row, column, channel]`.
///
/// At most `batch_size` tiles go into a request; several requests are in flight.
pub async fn run_tiled(
    model: &Model,
    image: Arc<Array4<f32>>,
    tiles: Tiles,
    heads: Heads,
) -> anyhow::Result<Vec<Array4<f32>>> {
    let tiling = Arc::clone(&tiles.tiling);
    let mut answers = std::pin::pin!(answers_to_tiles(model, image, tiles));
    let mut joined: Option<Joined> = None;
    while let Some(answer) = answers.try_next().await? {
        // Only the first answer shows how many outputs and channels there are.
        let so_far = match joined.take() {
            Some(so_far) => so_far,
            None => Joined::new(&tiling, sources(&answer.outputs, &heads)?),
        };
        joined = Some(compute::run(move || so_far.add(&answer)).await?);
    }
    let joined = joined.context("the image has no tiles")?;
    Ok(compute::run(move || joined.finish()).await)
}

/// The model's outputs for some tiles.
pub(super) struct Answer<T = Floats> {
    /// Which tiles.
    pub(super) tiles: Range<usize>,
    /// Every output, `[tile, …]`.
    pub(super) outputs: Vec<T>,
}

impl Answer {
    /// The same as arrays, which may take a while.
    pub(super) fn into_arrays(self) -> Answer<ArrayD<f32>> {
        Answer {
            tiles: self.tiles,
            outputs: self.outputs.into_iter().map(Floats::into_array).collect(),
        }
    }
}

/// The model's outputs for the tiles of an image batch by batch, in the order of tiles.
pub(super) fn answers_to_tiles(
    model: &Model,
    image: Arc<Array4<f32>>,
    tiles: Tiles,
) -> impl stream::Stream<Item = anyhow::Result<Answer>> + Send {
    let Tiles { tiling, batch_size } = tiles;
    let count = tiling.len();
    let cut = move |tiles| cut_tiles(&tiling, image.view(), tiles);
    answers(model, count, batch_size, cut)
}

/// The model's outputs for `count` tiles batch by batch, in the order of tiles: `cut` makes those of a batch,
/// `[tile, row, column, channel]`, when their turn has come.
pub(super) fn answers<F>(
    model: &Model,
    count: usize,
    batch_size: usize,
    cut: F,
) -> impl stream::Stream<Item = anyhow::Result<Answer>> + Send + use<F>
where
    F: Fn(Range<usize>) -> Array4<f32> + Send + Sync + 'static,
{
    let batch_size = batch_size.max(1);
    let in_flight = model.client.max_in_flight();
    let (model, mut cut) = (model.clone(), Some(Arc::new(cut)));
    stream::iter((0..count).step_by(batch_size))
        .map(move |first| {
            let tiles = first..(first + batch_size).min(count);
            // The last batch lets go of the image, which the model's answers need not be joined beside.
            let is_last = tiles.end == count;
            let cut = if is_last { cut.take() } else { cut.clone() };
            answer(model.clone(), cut.expect("until the last batch"), tiles)
        })
        .buffered(in_flight)
}

async fn answer<F>(model: Model, cut: Arc<F>, tiles: Range<usize>) -> anyhow::Result<Answer>
where
    F: Fn(Range<usize>) -> Array4<f32> + Send + Sync + 'static,
{
    let range = tiles.clone();
    let batch = compute::run(move || cut(range)).await;
    let outputs = model.predict(batch).await?;
    Ok(Answer { tiles, outputs })
}

fn cut_tiles(tiling: &Tiling, image: ArrayView4<'_, f32>, range: Range<usize>) -> Array4<f32> {
    let [rows, columns] = tiling.tile_shape();
    let shape = (range.len(), rows, columns, image.dim().3);
    let batch = zeros(range.len() * rows * columns * image.dim().3);
    let batch = Array4::from_shape_vec(shape, batch);
    let mut batch = batch.expect("as many values as the tiles have");
    let tiles = batch.axis_iter_mut(Axis(0)).into_par_iter().zip(range);
    tiles.for_each(|(tile, index)| tiling.copy_tile(image, index, tile));
    batch
}

/// Where in the model's answer a joined image comes from.
#[derive(Clone)]
struct Source {
    output: usize,
    channels: Range<usize>,
}

/// The places of the wanted heads in an answer.
fn sources(outputs: &[Floats], heads: &Heads) -> anyhow::Result<Vec<Source>> {
    match heads {
        Heads::All => Ok((0..outputs.len())
            .map(|output| Source {
                output,
                channels: 0..channel_count(outputs, output),
            })
            .collect()),
        Heads::Only {
            wanted,
            outputs: expected,
        } => {
            let found = outputs.len();
            if let Some(count) = expected {
                ensure!(
                    found == *count,
                    "the model answered {found} outputs, this analysis needs one with {count}"
                );
            }
            wanted.iter().map(|head| source(outputs, *head)).collect()
        }
    }
}

fn source(outputs: &[Floats], head: Head) -> anyhow::Result<Source> {
    let from_end = if head.output < 0 { outputs.len() } else { 0 };
    let output = from_end.wrapping_add_signed(head.output);
    ensure!(
        head.channel < channel_count(outputs, output),
        "the model's answer has no output {} with a channel {}: it has {} outputs",
        head.output,
        head.channel,
        outputs.len()
    );
    Ok(Source {
        output,
        channels: head.channel..head.channel + 1,
    })
}

fn channel_count(outputs: &[Floats], output: usize) -> usize {
    outputs
        .get(output)
        .and_then(|values| values.shape().get(3))
        .copied()
        .unwrap_or(0)
}

/// Heads that are being joined, each from one output of the model.
struct Joined {
    tile: [usize; 2],
    heads: Vec<(Source, Untiler)>,
}

impl Joined {
    fn new(tiling: &Tiling, sources: Vec<Source>) -> Self {
        let heads = sources.into_iter().map(|source| {
            let untiler = Untiler::new(tiling, source.channels.len());
            (source, untiler)
        });
        Self {
            tile: tiling.tile_shape(),
            heads: heads.collect(),
        }
    }

    fn add(mut self, answer: &Answer) -> anyhow::Result<Self> {
        let tile = self.tile;
        self.heads
            .par_iter_mut()
            .try_for_each(|(source, untiler)| add_head(untiler, source, answer, tile))?;
        Ok(self)
    }

    fn finish(self) -> Vec<Array4<f32>> {
        self.heads
            .into_iter()
            .map(|(_, untiler)| untiler.finish())
            .collect()
    }
}

/// Adds one head of all tiles of an answer to its image.
fn add_head(
    untiler: &mut Untiler,
    source: &Source,
    answer: &Answer,
    [rows, columns]: [usize; 2],
) -> anyhow::Result<()> {
    let output = answer.outputs.get(source.output);
    let output = output.context("the model's answers differ in their number of outputs")?;
    let view = output.view().into_dimensionality::<Ix4>().ok();
    let view = view
        .filter(|view| {
            let (_, found_rows, found_columns, channels) = view.dim();
            [found_rows, found_columns] == [rows, columns] && source.channels.end <= channels
        })
        .with_context(|| {
            let shape = output.shape();
            format!("the model answered shape {shape:?} for tiles of {rows} x {columns} pixels")
        })?;
    for (index, tile) in answer.tiles.clone().zip(view.axis_iter(Axis(0))) {
        let channels = Slice::from(source.channels.clone());
        untiler.add(index, tile.slice_axis(Axis(2), channels));
    }
    Ok(())
}
