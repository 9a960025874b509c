//! What a description says of the input and the outputs of a network.

use crate::axis::{Axis, AxisKind, Size, read_axes};
use crate::chain::{read_postprocessing, read_preprocessing};
use crate::dtype::Dtype;
use crate::file_ref::FileRef;
use crate::kwargs::Around;
use crate::labels::Labeling;
use crate::operation::Operation;
use crate::reader::{Reader, Spot, or};

/// The input of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name in the description, which need not be the network's.
    pub id: String,
    /// Its axes, in the network's order.
    pub axes: Vec<Axis>,
    /// The type of an image's values.
    pub dtype: Dtype,
    /// What is done with an image, in this order. The first and the last one cast.
    pub preprocessing: Vec<Operation>,
    /// What lies outside an image.
    pub padding: Padding,
    /// An image for a test, as `.npy`.
    pub test_tensor: Option<FileRef>,
    /// An image to look at.
    pub sample_tensor: Option<FileRef>,
}

/// An output of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name in the description, which need not be the network's.
    pub id: String,
    /// Its axes, in the network's order. Where labels are made, sizes are theirs; see [`Output::channels`].
    pub axes: Vec<Axis>,
    /// The type of its values behind all processing.
    pub dtype: Dtype,
    /// What is done with the network's output, in this order.
    pub postprocessing: Vec<Operation>,
    /// What makes labels of it then.
    pub labeling: Option<Labeling>,
    /// What must come out for the test image, as `.npy`.
    pub test_tensor: Option<FileRef>,
    /// A result to look at.
    pub sample_tensor: Option<FileRef>,
}

/// What lies outside an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// Its mirror image, the edge pixel repeated. What is used where a description says nothing.
    Symmetric,
    /// Its mirror image, the edge pixel not repeated.
    Reflect,
    /// The edge pixel.
    Edge,
    /// One value.
    Constant(f64),
}

impl Input {
    /// Channels of an image; 1 without a channel axis.
    #[must_use]
    pub fn channels(&self) -> usize {
        described_channels(&self.axes)
    }

    pub(crate) fn read(reader: &mut Reader, spot: &Spot<'_>) -> Option<Self> {
        if let Some(other) = spot.get("output_of") {
            return reader.refuse(
                &other,
                "an input that is another model's output is not supported",
            );
        }
        let id = or(spot.get("id"), "input".to_owned(), |id| reader.text(id));
        let dtype = read_dtype(reader, spot);
        let padding = or(spot.get("pad"), Padding::Symmetric, |pad| {
            read_padding(reader, pad)
        });
        let tensors = read_tensors(reader, spot);
        let axes = reader
            .need(spot, "axes")
            .and_then(|axes| read_axes(reader, &axes));
        let (id, axes, dtype) = (id?, axes?, dtype?);
        let around = Around {
            is_preprocessing: true,
            axes: &axes,
            input: &id,
            input_axes: &axes,
        };
        let preprocessing = read_preprocessing(reader, spot.get("preprocessing"), around, dtype);
        let [test_tensor, sample_tensor] = tensors?;
        Some(Self {
            preprocessing: preprocessing?,
            padding: padding?,
            id,
            axes,
            dtype,
            test_tensor,
            sample_tensor,
        })
    }
}

impl Output {
    /// Channels of the network's output, before labels are made of it; 1 without a channel axis.
    #[must_use]
    pub fn channels(&self) -> usize {
        match &self.labeling {
            Some(labeling) => labeling.channels(),
            None => described_channels(&self.axes),
        }
    }

    /// Pixels of the described output for each pixel of the network's, along y and x.
    #[must_use]
    pub fn grid(&self) -> [usize; 2] {
        self.labeling.as_ref().map_or([1, 1], Labeling::grid)
    }

    pub(crate) fn read(reader: &mut Reader, spot: &Spot<'_>, input: &Input) -> Option<Self> {
        let id = or(spot.get("id"), "output".to_owned(), |id| reader.text(id));
        let dtype = read_dtype(reader, spot);
        let tensors = read_tensors(reader, spot);
        let axes = reader
            .need(spot, "axes")
            .and_then(|axes| read_axes(reader, &axes));
        let (id, axes, dtype) = (id?, axes?, dtype?);
        let around = Around {
            is_preprocessing: false,
            axes: &axes,
            input: &input.id,
            input_axes: &input.axes,
        };
        let chain = read_postprocessing(reader, spot.get("postprocessing"), around, dtype)?;
        let [test_tensor, sample_tensor] = tensors?;
        Some(Self {
            dtype: chain.label_dtype.unwrap_or(dtype),
            postprocessing: chain.operations,
            labeling: chain.labeling,
            id,
            axes,
            test_tensor,
            sample_tensor,
        })
    }
}

fn described_channels(axes: &[Axis]) -> usize {
    let axis = axes.iter().find(|axis| axis.kind == AxisKind::Channel);
    match axis.map(|axis| &axis.size) {
        Some(Size::Fixed(channels)) => *channels,
        _ => 1,
    }
}

/// Test tensor and sample tensor.
fn read_tensors(reader: &mut Reader, spot: &Spot<'_>) -> Option<[Option<FileRef>; 2]> {
    let [test, sample] = ["test_tensor", "sample_tensor"].map(|name| {
        or(spot.get(name), None, |file| {
            FileRef::read(reader, file).map(Some)
        })
    });
    Some([test?, sample?])
}

/// `data.type`, of the first channel if they are described apart.
fn read_dtype(reader: &mut Reader, spot: &Spot<'_>) -> Option<Dtype> {
    let Some(mut data) = spot.get("data") else {
        return Some(Dtype::Float32);
    };
    if data.is_list() {
        let Some(first) = reader.list(&data)?.into_iter().next() else {
            return reader.refuse(&data, "expected a description of each channel");
        };
        data = first;
    }
    let is_nominal = data.get("values").is_some();
    let default = if is_nominal {
        Dtype::Uint8
    } else {
        Dtype::Float32
    };
    or(data.get("type"), default, |name| {
        reader.word(name, &Dtype::WORDS)
    })
}

fn read_padding(reader: &mut Reader, spot: &Spot<'_>) -> Option<Padding> {
    let value = or(spot.get("value"), 0.0, |value| reader.number(value));
    let words = [
        ("constant", Padding::Constant(value?)),
        ("edge", Padding::Edge),
        ("reflect", Padding::Reflect),
        ("symmetric", Padding::Symmetric),
    ];
    let mode = reader.need(spot, "mode")?;
    reader.word(&mode, &words)
}
