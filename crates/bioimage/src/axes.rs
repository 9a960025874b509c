//! Names and places of axes: dimension orders, and the axes that a model expects.
//!
//! Border: arrays and shapes; where an order or a model's shape comes from is the caller's business.

use std::ops::Range;

use ndarray::{Array4, ArrayD, Axis, Ix3, Ix4};

use crate::header::Container;

/// The image as `[batch, row, column, channel]` in standard layout, from the order of its axes: `XY`, `BXY`, `CXY`, `XYB`,
/// `XYC`, `BXYC` or `CXYB`, where `X` are rows and `Y` columns.
///
/// `XYB` moves the last axis first, `CXY` the first axis last, `CXYB` swaps the two; any other order leaves the axes where
/// they are. An order without `B` then gains a batch axis in front, one without `C` a channel axis at the end.
///
/// ```
/// # use bioimage::to_bxyc;
/// # use ndarray::ArrayD;
/// let image = to_bxyc(ArrayD::zeros(vec![2, 50, 60]), "CXY")?;
/// assert_eq!(image.dim(), (1, 50, 60, 2));
/// # Ok::<(), bioimage::AxesError>(())
/// ```
///
/// # Errors
///
/// [`AxesError::Rank`] when the order names more or fewer axes than there are; [`AxesError::Order`] when the result would
/// not have four axes.
pub fn to_bxyc(image: ArrayD<f32>, order: &str) -> Result<Array4<f32>, AxesError> {
    if image.ndim() != order.chars().count() {
        return Err(AxesError::Rank {
            axes: image.ndim(),
            order: order.to_owned(),
        });
    }
    let last = image.ndim().saturating_sub(1);
    let mut image = match order {
        "XYB" => move_axis(image, last, 0),
        "CXY" => move_axis(image, 0, last),
        "CXYB" => swapped(image, 0, last),
        _ => image,
    };
    if !order.contains('B') {
        image = image.insert_axis(Axis(0));
    }
    if !order.contains('C') {
        let end = image.ndim();
        image = image.insert_axis(Axis(end));
    }
    image
        .into_dimensionality::<Ix4>()
        .map_err(|_| AxesError::Order {
            order: order.to_owned(),
        })
}

/// The image as `[batch, row, column, channel]` for a job that names no order: rows and columns are those that the file
/// names, else those of [`default_order`].
///
/// Of four axes with two in front of the rows or behind the columns, the one of channels or samples becomes the channels and
/// the other one the batch.
///
/// # Errors
///
/// [`AxesError::Ambiguous`] if there is no such axis, or both are, and as [`default_order`].
pub fn to_bxyc_by_file(
    image: ArrayD<f32>,
    container: &Container,
) -> Result<Array4<f32>, AxesError> {
    if let Container::Named(names) = container
        && let Some(rows @ (0 | 2)) = rows_of(container, image.ndim())
        && image.ndim() == 4
    {
        let (batch, channel) =
            batch_and_channel(names, rows).ok_or_else(|| AxesError::Ambiguous {
                shape: image.shape().to_vec(),
            })?;
        let image = image.permuted_axes(vec![batch, rows, rows + 1, channel]);
        return to_bxyc(contiguous(image), "BXYC");
    }
    let order = default_order(image.shape(), container)?;
    to_bxyc(image, order)
}

/// An image whose axes are where its file says.
#[derive(Debug)]
pub struct Placed {
    /// `[batch, row, column, channel]`.
    pub image: ArrayD<f32>,
    /// How one item of the batch was stored: `YXC` or `CYX`.
    pub stored: &'static str,
}

