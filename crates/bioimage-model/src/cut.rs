//! Copies tiles out of an image, and what counts of outputs into the whole.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice};

use crate::error::TensorError;
use crate::geometry::SIDES;
use crate::layout::{fits, ids, one, same_length};
use crate::tensor::Tensor;
use crate::tensor_description::{Output, Padding};
use crate::tile_plan::{TilePlan, shape};

impl TilePlan {
    /// A tile of an image, as the network takes it: a batch of one where there are batches.
    ///
    /// # Errors
    ///
    /// [`TensorError::NoTile`]; [`TensorError::Axes`] or [`TensorError::Length`] if it is not such an image as was planned for.
    pub fn cut(&self, image: &Tensor, index: usize) -> Result<Tensor, TensorError> {
        let tile = self.tile(index).ok_or(TensorError::NoTile(index))?;
        self.is_planned(image)?;
        let outside = match self.input.padding {
            Padding::Constant(value) => value as f32,
            _ => 0.0,
        };
        let mut cut = ArrayD::from_elem(IxDyn(&self.input_shape()), outside);
        let [rows, columns] = [0, 1].map(|side| {
            let planned = &self.sides[side];
            let places = tile.origin[side]..tile.origin[side] + planned.tile as i64;
            runs(places.map(|place| self.input.padding.source(place, planned.length)))
        });
        let [y, x] = [axis_of(image, SIDES[0])?, axis_of(image, SIDES[1])?];
        for down in &rows {
            for across in &columns {
                let mut to = cut.view_mut();
                to.slice_axis_inplace(y, down.to());
                to.slice_axis_inplace(x, across.to());
                let mut from = image.values();
                from.slice_axis_inplace(y, down.from());
                from.slice_axis_inplace(x, across.from());
                copy(from, to);
            }
        }
        Tensor::new(image.axes().to_vec(), cut)
    }

    fn is_planned(&self, image: &Tensor) -> Result<(), TensorError> {
        fits(&self.input.axes, self.input.channels(), image)?;
        if let Some(batch) = image.length("batch") {
            one("batch", batch)?;
        }
        for (side, planned) in SIDES.into_iter().zip(&self.sides) {
            same_length(side, image.length(side).unwrap_or(0), planned.length)?;
        }
        Ok(())
    }

    /// Zeros in the shape of an output for the whole image, in its order of axes.
    ///
    /// # Errors
    ///
    /// [`TensorError::NoOutput`].
    pub fn canvas(&self, output: usize) -> Result<Tensor, TensorError> {
        let described = self.outputs.get(output);
        let described = described.ok_or(TensorError::NoOutput(output))?;
        let shape = IxDyn(&self.canvas_shape(described, output));
        Tensor::new(ids(&described.axes), ArrayD::zeros(shape))
    }

    fn canvas_shape(&self, described: &Output, output: usize) -> Vec<usize> {
        let lengths = self.sides.each_ref().map(|side| side.output_length(output));
        shape(&described.axes, described.channels(), lengths)
    }

    /// Copies what counts of the network's output for a tile, in its order of axes, into [`TilePlan::canvas`].
    ///
    /// # Errors
    ///
    /// [`TensorError::NoTile`] or [`TensorError::NoOutput`]; [`TensorError::Shape`] if the network's output or the canvas has
    /// another shape than was planned for.
    pub fn paste(
        &self,
        tile: usize,
        output: usize,
        found: ArrayViewD<'_, f32>,
        canvas: &mut Tensor,
    ) -> Result<(), TensorError> {
        let planned = self.tile(tile).ok_or(TensorError::NoTile(tile))?;
        let described = self.outputs.get(output);
        let (Some(described), Some(part)) = (described, planned.parts.get(output)) else {
            return Err(TensorError::NoOutput(output));
        };
        same_shape(
            found.shape(),
            &self.output_shape(output).unwrap_or_default(),
        )?;
        same_shape(canvas.values.shape(), &self.canvas_shape(described, output))?;
        let (mut from, mut to) = (found, canvas.values.view_mut());
        for (side, id) in SIDES.into_iter().enumerate() {
            let place = described.axes.iter().position(|axis| axis.id == id);
            let axis = Axis(place.ok_or(TensorError::NoOutput(output))?);
            from.slice_axis_inplace(axis, Slice::from(part.from[side].clone()));
            to.slice_axis_inplace(axis, Slice::from(part.to[side].clone()));
        }
        copy(from, to);
        Ok(())
    }
}

