//! How an output of a network goes with its input along one side.

use crate::axis::{Axis, AxisKind, Size};
use crate::problem::shown;
use crate::ratio::Ratio;
use crate::tensor_description::{Input, Output};

/// How the network's output goes with its input along one side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fit {
    /// Pixels of the network's output for pixels of the input.
    pub(crate) ratio: Ratio,
    /// Pixels of the output as it is described, which are those of labels where labels are made.
    pub(crate) described: Ratio,
    /// Pixels that the network itself has cropped off either end, in its output's.
    pub(crate) crop: usize,
    /// Pixels of the network's output at either end that do not count.
    pub(crate) halo: usize,
}

/// The length of an output, described by that of the input: `input · ratio + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Relation {
    ratio: f64,
    offset: f64,
}

/// Tensors that refer to each other.
pub(crate) struct Related<'d> {
    pub(crate) input: &'d Input,
    pub(crate) outputs: &'d [Output],
}

impl Fit {
    /// Of an output of which labels have `grid` pixels for each pixel of the network's. The error says what cannot be met.
    pub(crate) fn of(relation: Relation, halo: usize, grid: usize) -> Result<Self, String> {
        let grid_pixels = grid as f64;
        let [ratio, described] = [relation.ratio / grid_pixels, relation.ratio].map(Ratio::of);
        let (Some(ratio), Some(described)) = (ratio, described) else {
            return Err(format!(
                "{} pixels for each pixel of the input: expected a fraction of numbers up to 64",
                relation.ratio
            ));
        };
        let offset = relation.offset / grid_pixels;
        let crop = (-offset / 2.0).round();
        if (2.0 * crop + offset).abs() > 1e-6 || crop < 0.0 {
            return Err(format!(
                "the network's output is {offset} pixels longer than its input: expected 0, or a crop of as many at both ends"
            ));
        }
        Ok(Self {
            ratio,
            described,
            crop: crop as usize,
            halo: halo.div_ceil(grid),
        })
    }

    /// Pixels of the input at either end that do not count.
    pub(crate) fn margin(&self) -> usize {
        self.ratio
            .turned()
            .covering(self.halo.saturating_add(self.crop))
    }

    /// The length of the network's output for a tile; nothing if it does not come out even.
    pub(crate) fn output_length(&self, tile: usize) -> Option<usize> {
        let length = self.ratio.exactly(tile)?.checked_sub(2 * self.crop)?;
        (length > 0).then_some(length)
    }
}

/// The input's axis of this name.
pub(crate) fn input_axis<'d>(input: &'d Input, id: &str) -> Option<&'d Axis> {
    input.axes.iter().find(|axis| axis.id == id)
}

/// How long an output's axis is. The error says why that is not known.
pub(crate) fn relation(axis: &Axis, related: &Related<'_>) -> Result<Relation, String> {
    let Some(own) = input_axis(related.input, &axis.id) else {
        return Err("the input has no such axis".to_owned());
    };
    let ratio = own.scale / axis.scale;
    let (tensor_id, axis_id, offset) = match &axis.size {
        Size::Fixed(length) => return fixed(related.input, own, ratio, *length as f64),
        Size::Like {
            tensor_id,
            axis_id,
            offset,
        } => (tensor_id, axis_id, *offset as f64),
        Size::Steps { .. } | Size::Any => {
            return Err("expected a number, or the axis of the input that it follows".to_owned());
        }
    };
    let followed = related.followed(axis, tensor_id, axis_id)?;
    match related.known(own, followed, tensor_id) {
        Some(Known::Length(length)) => {
            let length = (length * followed.scale / axis.scale).floor() + offset;
            fixed(related.input, own, ratio, length)
        }
        Some(Known::Offset(own_offset)) => Ok(Relation {
            ratio,
            offset: offset - own_offset * ratio,
        }),
        None => {
            let (followed, own) = (told(tensor_id, axis_id), shown(&own.id));
            Err(format!(
                "{followed}, which says nothing of `{own}` of the input"
            ))
        }
    }
}

/// What is known of an axis that another one follows.
enum Known {
    /// It has one length.
    Length(f64),
    /// It is the input's own axis, or the one that this follows with an offset.
    Offset(f64),
}

impl Related<'_> {
    /// The axis that another one follows.
    fn followed(&self, axis: &Axis, tensor_id: &str, axis_id: &str) -> Result<&Axis, String> {
        let outputs = self.outputs.iter().map(|output| (&output.id, &output.axes));
        let mut tensors = std::iter::once((&self.input.id, &self.input.axes)).chain(outputs);
        let axes = tensors
            .find(|(id, _)| *id == tensor_id)
            .map(|(_, axes)| axes);
        let followed = axes.and_then(|axes| axes.iter().find(|other| other.id == axis_id));
        let Some(followed) = followed else {
            return Err(format!("{}, which is not there", told(tensor_id, axis_id)));
        };
        if followed.kind != AxisKind::Space || followed.unit != axis.unit {
            let followed = told(tensor_id, axis_id);
            return Err(format!(
                "{followed}, which is no space axis of the same unit"
            ));
        }
        Ok(followed)
    }

    fn known(&self, own: &Axis, followed: &Axis, tensor_id: &str) -> Option<Known> {
        if tensor_id != self.input.id {
            return match followed.size {
                Size::Fixed(length) => Some(Known::Length(length as f64)),
                _ => None,
            };
        }
        if followed.id == own.id {
            return Some(Known::Offset(0.0));
        }
        match fixed_length(self.input, followed) {
            Some(length) => Some(Known::Length(length)),
            None => follows(self.input, own, followed).map(Known::Offset),
        }
    }
}

