//! Models with a description in BioImage.IO's format: what is done around them is what their packages say.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array2, Array3, ArrayD};

use super::cells::check_values;
use crate::compute;
use crate::error_class::{ErrorClass, WithClass as _};
use crate::serving::{Client, ModelId};
use bioimage_model::{
    Comparison, Description, Labeling, Output, Package, Prepared, Tensor, TilePlan, WeightsFormat,
};
use cell_analysis::cellpose::Cellpose;
use cell_analysis::stardist::{StarDist, StarHeads};
use ndarray::{Axis, Slice};

/// Bytes of the input and the outputs of one tile: networks take many times more while they run.
const TILE_BYTES: u64 = 8 << 20;

/// A model with its description.
pub struct Described {
    client: Client,
    id: ModelId,
    description: Arc<Description>,
    /// Names of the network's outputs, as the description orders them.
    outputs: Vec<String>,
    input: String,
}

/// What a described output has become.
pub enum Described2D {
    /// Labels `[row, column]`.
    Labels(Array2<u32>),
    /// Values `[row, column, channel]`.
    Values(Array3<f32>),
}

/// How far the model is from the test that its package brings.
pub struct Trial {
    /// Name of the output.
    pub output: String,
    /// How far it is.
    pub comparison: Comparison,
}

/// Reads the description of a package.
///
/// # Errors
///
/// Everything in it that is wrong or cannot be done here.
pub fn describe(path: &Path) -> anyhow::Result<Description> {
    let description = Package::open(path).and_then(|mut package| package.description());
    description.with_class(ErrorClass::ModelMismatch)
}

impl Described {
    /// Asks the model what it takes, and holds that against its package.
    ///
    /// # Errors
    ///
    /// A package that cannot be used, or names outputs that the network does not have; a model that cannot be asked.
    pub async fn load(client: &Client, id: &ModelId) -> anyhow::Result<Self> {
        let path = client.package(id).await?;
        let description = compute::run(move || describe(&path)).await?;
        let signature = client.signature(id).await?;
        let [input] = signature.inputs.as_slice() else {
            let count = signature.inputs.len();
            return Err(anyhow::anyhow!(
                "the network of `{id}` takes {count} inputs, its package one"
            ))
            .with_class(ErrorClass::ModelMismatch);
        };
        let found = client.output_names(id).await?;
        let outputs = outputs(&description, found).with_class(ErrorClass::ModelMismatch)?;
        Ok(Self {
            client: client.clone(),
            id: id.clone(),
            description: Arc::new(description),
            outputs,
            input: input.name.clone(),
        })
    }

    /// Channels of an image.
    pub fn channels(&self) -> usize {
        self.description.input.channels()
    }

    /// Runs the model and all processing on an image `[row, column, channel]`: each output by its name.
    ///
    /// # Errors
    ///
    /// Values that are not finite, an image that the description does not allow, and what the model fails with.
    pub async fn run(&self, image: Array3<f32>) -> anyhow::Result<Vec<(String, Described2D)>> {
        let (rows, columns, _) = image.dim();
        let description = Arc::clone(&self.description);
        let (prepared, plan) = compute::run(move || {
            check_values(image.view().insert_axis(Axis(0)))?;
            let tensor = description.input.tensor(image.view());
            let tensor = tensor.with_class(ErrorClass::InvalidInput)?;
            let size = [rows, columns];
            let tiles = || {
                let plan = TilePlan::within(&description, size, TILE_BYTES);
                plan.or_else(|_| TilePlan::smallest(&description, size))
            };
            let whole = TilePlan::whole(&description, size, TILE_BYTES);
            let plan = whole.map_or_else(tiles, Ok)?;
            let prepared = description.preprocess(tensor);
            anyhow::Ok((prepared.with_class(ErrorClass::InvalidInput)?, plan))
        })
        .await?;
        let canvases = self.predict(&prepared, plan).await?;
        let description = Arc::clone(&self.description);
        compute::run(move || {
            let outputs = description.outputs.iter().zip(canvases).enumerate();
            let done = outputs.map(|(index, (output, canvas))| {
                let tensor = description.postprocess(index, canvas, &prepared.reference)?;
                let image = output.image(&tensor)?;
                Ok((output.id.clone(), finished(output, image, [rows, columns])?))
            });
            done.collect()
        })
        .await
    }