/// The image by the names that its file gives the axes, those of length 1 left out: rows, columns, and of the others the one
/// of channels or samples as the channels; an only other axis is taken for them, whatever its name.
///
/// # Errors
///
/// The image as it was, if the file does not name rows, columns and channels among three or four axes.
pub fn placed_by_names(image: ArrayD<f32>, container: &Container) -> Result<Placed, ArrayD<f32>> {
    let squeezed_names = squeezed(container, image.shape());
    let axes = image.shape().iter().filter(|&&size| size != 1).count();
    let (Container::Named(names), Some(rows)) = (&squeezed_names, rows_of(&squeezed_names, axes))
    else {
        return Err(image);
    };
    let channel = match axes {
        3 => Some((None, if rows == 0 { 2 } else { 0 })),
        4 => batch_and_channel(names, rows).map(|(batch, channel)| (Some(batch), channel)),
        _ => None,
    };
    let Some((batch, channel)) = channel else {
        return Err(image);
    };
    let order: Vec<usize> = batch.into_iter().chain([rows, rows + 1, channel]).collect();
    let placed = contiguous(squeeze(image).permuted_axes(order));
    let image = match batch {
        Some(_) => placed,
        None => placed.insert_axis(Axis(0)),
    };
    let stored = if channel < rows { "CYX" } else { "YXC" };
    Ok(Placed { image, stored })
}

/// Which of the two axes beside the rows and columns is the batch, and which the channels.
fn batch_and_channel(names: &str, rows: usize) -> Option<(usize, usize)> {
    let (first, second) = match rows {
        0 => (2, 3),
        1 => (0, 3),
        _ => (0, 1),
    };
    let is_channel = |axis: usize| matches!(names.as_bytes().get(axis), Some(b'C' | b'S'));
    match (is_channel(first), is_channel(second)) {
        (false, true) => Some((first, second)),
        (true, false) => Some((second, first)),
        _ => None,
    }
}

/// The dimension order of a job that names none.
///
/// Two axes are `XY`, three axes of a PNG, JPEG, BMP or GIF are `XYC`, four are `BXYC`. Of the three axes of a TIFF the
/// shortest, or the first of equally short ones, holds the channels: `CXY` or `XYC`. If the TIFF names its axes, rows and
/// columns are where it says.
///
/// # Errors
///
/// [`AxesError::Ambiguous`] for any other number of axes, when the shortest axis of a TIFF is the middle one, and when
/// the four axes that a TIFF names are in an order that has no name.
pub fn default_order(shape: &[usize], container: &Container) -> Result<&'static str, AxesError> {
    match (shape, container, rows_of(container, shape.len())) {
        ([_, _], ..) => Ok("XY"),
        ([_, _, _], _, Some(1)) => Ok("CXY"),
        ([_, _, _], Container::Other, _) | ([_, _, _], _, Some(0)) => Ok("XYC"),
        ([first, middle, last], _, None) if first <= middle && first <= last => Ok("CXY"),
        ([_, middle, last], _, None) if last < middle => Ok("XYC"),
        ([_, _, _, _], _, None | Some(1)) => Ok("BXYC"),
        _ => Err(AxesError::Ambiguous {
            shape: shape.to_vec(),
        }),
    }
}

/// The axis of the rows, if the file names it among so many and the columns behind it.
fn rows_of(container: &Container, axes: usize) -> Option<usize> {
    let Container::Named(names) = container else {
        return None;
    };
    let is_plausible =
        names.len() == axes && names.matches('Y').count() == 1 && names.matches('X').count() == 1;
    is_plausible.then(|| names.find("YX")).flatten()
}

/// What a model takes, and how large an image may be.
#[derive(Clone, Copy, Debug)]
pub struct ModelInput<'a> {
    /// The model's input shape, batch entry included, channels last; unknown sizes are negative.
    pub shape: &'a [i64],
    /// Channels of the image to hand over, in this order; `None` hands over all.
    pub channels: Option<&'a [usize]>,
    /// Largest width (last axis but one), inclusive.
    pub max_width: usize,
    /// Largest height (last axis but two), inclusive.
    pub max_height: usize,
}

