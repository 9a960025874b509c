//! Whether the labels that were found have the flows that the network saw.
//!
//! Border: labels and flows; both come from elsewhere.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView2, ArrayView3};
use rayon::prelude::*;

use super::cells::{Run, cells, draw, runs_by_label, sort_by_appearance};
use super::diffusion::Heat;
use crate::plane::{as_row_major, values_mut};

/// How far the flows of each label are from those of a network, as pairs of label and error, ascending.
///
/// `flows` is `[2, row, column]` as networks put them out: rows first, 5 where the length is 1. The error is the mean over
/// the pixels of a label of the squared difference to [`masks_to_flows`](super::masks_to_flows), in `f64`, summed pairwise
/// as `NumPy` does. As `flow_error` of Cellpose.
///
/// # Panics
/// If labels and flows differ in shape.
#[must_use]
pub fn flow_errors(labels: ArrayView2<'_, u32>, flows: ArrayView3<'_, f32>) -> Vec<(u32, f64)> {
    let (rows, columns) = labels.dim();
    assert_eq!(flows.dim(), (2, rows, columns), "flows of the labels");
    let labels = ndarray::CowArray::from(labels);
    let labels = labels.as_standard_layout();
    let labels = as_row_major(&labels);
    let runs = runs_by_label(labels, columns);
    let names = cells(&runs).into_iter().map(|runs| runs[0].label);
    names.zip(errors(labels, &runs, flows)).collect()
}

/// Labels `[row, column]` without those whose [`flow_errors`] exceed `threshold`; the others count from 1 in order of
/// appearance.
///
/// As `remove_bad_flow_masks` of Cellpose. An error that is not a number exceeds nothing.
///
/// # Panics
/// If labels and flows differ in shape.
#[must_use]
pub fn remove_bad_flow_masks(
    mut labels: Array2<u32>,
    flows: ArrayView3<'_, f32>,
    threshold: f64,
) -> Array2<u32> {
    let columns = labels.ncols();
    assert_eq!(
        flows.dim(),
        (2, labels.nrows(), columns),
        "flows of the labels"
    );
    let values = values_mut(&mut labels);
    let runs = runs_by_label(values, columns);
    let errors = errors(values, &runs, flows);
    let cells = cells(&runs).into_iter().zip(errors);
    let kept = cells.filter(|&(_, error)| error.partial_cmp(&threshold) != Some(Ordering::Greater));
    let mut kept: Vec<&[Run]> = kept.map(|(runs, _)| runs).collect();
    sort_by_appearance(&mut kept);
    draw(&kept, values, columns);
    labels
}

/// The errors of the cells that these runs are, in an image of the flows' size.
fn errors(labels: &[u32], runs: &[Run], flows: ArrayView3<'_, f32>) -> Vec<f64> {
    let (_, rows, columns) = flows.dim();
    let heat = Heat::new(labels, [rows, columns], runs);
    let cells = cells(runs).into_par_iter();
    cells.map(|runs| error(runs, &heat, flows)).collect()
}

/// The error of one label.
fn error(runs: &[Run], heat: &Heat, flows: ArrayView3<'_, f32>) -> f64 {
    let pixels = runs.iter().flat_map(|run| {
        let row = run.row;
        run.columns().map(move |column| [row, column])
    });
    let squares = pixels.map(|[row, column]| {
        let flow = heat.flow([row, column]);
        let [down, across] = [0, 1].map(|axis| {
            // The network's flow is divided in its own precision.
            let difference = flow[axis] - f64::from(flows[[axis, row, column]] / 5.0);
            difference * difference
        });
        down + across
    });
    let squares: Vec<f64> = squares.collect();
    pairwise_sum(&squares) / squares.len() as f64
}

/// Values that `NumPy` sums in eight lanes before it splits them.
const SUMMED: usize = 128;

/// The sum of values in `NumPy`'s order: halves of a long list apart, up to 128 values in eight lanes.
fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() > SUMMED {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % 8);
        return pairwise_sum(first) + pairwise_sum(second);
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let Some((&first, blocks)) = blocks.split_first() else {
        return rest.iter().sum();
    };
    let lanes = blocks.iter().fold(first, |lanes, block| {
        std::array::from_fn(|lane| lanes[lane] + block[lane])
    });
    let [a, b, c, d, e, f, g, h] = lanes;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(sum, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};
    use proptest::prelude::*;

    use super::*;
    use crate::cellpose::masks_to_flows;
    use crate::strategies::labels;

    #[test]
    fn sums_are_those_of_numpy() {
        let recorded = [
            (7, 0x4015_a252_12dc_ace7),
            (8, 0x4019_e366_1e06_89e4),
            (100, 0x404b_cbde_8e2d_423f),
            (128, 0x4051_7c42_b42a_3049),
            (129, 0x4051_a28f_79c3_c710),
            (1000, 0x407f_ba97_12c9_2ca6),
            (12_345, 0x40b8_205d_af1e_6bc2),
        ];
        for (count, expected) in recorded {
            let value = |k: u32| f64::from((k * 7919) % 1009) / 1009.0 + 1.0 / f64::from(k + 1);
            let values: Vec<f64> = (0..count).map(value).collect();
            assert_eq!(pairwise_sum(&values).to_bits(), expected, "{count} values");
        }
        assert_eq!(pairwise_sum(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn the_error_is_the_mean_squared_difference(
            labels in labels(12), noise in proptest::collection::vec(-6.0..6.0_f32, 2 * 12 * 12),
        ) {
            let (rows, columns) = labels.dim();
            let flows = Array3::from_shape_fn((2, rows, columns), |(axis, row, column)| {
                noise[(axis * 12 + row) * 12 + column]
            });
            let expected = masks_to_flows(labels.view());
            for (label, error) in flow_errors(labels.view(), flows.view()) {
                let (mut sum, mut count) = (0.0, 0.0);
                for ((row, column), _) in labels.indexed_iter().filter(|&(_, &other)| other == label) {
                    for axis in 0..2 {
                        let at = [axis, row, column];
                        sum += (expected[at] - f64::from(flows[at] / 5.0)).powi(2);
                    }
                    count += 1.0;
                }
                prop_assert!((error - sum / count).abs() < 1e-12, "{label}: {error}");
            }
        }
    }

    #[test]
    fn only_labels_whose_error_exceeds_the_threshold_go() {
        let labels = Array2::from_shape_fn((8, 16), |(row, column)| {
            u32::from((1..7).contains(&row) && column % 8 > 0) * (9 - column as u32 / 8)
        });
        let mut flows = masks_to_flows(labels.view()).mapv(|flow| 5.0 * flow as f32);
        flows
            .slice_axis_mut(Axis(2), (..8).into())
            .mapv_inplace(|flow| -flow);
        let errors = flow_errors(labels.view(), flows.view());
        assert_eq!(
            errors.iter().map(|&(label, _)| label).collect::<Vec<_>>(),
            [8, 9]
        );
        assert!(errors[0].1 < 1e-9 && errors[1].1 > 1.0, "{errors:?}");
        let kept = remove_bad_flow_masks(labels.clone(), flows.view(), 0.4);
        assert_eq!(kept, labels.mapv(|label| u32::from(label == 8)));
        let all = remove_bad_flow_masks(labels.clone(), flows.view(), errors[1].1);
        assert_eq!(
            all,
            labels.mapv(|label| [0, 2, 1][label.saturating_sub(7) as usize])
        );
    }
}