    /// What the network answers for the whole image, output by output.
    async fn predict(&self, prepared: &Prepared, plan: TilePlan) -> anyhow::Result<Vec<Tensor>> {
        let canvases = (0..self.outputs.len()).map(|output| plan.canvas(output));
        let mut canvases = canvases.collect::<Result<Vec<_>, _>>()?;
        let (plan, image) = (Arc::new(plan), Arc::new(prepared.tensor.clone()));
        let tiles = stream::iter(0..plan.count()).map(|index| {
            let (plan, image) = (Arc::clone(&plan), Arc::clone(&image));
            async move {
                let tile = compute::run(move || plan.cut(&image, index)).await?;
                let inputs = vec![(self.input.as_str(), tile.into_values())];
                let found = self.client.predict_as_it_is(&self.id, inputs).await?;
                anyhow::Ok((index, found))
            }
        });
        let mut tiles = std::pin::pin!(tiles.buffered(self.client.max_in_flight()));
        while let Some((index, found)) = tiles.try_next().await? {
            let (plan, names) = (Arc::clone(&plan), self.outputs.clone());
            canvases = compute::run(move || paste(&plan, index, &names, found, canvases)).await?;
        }
        Ok(canvases)
    }

    /// Holds the model against the test that its package brings: nothing, if it brings none.
    ///
    /// # Errors
    ///
    /// Test tensors that cannot be read, and what [`Self::run`] fails with.
    pub async fn test(&self) -> anyhow::Result<Vec<Trial>> {
        let path = self.client.package(&self.id).await?;
        let description = Arc::clone(&self.description);
        let tensors = compute::run(move || test_tensors(&path, &description)).await?;
        let Some((input, expected)) = tensors else {
            return Ok(Vec::new());
        };
        let description = Arc::clone(&self.description);
        let image = compute::run(move || image_of(&description, input)).await?;
        let found = self.run(image).await?;
        let outputs = self.description.outputs.iter().zip(found).zip(expected);
        let trials = outputs.filter_map(|((output, (name, found)), expected)| {
            let tolerance = self
                .description
                .tolerances
                .of(WeightsFormat::Onnx, &output.id);
            let expected = squeezed(expected?);
            let found = match found {
                Described2D::Labels(labels) => labels.mapv(|label| label as f32).into_dyn(),
                Described2D::Values(values) => squeezed_as(values, output),
            };
            let comparison = Comparison::new(squeezed(found).view(), expected.view(), tolerance);
            Some(comparison.map(|comparison| Trial {
                output: name,
                comparison,
            }))
        });
        Ok(trials.collect::<Result<_, _>>()?)
    }
}

/// Names of the network's outputs in the order of the description: by name, or by place where no name is known.
fn outputs(description: &Description, found: Vec<String>) -> anyhow::Result<Vec<String>> {
    let wanted: Vec<_> = description
        .outputs
        .iter()
        .map(|output| output.id.clone())
        .collect();
    if wanted.iter().all(|name| found.contains(name)) {
        return Ok(wanted);
    }
    ensure!(
        wanted.len() == found.len(),
        "the network gives {}, and its package describes {}",
        found.join(", "),
        wanted.join(", ")
    );
    Ok(found)
}

/// Copies what a tile adds to the outputs.
fn paste(
    plan: &TilePlan,
    tile: usize,
    names: &[String],
    found: Vec<(String, ArrayD<f32>)>,
    mut canvases: Vec<Tensor>,
) -> anyhow::Result<Vec<Tensor>> {
    for (output, (name, canvas)) in names.iter().zip(&mut canvases).enumerate() {
        let answer = found.iter().find(|(found, _)| found == name);
        let (_, answer) = answer.with_context(|| format!("the network gave no `{name}`"))?;
        plan.paste(tile, output, answer.view(), canvas)?;
    }
    Ok(canvases)
}

