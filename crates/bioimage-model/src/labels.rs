//! Operations that turn the network's output into labels. They are read here and done by the caller.

use crate::dtype::Dtype;
use crate::reader::{Reader, Spot, or};

/// An operation that turns the network's output into labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Labeling {
    /// `stardist_postprocessing`
    StarDist(StarDist),
    /// `cellpose_flow_dynamics`
    Cellpose(Cellpose),
}

impl Labeling {
    /// Channels of the network's output, which the description does not say.
    #[must_use]
    pub fn channels(&self) -> usize {
        match self {
            Self::StarDist(star) => 1 + star.rays,
            Self::Cellpose(_) => 3,
        }
    }

    /// Pixels of the labels for each pixel of the network's output, along y and x.
    #[must_use]
    pub fn grid(&self) -> [usize; 2] {
        match self {
            Self::StarDist(star) => star.grid,
            Self::Cellpose(_) => [1, 1],
        }
    }
}

/// Arguments of `stardist_postprocessing`, 2-D. Channel 0 of the output is the probability, the others are distances along
/// the rays (Schmidt et al., MICCAI 2018).
#[derive(Clone, Debug, PartialEq)]
pub struct StarDist {
    /// Pixels of the labels for each pixel of the network's output, along y and x.
    pub grid: [usize; 2],
    /// Candidates have a probability above this.
    pub prob_threshold: f64,
    /// Of two polygons that overlap by more than this share, the less probable one goes.
    pub nms_threshold: f64,
    /// Margins without candidates in pixels of the network's output: before and behind along y, then along x.
    pub border: [[usize; 2]; 2],
    /// Rays of each polygon.
    pub rays: usize,
}

/// Arguments of `cellpose_flow_dynamics`, 2-D. The channels of the output are the flow along y, the flow along x, and the
/// logit of the cell's probability (Stringer et al., Nature Methods 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct Cellpose {
    /// Pixels with a logit above this flow.
    pub cellprob_threshold: f64,
    /// Masks whose flows differ by more than this are dropped.
    pub flow_threshold: f64,
    /// Masks of fewer pixels are dropped; 0 keeps all.
    pub min_size: usize,
    /// Type of the labels: `uint16` or `uint32`.
    pub dtype: Dtype,
}

const MAX_RAYS: usize = 4096;
const MAX_GRID: usize = 64;

/// Arguments of `stardist_postprocessing`.
pub(crate) fn read_stardist(reader: &mut Reader, kwargs: &Spot<'_>) -> Option<Labeling> {
    let grid = reader
        .need(kwargs, "grid")
        .and_then(|grid| read_grid(reader, &grid));
    let prob_threshold = need_number(reader, kwargs, "prob_threshold");
    let nms_threshold = need_number(reader, kwargs, "nms_threshold");
    let border = reader
        .need(kwargs, "b")
        .and_then(|border| read_border(reader, &border));
    let rays = reader
        .need(kwargs, "n_rays")
        .and_then(|spot| match reader.count(&spot)? {
            rays @ 3..=MAX_RAYS => Some(rays),
            rays => reader.refuse(
                &spot,
                format!("expected 3 to {MAX_RAYS} rays, found {rays}"),
            ),
        });
    Some(Labeling::StarDist(StarDist {
        grid: grid?,
        prob_threshold: prob_threshold?,
        nms_threshold: nms_threshold?,
        border: border?,
        rays: rays?,
    }))
}

fn need_number(reader: &mut Reader, kwargs: &Spot<'_>, name: &str) -> Option<f64> {
    let spot = reader.need(kwargs, name)?;
    reader.number(&spot)
}

fn read_grid(reader: &mut Reader, spot: &Spot<'_>) -> Option<[usize; 2]> {
    let cells = reader.each(spot, |reader, cell| match reader.size(cell)? {
        cells @ 1..=MAX_GRID => Some(cells),
        cells => reader.refuse(cell, format!("expected 1 to {MAX_GRID}, found {cells}")),
    })?;
    match cells[..] {
        [down, across] => Some([down, across]),
        [_, _, _] => reader.refuse(
            spot,
            "3-D models are not supported: expected the grid of y and x",
        ),
        _ => reader.refuse(spot, "expected two numbers, for y and x"),
    }
}

/// One number for all sides, or two for each axis.
fn read_border(reader: &mut Reader, spot: &Spot<'_>) -> Option<[[usize; 2]; 2]> {
    if spot.is_number() {
        return reader.count(spot).map(|all| [[all; 2]; 2]);
    }
    let axes = reader.each(spot, |reader, axis| {
        let sides = reader.each(axis, Reader::count)?;
        match sides[..] {
            [before, behind] => Some([before, behind]),
            _ => reader.refuse(axis, "expected two numbers, before and behind"),
        }
    })?;
    match axes[..] {
        [down, across] => Some([down, across]),
        _ => reader.refuse(spot, "expected a number, or two pairs for y and x"),
    }
}

