//! Draws a few cells as a model would see them, parts them by deep watershed, and prints the labels.
//!
//! ```sh
//! cargo run --release --package cell-analysis --example segment
//! ```

use cell_analysis::segmentation::{DeepWatershed, DeepWatershedError};
use ndarray::Array3;

/// Rows, columns and radii, in pixels. The first two touch.
const CELLS: [[f32; 3]; 4] = [
    [10.0, 14.0, 9.0],
    [12.0, 29.0, 8.0],
    [28.0, 18.0, 7.0],
    [26.0, 48.0, 10.0],
];

fn main() -> Result<(), DeepWatershedError> {
    // `[batch, row, column]`: 1 in the center of a cell, falling to 0 at its edge.
    let maxima = Array3::from_shape_fn((1, 40, 64), |(_, row, column)| {
        nearness(row as f32, column as f32)
    });
    let interior = maxima.mapv(|value| if value > 0.0 { 1.0 } else { 0.0 });
    let labels = DeepWatershed::nuclear().segment(maxima, interior)?;
    for row in labels.rows() {
        let line: String = row.iter().copied().map(letter).collect();
        println!("{line}");
    }
    Ok(())
}

fn nearness(row: f32, column: f32) -> f32 {
    CELLS
        .iter()
        .map(|[y, x, radius]| 1.0 - (row - y).hypot(column - x) / radius)
        .fold(0.0, f32::max)
}

fn letter(label: u32) -> char {
    match label {
        0 => '.',
        label => char::from_digit(label % 36, 36).unwrap_or('?'),
    }
}