/// Labels of an output `[row, column, channel]`, if its description makes some, or the output.
fn finished(output: &Output, image: Array3<f32>, size: [usize; 2]) -> anyhow::Result<Described2D> {
    Ok(match &output.labeling {
        None => Described2D::Values(image),
        Some(Labeling::StarDist(star)) => {
            let options = StarDist {
                probability_threshold: star.prob_threshold,
                overlap_threshold: star.nms_threshold,
                grid: star.grid,
                margin: star.border,
            };
            let (probabilities, distances) = image.view().split_at(Axis(2), 1);
            let heads = StarHeads {
                probabilities: probabilities.index_axis_move(Axis(2), 0),
                distances: distances.slice_axis_move(Axis(2), Slice::from(..star.rays)),
            };
            Described2D::Labels(options.segment(&heads, size)?.labels)
        }
        Some(Labeling::Cellpose(cellpose)) => {
            let options = Cellpose {
                cellprob_threshold: cellpose.cellprob_threshold,
                flow_threshold: cellpose.flow_threshold,
                min_size: cellpose.min_size,
                ..Cellpose::default()
            };
            Described2D::Labels(options.segment(image.view().permuted_axes([2, 0, 1]))?)
        }
    })
}

/// The test image of a package, and what has to come out; nothing where it brings no image.
#[expect(
    clippy::type_complexity,
    reason = "an image, and a tensor for each output"
)]
fn test_tensors(
    path: &Path,
    description: &Description,
) -> anyhow::Result<Option<(ArrayD<f32>, Vec<Option<ArrayD<f32>>>)>> {
    let mut package = Package::open(path)?;
    let Some(input) = &description.input.test_tensor else {
        return Ok(None);
    };
    let image = package.tensor(input)?;
    let outputs = description.outputs.iter().map(|output| {
        let file = output.test_tensor.as_ref();
        file.map(|file| package.tensor(file)).transpose()
    });
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    Ok(Some((image, outputs)))
}

/// A test tensor, in the network's order of axes, as an image `[row, column, channel]`.
fn image_of(description: &Description, tensor: ArrayD<f32>) -> anyhow::Result<Array3<f32>> {
    let axes = &description.input.axes;
    let place = |id: &str| axes.iter().position(|axis| axis.id == id);
    let (y, x) = (place("y"), place("x"));
    let (y, x) = y.zip(x).context("the input has no axes `y` and `x`")?;
    ensure!(
        tensor.ndim() == axes.len(),
        "the test tensor has {} axes, the input {}",
        tensor.ndim(),
        axes.len()
    );
    let mut order = vec![y, x];
    order.extend((0..axes.len()).filter(|axis| ![y, x].contains(axis)));
    let turned = tensor.permuted_axes(order);
    let (rows, columns) = (turned.shape()[0], turned.shape()[1]);
    let channels = description.input.channels();
    ensure!(
        turned.len() == rows * columns * channels,
        "the test tensor holds more than one image"
    );
    let turned = turned.as_standard_layout().into_owned();
    Ok(turned.into_shape_with_order((rows, columns, channels))?)
}

/// An array without axes of length 1: packages differ in whether they write them.
fn squeezed(array: ArrayD<f32>) -> ArrayD<f32> {
    let shape: Vec<_> = array
        .shape()
        .iter()
        .copied()
        .filter(|length| *length != 1)
        .collect();
    let array = array.as_standard_layout().into_owned();
    let copy = array.clone();
    array.into_shape_with_order(shape).unwrap_or(copy)
}

/// Values `[row, column, channel]` in the order of the output's axes.
fn squeezed_as(values: Array3<f32>, output: &Output) -> ArrayD<f32> {
    let place = |id: &str| output.axes.iter().position(|axis| axis.id == id);
    let (y, x) = (place("y").unwrap_or(0), place("x").unwrap_or(0));
    let channel = (0..output.axes.len()).find(|axis| {
        *axis != y && *axis != x && output.axes[*axis].kind == bioimage_model::AxisKind::Channel
    });
    let mut axes = vec![(y, 0), (x, 1)];
    axes.push((channel.unwrap_or(usize::MAX), 2));
    axes.sort_unstable();
    let order: Vec<_> = axes.into_iter().map(|(_, axis)| axis).collect();
    values.into_dyn().permuted_axes(order)
}