/// Copies values; lanes of a few channels are no good to go along.
fn copy(mut from: ArrayViewD<'_, f32>, mut to: ArrayViewMutD<'_, f32>) {
    let last = to.ndim() - 1;
    let longest = (0..last).max_by_key(|&axis| to.shape()[axis]);
    if let Some(longest) = longest.filter(|_| to.shape()[last] < 8) {
        from.swap_axes(longest, last);
        to.swap_axes(longest, last);
    }
    to.assign(&from);
}

/// Places of a tile, one behind the other, that show pixels of the image one behind the other.
struct Run {
    place: usize,
    /// The first pixel.
    pixel: usize,
    /// To the next pixel: 1, or -1 where the image is mirrored.
    step: isize,
    length: usize,
}

impl Run {
    /// The places.
    fn to(&self) -> Slice {
        Slice::from(self.place..self.place + self.length)
    }

    /// The pixels.
    fn from(&self) -> Slice {
        let (first, more) = (self.pixel as isize, self.length as isize - 1);
        let last = first + self.step * more;
        Slice::new(first.min(last), Some(first.max(last) + 1), self.step)
    }

    /// Adds a pixel if it goes on like this.
    fn extend(&mut self, pixel: usize) -> bool {
        let step = pixel as isize - self.pixel as isize - self.step * (self.length as isize - 1);
        let goes_on = step.abs() == 1 && (self.length == 1 || step == self.step);
        if goes_on {
            self.step = step;
            self.length += 1;
        }
        goes_on
    }
}

/// The runs of pixels that are seen at the places of a tile.
fn runs(pixels: impl Iterator<Item = Option<usize>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (place, pixel) in pixels.enumerate() {
        let Some(pixel) = pixel else { continue };
        let last = runs
            .last_mut()
            .filter(|run| run.place + run.length == place);
        if last.is_some_and(|run| run.extend(pixel)) {
            continue;
        }
        runs.push(Run {
            place,
            pixel,
            step: 1,
            length: 1,
        });
    }
    runs
}

fn axis_of(tensor: &Tensor, id: &str) -> Result<Axis, TensorError> {
    tensor.axis(id).map(Axis).ok_or_else(|| TensorError::Axes {
        found: tensor.axes().join(", "),
        expected: id.to_owned(),
    })
}

fn same_shape(found: &[usize], expected: &[usize]) -> Result<(), TensorError> {
    if found == expected {
        return Ok(());
    }
    Err(TensorError::Shape {
        found: found.to_vec(),
        expected: expected.to_vec(),
    })
}

impl Padding {
    /// Which pixel of `length` is seen at a place; nothing where a constant is.
    fn source(self, place: i64, length: usize) -> Option<usize> {
        let last = length as i64 - 1;
        let inside = match self {
            Self::Constant(_) => return (0..=last).contains(&place).then_some(place as usize),
            Self::Edge => place.clamp(0, last),
            Self::Symmetric => {
                let folded = place.rem_euclid(2 * length as i64);
                folded.min(2 * last + 1 - folded)
            }
            Self::Reflect if last == 0 => 0,
            Self::Reflect => {
                let folded = place.rem_euclid(2 * last);
                folded.min(2 * last - folded)
            }
        };
        Some(inside as usize)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ArrayD};
    use serde_json::json;

    use proptest::prelude::*;

    use super::*;
    use crate::sample::good;