impl ModelInput<'_> {
    /// Whether the model takes an image of this shape, channels last, and it is not too large.
    ///
    /// # Errors
    ///
    /// Checked in this order: another rank than the model's ([`AxesError::ModelRank`]), a channel count other than
    /// the model's ([`AxesError::ChannelCount`]), an image over the size limits ([`AxesError::TooLarge`]).
    pub fn check_shape(&self, shape: &[usize]) -> Result<(), AxesError> {
        let (&[.., height, width, channels], &[.., wanted]) = (shape, self.shape) else {
            return Err(self.wrong_rank(shape.len()));
        };
        if shape.len() != self.shape.len() {
            return Err(self.wrong_rank(shape.len()));
        }
        if i64::try_from(channels) != Ok(wanted) {
            return Err(AxesError::ChannelCount { channels, wanted });
        }
        if width > self.max_width || height > self.max_height {
            return Err(AxesError::TooLarge {
                width,
                height,
                max_width: self.max_width,
                max_height: self.max_height,
            });
        }
        Ok(())
    }

    fn wrong_rank(&self, axes: usize) -> AxesError {
        AxesError::ModelRank {
            axes,
            model_axes: self.shape.len(),
        }
    }
}

/// The image as a model takes it: channel axis last, channels selected.
///
/// The shortest axis behind the batch axis, or the first of equally short ones, is taken for the channels. If it is not the
/// last one, **axis 1** is moved to the end, whichever axis was found: results of the Python consumers were made that way.
///
/// # Errors
///
/// Checked in this order: another rank than the model's ([`AxesError::ModelRank`]), a channel that is not there
/// ([`AxesError::NoSuchChannel`]), a channel count other than the model's ([`AxesError::ChannelCount`]), an image over the
/// size limits ([`AxesError::TooLarge`]).
pub fn validate_model_input(
    image: ArrayD<f32>,
    model: &ModelInput<'_>,
) -> Result<ArrayD<f32>, AxesError> {
    let rank = model.shape.len();
    if image.ndim() != rank || rank < 3 {
        return Err(model.wrong_rank(image.ndim()));
    }
    let image = if channel_axis(image.shape()) == rank - 1 {
        image
    } else {
        move_axis(image, 1, rank - 1)
    };
    with_channels(image, model)
}

/// The image, channels last, with the channels that the model is to be given.
///
/// # Errors
///
/// As [`validate_model_input`].
pub fn with_channels(image: ArrayD<f32>, model: &ModelInput<'_>) -> Result<ArrayD<f32>, AxesError> {
    if image.ndim() != model.shape.len() {
        return Err(model.wrong_rank(image.ndim()));
    }
    let image = select_channels(image, model.channels)?;
    model.check_shape(image.shape())?;
    Ok(image)
}

/// The image as a batch of single-channel images for spot detection, `[batch, row, column, 1]`.
///
/// Axes of length 1 are dropped first. Two axes are one image; of three, the batch axis is the one that the file names
/// neither rows nor columns, else the last if it is shorter than the middle one, else the first.
///
/// # Errors
///
/// [`AxesError::SpotRank`] for any other number of axes.
pub fn spot_batch(image: ArrayD<f32>, container: &Container) -> Result<Array4<f32>, AxesError> {
    let container = squeezed(container, image.shape());
    let image = squeeze(image);
    let rows = rows_of(&container, image.ndim());
    let shape = image.shape().to_vec();
    let batch = match (shape.as_slice(), rows) {
        ([_, _], _) => image.insert_axis(Axis(0)),
        ([_, _, _], Some(0)) => move_axis(image, 2, 0),
        ([_, middle, last], None) if last < middle => move_axis(image, 2, 0),
        _ => image,
    };
    let batch = batch
        .into_dimensionality::<Ix3>()
        .map_err(|_| AxesError::SpotRank { shape })?;
    Ok(batch.insert_axis(Axis(3)))
}

