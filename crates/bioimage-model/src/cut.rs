//! Copies tiles out of an image, and what counts of outputs into the whole.

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};

use crate::error::TensorError;
use crate::geometry::SIDES;
use crate::layout::{fits, ids, one, same_length};
use crate::tensor::Tensor;
use crate::tensor_description::Padding;
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
        let mut values = image.values();
        let mut sides = Vec::new();
        for (side, planned) in self.sides.iter().enumerate() {
            let axis = axis_of(image, SIDES[side])?;
            let places = tile.origin[side]..tile.origin[side] + planned.tile as i64;
            let sources: Vec<_> = places
                .map(|place| self.input.padding.source(place, planned.length))
                .collect();
            // Only what the tile needs of the longer lanes is copied.
            let needed = || sources.iter().flatten().copied();
            let first = needed().min().unwrap_or(0);
            let end = needed().max().map_or(1, |last| last + 1);
            values.slice_axis_inplace(axis, Slice::from(first..end));
            sides.push((axis, sources, first));
        }
        let mut cut = values.into_owned();
        for (axis, sources, first) in &sides {
            let picked: Vec<usize> = sources
                .iter()
                .map(|source| source.map_or(0, |at| at - first))
                .collect();
            cut = cut.select(*axis, &picked);
        }
        if let Padding::Constant(value) = self.input.padding {
            fill(&mut cut, &sides, value as f32);
        }
        Tensor::new(image.axes().to_vec(), cut.as_standard_layout().into_owned())
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
        let described = self
            .outputs
            .get(output)
            .ok_or(TensorError::NoOutput(output))?;
        let lengths = self.sides.each_ref().map(|side| side.output_length(output));
        let shape = shape(&described.axes, described.channels(), lengths);
        Tensor::new(ids(&described.axes), ArrayD::zeros(IxDyn(&shape)))
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
        let part = planned
            .parts
            .get(output)
            .ok_or(TensorError::NoOutput(output))?;
        same_shape(
            found.shape(),
            &self.output_shape(output).unwrap_or_default(),
        )?;
        same_shape(canvas.values.shape(), self.canvas(output)?.values.shape())?;
        let (mut from, mut to) = (found, canvas.values.view_mut());
        for (side, id) in SIDES.into_iter().enumerate() {
            let place = self.outputs[output]
                .axes
                .iter()
                .position(|axis| axis.id == id);
            let axis = Axis(place.ok_or(TensorError::NoOutput(output))?);
            from.slice_axis_inplace(axis, Slice::from(part.from[side].clone()));
            to.slice_axis_inplace(axis, Slice::from(part.to[side].clone()));
        }
        to.assign(&from);
        Ok(())
    }
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

/// Puts a value wherever one of the sides has no source.
fn fill(cut: &mut ArrayD<f32>, sides: &[(Axis, Vec<Option<usize>>, usize)], value: f32) {
    for (axis, sources, _) in sides {
        let outside = sources
            .iter()
            .enumerate()
            .filter(|(_, source)| source.is_none());
        for (place, _) in outside {
            cut.index_axis_mut(*axis, place).fill(value);
        }
    }
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

    use super::*;
    use crate::sample::good;

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