    proptest! {
        #[test]
        fn each_pixel_of_a_tile_is_that_of_its_source(
            image in (1..40_usize, 1..40_usize),
            size in 1..70_usize,
            mode in prop::sample::select(vec!["symmetric", "reflect", "edge", "constant"]),
            channels_last in any::<bool>(),
        ) {
            let side = |id: &str| json!({"type": "space", "id": id, "size": size});
            let channels = json!({"type": "channel", "channel_names": ["a", "b"]});
            let axes = if channels_last {
                json!([side("y"), side("x"), channels])
            } else {
                json!([channels, side("x"), side("y")])
            };
            let description = good(&[
                ("/inputs/0/pad", json!({"mode": mode, "value": -1})),
                ("/inputs/0/axes", axes.clone()),
                ("/outputs/0/axes", axes),
            ]);
            let mut next = 0.0;
            let image = Array3::from_shape_simple_fn((image.0, image.1, 2), || { next += 1.0; next });
            let (rows, columns, _) = image.dim();
            let tensor = description.input.tensor(image.view()).unwrap();
            let plan = TilePlan::smallest(&description, [rows, columns]).unwrap();
            for index in 0..plan.count() {
                let [top, left] = plan.tile(index).unwrap().origin;
                let tile = plan.cut(&tensor, index).unwrap();
                for (place, &found) in tile.values().indexed_iter() {
                    let (row, column, channel) = if channels_last { (0, 1, 2) } else { (2, 1, 0) };
                    let row = description.input.padding.source(top + place[row] as i64, rows);
                    let column = description.input.padding.source(left + place[column] as i64, columns);
                    let source = row.zip(column).map(|(row, column)| image[[row, column, place[channel]]]);
                    prop_assert_eq!(found, source.unwrap_or(-1.0));
                }
            }
        }
    }

    /// Made with `numpy.pad`.
    #[test]
    fn what_lies_outside_is_what_numpy_pads_with() {
        let seen = |padding: Padding, length: usize| -> Vec<Option<usize>> {
            (-6..length as i64 + 2)
                .map(|place| padding.source(place, length))
                .collect()
        };
        let some =
            |places: &[usize]| -> Vec<Option<usize>> { places.iter().copied().map(Some).collect() };
        assert_eq!(
            seen(Padding::Symmetric, 4),
            some(&[2, 3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2])
        );
        assert_eq!(
            seen(Padding::Reflect, 4),
            some(&[0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1])
        );
        assert_eq!(
            seen(Padding::Edge, 2),
            some(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
        );
        assert_eq!(seen(Padding::Reflect, 1), some(&[0; 9]));
        assert_eq!(seen(Padding::Symmetric, 1), some(&[0; 9]));
        let constant = seen(Padding::Constant(1.0), 1);
        assert_eq!(constant.iter().flatten().count(), 1);
        assert_eq!(constant[6], Some(0));
    }

    #[test]
    fn a_small_image_is_mirrored_until_it_fills_the_tile() {
        let description = good(&[("/inputs/0/pad", json!({"mode": "constant", "value": 7}))]);
        let image = Array3::from_shape_fn((2, 3, 2), |(row, column, channel)| {
            (6 * row + 2 * column + channel) as f32
        });
        let tensor = description.input.tensor(image.view()).unwrap();
        let plan = TilePlan::smallest(&description, [2, 3]).unwrap();
        let tile = plan.cut(&tensor, 0).unwrap();
        let expected = ArrayD::from_shape_fn(vec![1, 2, 16, 16], |at| {
            let (channel, row, column) = (at[1], at[2], at[3]);
            image.get((row, column, channel)).copied().unwrap_or(7.0)
        });
        assert_eq!(tile.values(), expected);

        let description = good(&[]);
        let plan = TilePlan::smallest(&description, [2, 3]).unwrap();
        let tile = plan.cut(&tensor, 0).unwrap();
        let row = tile
            .values()
            .index_axis_move(Axis(0), 0)
            .index_axis_move(Axis(0), 1)
            .index_axis_move(Axis(0), 3);
        let expected: Vec<f32> = [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2]
            .map(|column| image[[0, column, 1]])
            .to_vec();
        assert_eq!(row.iter().copied().collect::<Vec<_>>(), expected);
    }
}