/// Arguments of `cellpose_flow_dynamics`.
pub(crate) fn read_cellpose(reader: &mut Reader, kwargs: &Spot<'_>) -> Option<Labeling> {
    let solid = or(kwargs.get("do_3D"), false, |spot| reader.truth(spot));
    if solid == Some(true) {
        return reader.refuse(kwargs, "`do_3D` is not supported: only 2-D images are");
    }
    let cellprob_threshold = need_number(reader, kwargs, "cellprob_threshold");
    let flow_threshold = need_number(reader, kwargs, "flow_threshold");
    // Cellpose itself takes -1 for "keep all".
    let min_size = or(kwargs.get("min_size"), 15, |spot| {
        Some(usize::try_from(reader.shift(spot)?).unwrap_or(0))
    });
    let words = [("uint16", Dtype::Uint16), ("uint32", Dtype::Uint32)];
    let dtype = or(kwargs.get("output_dtype"), Dtype::Uint16, |spot| {
        reader.word(spot, &words)
    });
    solid?;
    Some(Labeling::Cellpose(Cellpose {
        cellprob_threshold: cellprob_threshold?,
        flow_threshold: flow_threshold?,
        min_size: min_size?,
        dtype: dtype?,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operation::Operation;
    use crate::sample::{good, refused};

    fn star() -> Value {
        json!({"id": "stardist_postprocessing", "kwargs": {
            "grid": [2, 2], "prob_threshold": 0.5, "nms_threshold": 0.4, "b": 2, "n_rays": 32
        }})
    }

    #[test]
    fn labelings_are_read_apart_from_the_operations_before_them() {
        let chain = json!([{"id": "sigmoid"}, star(), {"id": "ensure_dtype", "kwargs": {"dtype": "int32"}}]);
        let description = good(&[("/outputs/0/postprocessing", chain)]);
        let output = &description.outputs[0];
        assert_eq!(output.postprocessing, [Operation::Sigmoid]);
        assert_eq!(
            (output.dtype, output.channels(), output.grid()),
            (Dtype::Int32, 33, [2, 2])
        );
        let Some(Labeling::StarDist(star)) = &output.labeling else {
            panic!("{:?}", output.labeling)
        };
        assert_eq!(
            (star.border, star.rays, star.prob_threshold),
            ([[2, 2], [2, 2]], 32, 0.5)
        );

        let kwargs = json!({"cellprob_threshold": 0, "flow_threshold": 0.4, "do_3D": false});
        let chain = json!([{"id": "cellpose_flow_dynamics", "kwargs": kwargs}]);
        let description = good(&[("/outputs/0/postprocessing", chain)]);
        let cellpose = Cellpose {
            cellprob_threshold: 0.0,
            flow_threshold: 0.4,
            min_size: 15,
            dtype: Dtype::Uint16,
        };
        assert_eq!(
            description.outputs[0].labeling,
            Some(Labeling::Cellpose(cellpose))
        );
        assert_eq!(description.outputs[0].channels(), 3);
    }

    #[test]
    fn margins_may_differ_by_side() {
        let mut chain = star();
        chain["kwargs"]["b"] = json!([[1, 2], [3, 4]]);
        let description = good(&[("/outputs/0/postprocessing", json!([chain]))]);
        let labeling = &description.outputs[0].labeling;
        assert!(
            matches!(labeling, Some(Labeling::StarDist(star)) if star.border == [[1, 2], [3, 4]])
        );
    }

    #[test]
    fn labelings_that_cannot_be_done_are_refused() {
        let changed = |name: &str, value: Value| {
            let mut star = star();
            star["kwargs"][name] = value;
            json!([star])
        };
        let cellpose = json!({"cellprob_threshold": 0, "flow_threshold": 0.4, "do_3D": true});
        let cases = [
            (changed("grid", json!([1, 2, 2])), "3-D models"),
            (changed("grid", json!([0, 2])), "at least 1"),
            (changed("grid", json!([65, 2])), "expected 1 to 64"),
            (changed("n_rays", json!(2)), "expected 3 to 4096 rays"),
            (changed("b", json!([1, 2])), "expected a list"),
            (
                changed("nms_threshold", Value::Null),
                "nms_threshold: missing",
            ),
            (
                json!([{"id": "cellpose_flow_dynamics", "kwargs": cellpose}]),
                "`do_3D`",
            ),
            (
                json!([star(), {"id": "sigmoid"}]),
                "`sigmoid` behind labels",
            ),
            (json!([star(), star()]), "behind labels is not supported"),
        ];
        for (chain, message) in cases {
            let told = refused(&[("/outputs/0/postprocessing", chain)]);
            assert!(told.contains(message), "expected {message}, found\n{told}");
        }
        let told = refused(&[
            (
                "/outputs/0/axes",
                json!([
                    {"type": "space", "id": "y", "size": {"tensor_id": "raw", "axis_id": "y"}},
                    {"type": "space", "id": "x", "size": {"tensor_id": "raw", "axis_id": "x"}},
                ]),
            ),
            ("/outputs/0/postprocessing", json!([star()])),
        ]);
        assert!(
            told.contains("needs a tensor with a channel axis"),
            "{told}"
        );
    }
}
