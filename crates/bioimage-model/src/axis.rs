//! The axes of a tensor.

use crate::problem::shown;
use crate::reader::{Reader, Spot, or};

/// An axis of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its name: `batch`, `y` and `x`; channel axes may have any.
    pub id: String,
    /// What it counts.
    pub kind: AxisKind,
    /// How long it may be.
    pub size: Size,
    /// Distance of two pixels, in `unit`, or relative to other axes of the same unit. 1 if it is not a space axis.
    pub scale: f64,
    /// Unit of `scale`.
    pub unit: Option<String>,
    /// Pixels to crop off both ends of an output, in its own pixels.
    pub halo: usize,
    /// Whether an image may be longer than the network's input, and be cut along this axis. The reference cuts whatever it says,
    /// and so does [`TilePlan`](crate::TilePlan).
    pub concatenable: bool,
    /// The names of its channels, as many as it is long; empty if it is not a channel axis.
    pub channel_names: Vec<String>,
}

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisKind {
    /// Images that the network takes at once.
    Batch,
    /// Channels.
    Channel,
    /// Pixels.
    Space,
}

/// How long an axis may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    /// As long as one likes: batches.
    Any,
    /// One length.
    Fixed(usize),
    /// `min + k · step` for every whole k from 0.
    Steps {
        /// The shortest.
        min: usize,
        /// From one length to the next.
        step: usize,
    },
    /// As another axis: its length × its scale / the scale here, rounded down, + offset.
    Like {
        /// Whose axis.
        tensor_id: String,
        /// Which axis.
        axis_id: String,
        /// Pixels more, or less if negative.
        offset: i64,
    },
}

/// The axes of one tensor: `y`, `x`, and at most one each for batches and channels, in any order.
pub(crate) fn read_axes(reader: &mut Reader, spot: &Spot<'_>) -> Option<Vec<Axis>> {
    let axes = reader.each(spot, read_axis)?;
    let mut are_good = true;
    for id in ["y", "x"] {
        if !axes
            .iter()
            .any(|axis| axis.id == id && axis.kind == AxisKind::Space)
        {
            let message =
                format!("no space axis `{id}`: only images, with the axes y and x, are supported");
            are_good = reader.refuse::<()>(spot, message).is_some();
        }
    }
    for (index, axis) in axes.iter().enumerate() {
        let is_again = |other: &&Axis| {
            other.id == axis.id || (other.kind == axis.kind && axis.kind != AxisKind::Space)
        };
        if let Some(other) = axes[..index].iter().find(is_again) {
            let message = format!(
                "axis `{}` is there beside `{}`: one of them is allowed",
                shown(&axis.id),
                shown(&other.id)
            );
            are_good = reader.refuse::<()>(spot, message).is_some();
        }
    }
    are_good.then_some(axes)
}

fn read_axis(reader: &mut Reader, spot: &Spot<'_>) -> Option<Axis> {
    let kind = reader.need(spot, "type")?;
    let name = reader.text(&kind)?;
    match name.as_str() {
        "batch" => read_batch(reader, spot),
        "channel" => read_channels(reader, spot),
        "space" => read_space(reader, spot),
        "time" | "index" => reader.refuse(
            &kind,
            format!("an axis of type `{name}` is not supported: only batch, channel, and the space axes y and x are"),
        ),
        _ => {
            let name = shown(&name);
            reader.refuse(&kind, format!("`{name}` is none of batch, channel, index, time, space"))
        }
    }
}

/// The name of an axis, short names written out.
pub(crate) fn axis_id(reader: &mut Reader, spot: &Spot<'_>) -> Option<String> {
    let id = reader.text(spot)?;
    let long = match id.as_str() {
        "b" => "batch",
        "c" => "channel",
        "i" => "index",
        "t" => "time",
        _ => return Some(id),
    };
    Some(long.to_owned())
}