/// The order in which an image, batch axis first, seems to be stored, for a model of `model_rank` axes: `YXC` or `CYX`, with
/// `Z` in front of `Y` for rank 5.
///
/// Channels are the shortest axis behind the batch axis, or the first of equally short ones. The image's rank need not be
/// the model's.
#[must_use]
pub fn detect_dimension_order(image_shape: &[usize], model_rank: usize) -> String {
    let spatial = &"ZYX"[3 - model_rank.saturating_sub(2).min(3)..];
    if channel_axis(image_shape) + 1 == model_rank {
        format!("{spatial}C")
    } else {
        format!("C{spatial}")
    }
}

/// Why an image does not fit its dimension order or its model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AxesError {
    /// The order names more or fewer axes than the image has.
    #[error("image has {axes} axes but dimension order `{order}` names {}", .order.chars().count())]
    Rank {
        /// Axes of the image.
        axes: usize,
        /// The job's order.
        order: String,
    },

    /// The order does not lead to batch, rows, columns and channels.
    #[error("dimension order `{order}` is not one of XY, BXY, CXY, XYB, XYC, BXYC, CXYB")]
    Order {
        /// The job's order.
        order: String,
    },

    /// No order was named, and the shape is ambiguous.
    #[error("cannot tell the axes of an image of shape {shape:?}: set the dimension order")]
    Ambiguous {
        /// Shape of the image.
        shape: Vec<usize>,
    },

    /// An image of spots has neither two axes nor three.
    #[error(
        "Image with {} shape was uploaded, but Polaris only supports multi-batch or multi-channel images.", tuple(.shape)
    )]
    SpotRank {
        /// Shape of the image, axes of length 1 left out.
        shape: Vec<usize>,
    },

    /// The model takes another number of axes.
    #[error("image has {axes} axes, batch included, but the model takes {model_axes}")]
    ModelRank {
        /// Axes of the image.
        axes: usize,
        /// Axes of the model's input.
        model_axes: usize,
    },

    /// A selected channel is not in the image.
    #[error("channel {channel} was selected but the image has {channels} (counted from 0)")]
    NoSuchChannel {
        /// The selected channel, from 0.
        channel: usize,
        /// Channels of the image.
        channels: usize,
    },

    /// The model takes another number of channels.
    #[error("image has {channels} channels but the model takes {wanted}")]
    ChannelCount {
        /// Channels handed over.
        channels: usize,
        /// Channels of the model.
        wanted: i64,
    },

    /// The image is wider or higher than allowed.
    #[error("image is {width} wide and {height} high, allowed are {max_width} and {max_height}")]
    TooLarge {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Allowed columns.
        max_width: usize,
        /// Allowed rows.
        max_height: usize,
    },
}

