//! Cutting an image into tiles, asking the model batch by batch, and joining the answers.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array4, ArrayD, ArrayView4, Axis, Ix4, Slice};
use rayon::prelude::*;

use crate::compute;
use crate::serving::{Client, ModelId, Signature};
use cell_analysis::segmentation::{Tiling, Untiler};

/// A model of the server, with what it expects.
#[derive(Clone)]
pub struct Model {
    client: Client,
    id: ModelId,
    signature: Arc<Signature>,
    /// Name of the input that takes the image.
    input: String,
    input_shape: [i64; 4],
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
        let named = client
            .settings()
            .tensor_name
            .as_deref()
            .and_then(|name| signature.input(name));
        let input = match (signature.inputs.as_slice(), named) {
            ([input], _) | (_, Some(input)) => input,
            (inputs, None) => bail!(
                "model `{id}` takes {} inputs, an image model takes one",
                inputs.len()
            ),
        };
        let shape = input.shape.as_slice();
        let input_shape = shape.try_into().ok().with_context(|| {
            format!("model `{id}` takes input of shape {shape:?}, an image model takes [batch, row, column, channel]")
        })?;
        let input = input.name.clone();
        Ok(Self {
            client: client.clone(),
            id: id.clone(),
            signature,
            input,
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

    /// How many tiles go into one request (contract section 4.4).
    pub fn batch_size(&self) -> usize {
        let settings = self.client.settings();
        self.signature
            .batch_size(settings.max_batch_size.get(), settings.min_model_size.get())
    }

    async fn predict(&self, batch: Array4<f32>) -> anyhow::Result<Vec<ArrayD<f32>>> {
        let outputs = self
            .client
            .predict(&self.id, &[(&self.input, batch.view().into_dyn())])
            .await?;
        Ok(outputs.into_iter().map(|(_, values)| values).collect())
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
    let mut answers = std::pin::pin!(answers(model, image, tiles));
    let mut joined: Option<Joined> = None;
    while let Some((range, outputs)) = answers.try_next().await? {
        let so_far = match joined.take() {
            Some(so_far) => so_far,
            None => Joined::new(&tiling, &outputs, &heads)?,
        };
        joined = Some(compute::run(move || so_far.add(range, &outputs)).await?);
    }
    let joined = joined.context("the image has no tiles")?;
    Ok(compute::run(move || {
        joined
            .untilers
            .into_iter()
            .map(|(_, untiler)| untiler.finish())
            .collect()
    })
    .await)
}

/// How an image is cut and sent.
#[derive(Clone)]
pub struct Tiles {
    /// The cut.
    pub tiling: Arc<Tiling>,
    /// Tiles in one request, at most.
    pub batch_size: usize,
}

/// The model's outputs batch by batch, in the order of tiles: the range of tiles, and every output `[tile, …]`.
pub(super) fn answers(
    model: &Model,
    image: Arc<Array4<f32>>,
    tiles: Tiles,
) -> impl stream::Stream<Item = anyhow::Result<(Range<usize>, Vec<ArrayD<f32>>)>> + Send {
    let in_flight = model.client.settings().max_in_flight;
    let count = tiles.tiling.len();
    let batch_size = tiles.batch_size.max(1);
    let model = model.clone();
    let ask = move |first: usize| {
        let (model, image, tiling) = (model.clone(), Arc::clone(&image), Arc::clone(&tiles.tiling));
        async move {
            let range = first..(first + batch_size).min(count);
            let cut = range.clone();
            let batch = compute::run(move || cut_tiles(&tiling, image.view(), cut)).await;
            let outputs = model.predict(batch).await?;
            for output in &outputs {
                let tiles = output.shape().first().copied().unwrap_or(0);
                ensure!(
                    tiles == range.len(),
                    "model `{}` answered {tiles} results for {} tiles",
                    model.id,
                    range.len()
                );
            }
            Ok((range, outputs))
        }
    };
    stream::iter((0..count).step_by(batch_size))
        .map(ask)
        .buffered(in_flight.get())
}

fn cut_tiles(tiling: &Tiling, image: ArrayView4<'_, f32>, range: Range<usize>) -> Array4<f32> {
    let [rows, columns] = tiling.tile_shape();
    let mut batch = Array4::zeros((range.len(), rows, columns, image.dim().3));
    let tiles = batch.axis_iter_mut(Axis(0)).into_par_iter().zip(range);
    tiles.for_each(|(tile, index)| tiling.copy_tile(image, index, tile));
    batch
}

/// Heads that are being joined, each from one output of the model.
struct Joined {
    tile: [usize; 2],
    untilers: Vec<(Source, Untiler)>,
}

#[derive(Clone, Copy)]
struct Source {
    output: usize,
    channels: (usize, usize),
}

impl Joined {
    fn new(tiling: &Tiling, outputs: &[ArrayD<f32>], heads: &Heads) -> anyhow::Result<Self> {
        let channels = |output: usize| {
            outputs
                .get(output)
                .and_then(|values| values.shape().get(3))
                .copied()
                .unwrap_or(0)
        };
        let mut sources = Vec::new();
        match heads {
            Heads::All => {
                sources.extend((0..outputs.len()).map(|output| (output, (0, channels(output)))))
            }
            Heads::Only {
                wanted,
                outputs: count,
            } => {
                if let Some(count) = *count {
                    let found = outputs.len();
                    ensure!(
                        found == count,
                        "the model answered {found} outputs, this analysis needs one with {count}"
                    );
                }
                for head in wanted {
                    let from_end = if head.output < 0 { outputs.len() } else { 0 };
                    let output = from_end.wrapping_add_signed(head.output);
                    ensure!(
                        head.channel < channels(output),
                        "the model's answer has no output {} with a channel {}: it has {} outputs",
                        head.output,
                        head.channel,
                        outputs.len()
                    );
                    sources.push((output, (head.channel, head.channel + 1)));
                }
            }
        }
        let untilers = sources
            .into_iter()
            .map(|(output, channels)| {
                (
                    Source { output, channels },
                    Untiler::new(tiling, channels.1 - channels.0),
                )
            })
            .collect();
        Ok(Self {
            tile: tiling.tile_shape(),
            untilers,
        })
    }

    fn add(mut self, range: Range<usize>, outputs: &[ArrayD<f32>]) -> anyhow::Result<Self> {
        let [rows, columns] = self.tile;
        self.untilers
            .par_iter_mut()
            .try_for_each(|(source, untiler)| {
                let output = outputs
                    .get(source.output)
                    .context("the model's answers differ in their number of outputs")?;
                let (first, end) = source.channels;
                let view = output.view().into_dimensionality::<Ix4>().ok();
                let fits = |view: &ArrayView4<'_, f32>| {
                    (view.dim().1, view.dim().2) == (rows, columns) && end <= view.dim().3
                };
                let view = view.filter(fits).with_context(|| {
                    format!(
                        "the model answered shape {:?} for tiles of {rows} x {columns} pixels",
                        output.shape()
                    )
                })?;
                for (index, tile) in range.clone().zip(view.axis_iter(Axis(0))) {
                    untiler.add(index, tile.slice_axis(Axis(2), Slice::from(first..end)));
                }
                anyhow::Ok(())
            })?;
        Ok(self)
    }
}
