//! Which cells of a frame are neighbors, as a normalized adjacency matrix (Kipf and Welling, "Semi-supervised classification
//! with graph convolutional networks", 2017).

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Zip};

/// Keeps a node without neighbors from dividing by zero.
const EPSILON: f32 = 1e-5;

/// The adjacency matrix `[cell, cell]` of cells at `centroids` `[cell, 2]`: 1 where their distance is below `threshold`
/// pixels, else 0.
///
/// Distances are taken in `f64`. A cell is its own neighbor. Rows of zeros that fill a frame up to the size of others
/// count as cells at the corner, since the models were trained that way.
#[must_use]
pub fn adjacency(centroids: ArrayView2<'_, f32>, threshold: f64) -> Array2<f32> {
    let points: Vec<[f64; 2]> = centroids
        .outer_iter()
        .map(|point| [0, 1].map(|axis| f64::from(point[axis])))
        .collect();
    let mut adjacency = Array2::zeros((points.len(), points.len()));
    for (mut row, [y, x]) in adjacency.outer_iter_mut().zip(&points) {
        for (entry, point) in row.iter_mut().zip(&points) {
            let distance = ((y - point[0]).powi(2) + (x - point[1]).powi(2)).sqrt();
            *entry = if distance < threshold { 1.0 } else { 0.0 };
        }
    }
    adjacency
}

/// Divides every entry of an adjacency matrix `[cell, cell]` by the square roots of the degrees of both its cells, in place:
/// the symmetric normalization of Kipf and Welling.
///
/// Degrees are sums of rows in `f32` plus 1e-5; their roots are taken in `f64` and rounded to `f32`.
pub fn normalize_adjacency(mut adjacency: ArrayViewMut2<'_, f32>) {
    let factors: Vec<f32> = adjacency
        .outer_iter()
        .map(|row| f64::from(degree(row)).powf(-0.5) as f32)
        .collect();
    let factors = ArrayView1::from(&factors);
    for (mut row, &factor) in adjacency.outer_iter_mut().zip(factors) {
        Zip::from(&mut row)
            .and(factors)
            .for_each(|entry, &other| *entry = factor * *entry * other);
    }
}

fn degree(neighbors: ArrayView1<'_, f32>) -> f32 {
    neighbors.iter().sum::<f32>() + EPSILON
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_cell_at_the_threshold_is_no_neighbor() {
        let centroids = array![[0.0, 0.0], [30.0, 40.0], [3.0, 4.0]];
        assert_eq!(
            adjacency(centroids.view(), 50.0),
            array![[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        );
    }

    #[test]
    fn a_cell_without_neighbors_keeps_a_row_of_zeros() {
        let mut adjacency = array![[0.0, 0.0], [0.0, 4.0]];
        normalize_adjacency(adjacency.view_mut());
        assert_eq!(adjacency.row(0), array![0.0, 0.0]);
        assert!((adjacency[[1, 1]] - 1.0).abs() < 1e-5);
    }
}