/// A shape as Python writes it: `(3, 4)`, `(3,)`.
pub(crate) fn tuple(shape: &[usize]) -> String {
    match shape {
        [only] => format!("({only},)"),
        _ => format!(
            "({})",
            shape
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// The image without its axes of length 1, as `NumPy`'s `squeeze`.
#[must_use]
pub fn squeeze(image: ArrayD<f32>) -> ArrayD<f32> {
    let singles: Vec<usize> = (0..image.ndim())
        .rev()
        .filter(|&axis| image.shape()[axis] == 1)
        .collect();
    singles
        .into_iter()
        .fold(image, |image, axis| image.index_axis_move(Axis(axis), 0))
}

/// The names of the axes that [`squeeze`] leaves.
fn squeezed(container: &Container, shape: &[usize]) -> Container {
    match container {
        Container::Named(names) => {
            let axes = names.chars().zip(shape).filter(|&(_, &size)| size != 1);
            Container::Named(axes.map(|(name, _)| name).collect())
        }
        other => other.clone(),
    }
}

/// The axis `from` taken out and put in at `to`, the others in their order.
fn move_axis(image: ArrayD<f32>, from: usize, to: usize) -> ArrayD<f32> {
    let mut order: Vec<usize> = (0..image.ndim()).filter(|&axis| axis != from).collect();
    order.insert(to, from);
    let Some(values) = image.as_slice() else {
        return contiguous(image.permuted_axes(order));
    };
    // The axis changes places with those that it passes, which count as one.
    let last = from.max(to);
    let length = |axes: Range<usize>| image.shape()[axes].iter().product::<usize>();
    let (rows, columns) = if from < to {
        (length(from..from + 1), length(from + 1..to + 1))
    } else {
        (length(to..from), length(from..from + 1))
    };
    let moved = transposed(values, [rows, columns], length(last + 1..image.ndim()));
    let shape: Vec<_> = order.iter().map(|&axis| image.shape()[axis]).collect();
    ArrayD::from_shape_vec(shape, moved).expect("as many values as before")
}

/// Blocks `[row, column, value]` as `[column, row, value]`, one after the other. As the iterator of an array goes from value to
/// value, it takes some ten times as long.
fn transposed(values: &[f32], [rows, columns]: [usize; 2], length: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    let block = rows * columns * length;
    if block == 0 {
        return out;
    }
    let blocks = values.chunks_exact(block).zip(out.chunks_exact_mut(block));
    for (values, out) in blocks {
        for (row, values) in values.chunks_exact(columns * length).enumerate() {
            if length == 1 {
                let places = out[row..].iter_mut().step_by(rows);
                places.zip(values).for_each(|(to, value)| *to = *value);
                continue;
            }
            let places = out.chunks_exact_mut(length).skip(row).step_by(rows);
            let columns = values.chunks_exact(length);
            places
                .zip(columns)
                .for_each(|(to, values)| to.copy_from_slice(values));
        }
    }
    out
}

fn swapped(mut image: ArrayD<f32>, a: usize, b: usize) -> ArrayD<f32> {
    image.swap_axes(a, b);
    contiguous(image)
}

/// The shortest axis behind the batch axis, the first of equals.
fn channel_axis(shape: &[usize]) -> usize {
    (1..shape.len())
        .min_by_key(|&axis| shape[axis])
        .unwrap_or(0)
}

fn select_channels(
    image: ArrayD<f32>,
    channels: Option<&[usize]>,
) -> Result<ArrayD<f32>, AxesError> {
    let Some(selected) = channels else {
        return Ok(image);
    };
    let axis = Axis(image.ndim() - 1);
    let channels = image.len_of(axis);
    if let Some(&channel) = selected.iter().find(|&&channel| channel >= channels) {
        return Err(AxesError::NoSuchChannel { channel, channels });
    }
    if selected.iter().copied().eq(0..channels) {
        return Ok(image);
    }
    Ok(contiguous(image.select(axis, selected)))
}

/// The same array in standard layout, copied only where it is not in it yet.
fn contiguous(mut image: ArrayD<f32>) -> ArrayD<f32> {
    if image.is_standard_layout() {
        return image;
    }
    if image.ndim() > 4 {
        return image.as_standard_layout().into_owned();
    }
    // Iterators of four axes are several times as fast as those of any number.
    let shape = image.shape().to_vec();
    while image.ndim() < 4 {
        image.insert_axis_inplace(Axis(0));
    }
    let image = image.into_dimensionality::<Ix4>().expect("four axes");
    let values = image.as_standard_layout().into_owned();
    let same = values.into_shape_with_order(shape);
    same.expect("as many values as before").into_dyn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counting(shape: &[usize]) -> ArrayD<f32> {
        let count = shape.iter().product::<usize>();
        ArrayD::from_shape_vec(shape, (0..count).map(|value| value as f32).collect())
            .expect("count matches")
    }

    #[test]
    fn the_message_names_the_order_and_both_ranks() {
        let error = to_bxyc(counting(&[4, 5]), "BXYC").expect_err("two axes are not four");
        assert_eq!(
            error.to_string(),
            "image has 2 axes but dimension order `BXYC` names 4"
        );
    }

    proptest! {
        #[test]
        fn axes_are_moved_as_views_move_them(
            shape in proptest::collection::vec(0_usize..5, 1..6), from in 0_usize..6, to in 0_usize..6,
        ) {
            let image = counting(&shape);
            let (from, to) = (from % shape.len(), to % shape.len());
            let mut order: Vec<_> = (0..shape.len()).filter(|axis| *axis != from).collect();
            order.insert(to, from);
            let view = image.view().permuted_axes(order.clone());
            let moved = move_axis(image.clone(), from, to);
            prop_assert!(moved.is_standard_layout());
            prop_assert_eq!(&moved, &view);
            prop_assert_eq!(contiguous(image.clone().permuted_axes(order)), view);
        }
    }

    #[test]
    fn an_order_without_rows_and_columns_is_refused() {
        assert!(matches!(
            to_bxyc(counting(&[4]), "X"),
            Err(AxesError::Order { .. })
        ));
        assert!(matches!(
            to_bxyc(counting(&[]), ""),
            Err(AxesError::Order { .. })
        ));
        assert!(matches!(
            to_bxyc(counting(&[1, 2, 3, 4]), "TZXY"),
            Err(AxesError::Order { .. })
        ));
    }

    #[test]
    fn a_tiff_without_an_order_has_its_channels_on_the_smallest_axis() {
        assert_eq!(default_order(&[2, 50, 60], &Container::Tiff), Ok("CXY"));
        assert_eq!(default_order(&[50, 60, 3], &Container::Tiff), Ok("XYC"));
        assert_eq!(default_order(&[1, 1, 1], &Container::Tiff), Ok("CXY"));
        assert_eq!(default_order(&[2, 50, 60], &Container::Other), Ok("XYC"));
        assert!(default_order(&[50, 3, 60], &Container::Tiff).is_err());
        assert!(default_order(&[50], &Container::Other).is_err());
    }

    fn named(shape: &[usize], names: &str) -> Result<(usize, usize, usize, usize), AxesError> {
        let container = Container::Named(names.to_owned());
        to_bxyc_by_file(counting(shape), &container).map(|image| image.dim())
    }

    #[test]
    fn rows_and_columns_are_those_that_the_file_names() {
        assert_eq!(named(&[3, 2, 60, 50], "TCYX"), Ok((3, 60, 50, 2)));
        assert_eq!(named(&[3, 2, 60, 50], "CTYX"), Ok((2, 60, 50, 3)));
        assert_eq!(named(&[3, 60, 50, 2], "TYXS"), Ok((3, 60, 50, 2)));
        assert_eq!(named(&[60, 50, 7, 2], "YXZC"), Ok((7, 60, 50, 2)));
        assert_eq!(named(&[140, 60, 50], "ZYX"), Ok((1, 60, 50, 140)));
        assert_eq!(named(&[60, 50, 140], "YXS"), Ok((1, 60, 50, 140)));
        assert_eq!(named(&[60, 50], "YX"), Ok((1, 60, 50, 1)));
    }

    #[test]
    fn values_follow_their_axes() {
        let image = counting(&[3, 2, 5, 4]);
        let container = Container::Named("TCYX".to_owned());
        let bxyc = to_bxyc_by_file(image.clone(), &container).expect("axes are named");
        for ((t, y, x, c), &value) in bxyc.indexed_iter() {
            assert_eq!(value, image[[t, c, y, x]]);
        }
    }

    #[test]
    fn two_axes_that_are_no_channels_cannot_be_told_apart() {
        for names in ["TZYX", "QQYX", "CSYX"] {
            let error = named(&[3, 2, 60, 50], names).expect_err("which is the batch?");
            assert!(matches!(error, AxesError::Ambiguous { .. }), "{error}");
        }
        assert!(named(&[2, 3, 2, 60, 50], "TZCYX").is_err());
    }

    #[test]
    fn names_that_say_nothing_are_as_no_names() {
        assert_eq!(named(&[3, 60, 50, 2], "QQQQ"), Ok((3, 60, 50, 2)));
        assert_eq!(named(&[3, 60, 50, 2], "YX"), Ok((3, 60, 50, 2)));
        assert_eq!(named(&[2, 60, 50], "CXY"), Ok((1, 60, 50, 2)));
    }

    #[test]
    fn spots_are_looked_for_in_the_planes_that_the_file_names() {
        let shape = |container| spot_batch(counting(&[2, 1, 60, 50]), &container).map(|b| b.dim());
        assert_eq!(shape(Container::Tiff), Ok((50, 2, 60, 1)));
        let named = Container::Named("ZCYX".to_owned());
        assert_eq!(shape(named), Ok((2, 60, 50, 1)));
    }

    #[test]
    fn tissue_has_its_channels_where_the_file_says() {
        let placed = |shape: &[usize], names: &str| {
            let container = Container::Named(names.to_owned());
            let placed = placed_by_names(counting(shape), &container);
            placed.map(|placed| (placed.image.shape().to_vec(), placed.stored))
        };
        // More channels than rows or columns: by their lengths, the rows or columns would be taken for channels.
        let many = [
            placed(&[29, 60, 20], "CYX").ok(),
            placed(&[60, 20, 29], "YXC").ok(),
            placed(&[1, 29, 60, 20], "TCYX").ok(),
        ];
        let many_channels = |stored| Some((vec![1, 60, 20, 29], stored));
        assert_eq!(many, ["CYX", "YXC", "CYX"].map(many_channels));
        let frames = |stored| Some((vec![3, 60, 50, 2], stored));
        assert_eq!(placed(&[3, 2, 60, 50], "TCYX").ok(), frames("CYX"));
        assert_eq!(placed(&[3, 60, 50, 2], "TYXS").ok(), frames("YXC"));
        assert_eq!(placed(&[2, 60, 50, 3], "CYXT").ok(), frames("CYX"));
        for (shape, names) in [
            (&[3, 2, 60, 50][..], "TZYX"),
            (&[2, 60, 50], "QQQ"),
            (&[60, 50], "YX"),
            (&[2, 3, 2, 60, 50], "TZCYX"),
        ] {
            let image = placed(shape, names).expect_err("nobody says which are the channels");
            assert_eq!(image.shape(), shape);
        }
        assert!(placed_by_names(counting(&[2, 60, 50]), &Container::Tiff).is_err());
        let image = counting(&[3, 2, 5, 4]);
        let container = Container::Named("TCYX".to_owned());
        let placed = placed_by_names(image.clone(), &container).expect("axes are named");
        for (place, &value) in placed.image.indexed_iter() {
            assert_eq!(value, image[[place[0], place[3], place[1], place[2]]]);
        }
    }

    #[test]
    fn a_model_of_two_axes_is_refused_and_does_not_panic() {
        let model = ModelInput {
            shape: &[-1, 1],
            channels: None,
            max_width: 9,
            max_height: 9,
        };
        assert!(validate_model_input(counting(&[1, 1]), &model).is_err());
    }

    proptest! {
        #[test]
        fn every_order_puts_each_value_where_its_letters_say(
            order in prop::sample::select(vec!["XY", "BXY", "CXY", "XYB", "XYC", "BXYC", "CXYB"]),
            sizes in prop::array::uniform4(1_usize..5),
        ) {
            let size = |letter| match letter { 'B' => sizes[0], 'X' => sizes[1], 'Y' => sizes[2], _ => sizes[3] };
            let shape: Vec<usize> = order.chars().map(size).collect();
            let image = counting(&shape);
            let bxyc = to_bxyc(image.clone(), order).expect("rank fits");
            prop_assert_eq!(bxyc.len(), image.len());
            for ((b, x, y, c), &value) in bxyc.indexed_iter() {
                let place = |letter| match letter { 'B' => b, 'X' => x, 'Y' => y, _ => c };
                let index: Vec<usize> = order.chars().map(place).collect();
                prop_assert_eq!(image[index.as_slice()], value);
            }
        }
    }
}