/// The beginning of a message on an axis that is followed.
fn told(tensor_id: &str, axis_id: &str) -> String {
    format!("follows `{}` of `{}`", shown(axis_id), shown(tensor_id))
}

/// The offset by which one side of the input follows the other.
fn follows(input: &Input, own: &Axis, followed: &Axis) -> Option<f64> {
    match &own.size {
        Size::Like {
            tensor_id,
            axis_id,
            offset,
        } if *tensor_id == input.id && *axis_id == followed.id => Some(*offset as f64),
        _ => None,
    }
}

/// The length of a side of the input that has only one.
fn fixed_length(input: &Input, side: &Axis) -> Option<f64> {
    match &side.size {
        Size::Fixed(length) => Some(*length as f64),
        Size::Like { axis_id, .. } => {
            let other = input_axis(input, axis_id)?;
            let offset = follows(input, side, other)?;
            match other.size {
                Size::Fixed(length) => {
                    Some((length as f64 * other.scale / side.scale + offset).floor())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// An output of one length.
fn fixed(input: &Input, own: &Axis, ratio: f64, length: f64) -> Result<Relation, String> {
    match fixed_length(input, own) {
        Some(input_length) => Ok(Relation {
            ratio,
            offset: length - input_length * ratio,
        }),
        None => Err(
            "one length for an input of any length cannot be put together from tiles".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::description::Description;
    use crate::sample::{good, refused};
    use crate::tile_plan::TilePlan;

    fn side(id: &str, size: Value, scale: f64) -> Value {
        json!({"type": "space", "id": id, "size": size, "scale": scale})
    }

    fn like(tensor: &str, axis: &str, offset: i64) -> Value {
        json!({"tensor_id": tensor, "axis_id": axis, "offset": offset})
    }

    /// A network with these sides of its input, rows first, and of its output.
    fn network(input: [Value; 2], output: [Value; 2]) -> [(&'static str, Value); 4] {
        let ([y, x], [rows, columns]) = (input, output);
        [
            ("/inputs/0/axes/2", y),
            ("/inputs/0/axes/3", x),
            ("/outputs/0/axes/2", rows),
            ("/outputs/0/axes/3", columns),
        ]
    }

    fn shapes(description: &Description) -> ([usize; 2], Vec<usize>) {
        let plan = TilePlan::smallest(description, [40, 40]).unwrap();
        let output = plan.output_shape(0).unwrap();
        (plan.tile_shape(), output[2..].to_vec())
    }

    #[test]
    fn one_size_of_the_output_goes_with_one_size_of_the_input() {
        let input = [side("y", json!(32), 1.0), side("x", json!(64), 1.0)];
        // A crop of two pixels along y; half the size along x.
        let output = [side("y", json!(28), 1.0), side("x", json!(32), 2.0)];
        let description = good(&network(input, output));
        assert_eq!(shapes(&description), ([32, 64], vec![28, 32]));
        let plan = TilePlan::smallest(&description, [40, 40]).unwrap();
        let tile = plan.tile(0).unwrap();
        assert_eq!((tile.origin, plan.count()), ([-2, 0], 2));
        assert_eq!(tile.parts[0].from, [0..12, 0..20]);
    }

    #[test]
    fn lengths_are_followed_from_side_to_side() {
        let input = || {
            [
                side("y", json!(32), 1.0),
                side("x", like("raw", "y", 16), 2.0),
            ]
        };
        // x is 32 · 1 / 2 + 16.
        let output = [
            side("y", json!(32), 1.0),
            side("x", like("raw", "x", 0), 2.0),
        ];
        assert_eq!(
            shapes(&good(&network(input(), output))),
            ([32, 32], vec![32, 32])
        );
        let output = [
            side("y", json!(32), 1.0),
            side("x", like("out", "y", 0), 1.0),
        ];
        assert_eq!(
            shapes(&good(&network(input(), output))),
            ([32, 32], vec![32, 32])
        );
        // The length of y, as long as it may be, on the grid of x.
        let input = [
            side("y", json!({"min": 8, "step": 8}), 1.0),
            side("x", like("raw", "y", 4), 1.0),
        ];
        let output = [
            side("y", like("raw", "y", 0), 1.0),
            side("x", like("raw", "y", 2), 1.0),
        ];
        assert_eq!(
            shapes(&good(&network(input, output))),
            ([8, 12], vec![8, 10])
        );
    }

    #[test]
    fn sides_that_follow_each_other_are_refused() {
        let input = [
            side("y", like("raw", "x", 0), 1.0),
            side("x", like("raw", "y", 0), 1.0),
        ];
        let output = [side("y", json!(32), 1.0), side("x", json!(32), 1.0)];
        let told = refused(&network(input, output));
        assert!(
            told.contains("inputs[0].axes[2].size: follows `x` of `raw`"),
            "{told}"
        );
        assert!(
            told.contains("inputs[0].axes[3].size: follows `y` of `raw`"),
            "{told}"
        );
    }
}