fn id_or(reader: &mut Reader, spot: &Spot<'_>, default: &str) -> Option<String> {
    or(spot.get("id"), default.to_owned(), |id| axis_id(reader, id))
}

fn read_batch(reader: &mut Reader, spot: &Spot<'_>) -> Option<Axis> {
    let id = id_or(reader, spot, "batch")?;
    if id != "batch" {
        return reader.refuse(spot, "the batch axis has to be called `batch`");
    }
    let size = or(spot.get("size"), Size::Any, |size| {
        match reader.count(size)? {
            1 => Some(Size::Fixed(1)),
            other => reader.refuse(size, format!("a batch of {other}: expected 1, or no size")),
        }
    })?;
    Some(plain(id, AxisKind::Batch, size))
}

fn read_channels(reader: &mut Reader, spot: &Spot<'_>) -> Option<Axis> {
    let id = id_or(reader, spot, "channel")?;
    let names = reader.need(spot, "channel_names")?;
    let channel_names = reader.each(&names, Reader::scalar)?;
    if channel_names.is_empty() {
        return reader.refuse(&names, "there has to be a name for each channel");
    }
    let size = Size::Fixed(channel_names.len());
    Some(Axis {
        channel_names,
        ..plain(id, AxisKind::Channel, size)
    })
}

fn read_space(reader: &mut Reader, spot: &Spot<'_>) -> Option<Axis> {
    let id = id_or(reader, spot, "x")?;
    match id.as_str() {
        "y" | "x" => {}
        "z" => return reader.refuse(spot, "3-D models are not supported: only y and x are"),
        _ => {
            let id = shown(&id);
            return reader.refuse(
                spot,
                format!("a space axis `{id}` is not supported: only y and x are"),
            );
        }
    }
    let size = reader
        .need(spot, "size")
        .and_then(|size| read_size(reader, &size));
    let scale = or(spot.get("scale"), 1.0, |scale| reader.positive(scale));
    let unit = or(spot.get("unit"), None, |unit| reader.text(unit).map(Some));
    let halo = or(spot.get("halo"), 0, |halo| reader.count(halo));
    let concatenable = or(spot.get("concatenable"), false, |spot| reader.truth(spot));
    Some(Axis {
        scale: scale?,
        unit: unit?,
        halo: halo?,
        concatenable: concatenable?,
        ..plain(id, AxisKind::Space, size?)
    })
}

fn plain(id: String, kind: AxisKind, size: Size) -> Axis {
    Axis {
        id,
        kind,
        size,
        scale: 1.0,
        unit: None,
        halo: 0,
        concatenable: kind == AxisKind::Batch,
        channel_names: Vec::new(),
    }
}

fn read_size(reader: &mut Reader, spot: &Spot<'_>) -> Option<Size> {
    if spot.is_number() {
        return reader.size(spot).map(Size::Fixed);
    }
    if spot.get("tensor_id").is_some() || spot.get("axis_id").is_some() {
        return read_reference(reader, spot);
    }
    if spot.is_map() && spot.get("step").is_none() {
        return reader.refuse(
            spot,
            "a size that is known only after the network has run is not supported: expected a number, min and step, or tensor_id and axis_id",
        );
    }
    let min = reader.need(spot, "min").and_then(|min| reader.size(&min));
    let step = reader
        .need(spot, "step")
        .and_then(|step| reader.size(&step));
    Some(Size::Steps {
        min: min?,
        step: step?,
    })
}

fn read_reference(reader: &mut Reader, spot: &Spot<'_>) -> Option<Size> {
    let tensor_id = reader
        .need(spot, "tensor_id")
        .and_then(|id| reader.text(&id));
    let axis_id = reader
        .need(spot, "axis_id")
        .and_then(|id| axis_id(reader, &id));
    let offset = or(spot.get("offset"), 0, |offset| reader.shift(offset));
    Some(Size::Like {
        tensor_id: tensor_id?,
        axis_id: axis_id?,
        offset: offset?,
    })
}
