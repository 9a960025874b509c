//! Lengths of outlines.
//!
//! Benkrid and Crookes, "Design and FPGA Implementation of a Perimeter Estimator", 2000, as scikit-image has it: border
//! pixels are those with one of four neighbors outside the region (or the image), and each counts 1, √2 or their mean by the
//! border pixels around it. One or two pixels have none.

/// Perimeters of the `count` regions of a plane given row by row; `number` gives the place of a label in the result, counted
/// from 0, and is not asked for the background, which is 0.
///
/// Each region is measured by itself: neighbors of another label are outside.
pub(crate) fn perimeters<T: Copy + PartialEq + Default>(
    plane: &[T],
    columns: usize,
    count: usize,
    number: impl Fn(T) -> usize,
) -> Vec<f64> {
    let (width, background) = (columns + 2, T::default());
    let borders = borders(plane, columns);
    let mut counts = vec![[0_u64; 4]; count];
    for (at, &label) in borders.iter().enumerate() {
        if label == background {
            continue;
        }
        let same = |places: [usize; 4]| {
            places
                .into_iter()
                .filter(|&place| borders[place] == label)
                .count()
        };
        let direct = same([at - width, at - 1, at + 1, at + width]);
        let diagonal = same([
            at - width - 1,
            at - width + 1,
            at + width - 1,
            at + width + 1,
        ]);
        counts[number(label)][KINDS[diagonal][direct]] += 1;
    }
    counts.iter().map(outline_length).collect()
}

/// The length of an outline from how many of its pixels are of each of the [`KINDS`].
fn outline_length([_, straight, diagonal, mixed]: &[u64; 4]) -> f64 {
    let root = std::f64::consts::SQRT_2;
    *straight as f64 + *diagonal as f64 * root + *mixed as f64 * f64::midpoint(1.0, root)
}

/// What a border pixel adds, by its diagonal and direct neighbors on the border: 0 nothing, 1 one, 2 √2, 3 their mean.
const KINDS: [[usize; 5]; 5] = [
    [0, 0, 1, 1, 0],
    [0, 3, 1, 1, 0],
    [2, 3, 1, 1, 0],
    [0, 2, 0, 0, 0],
    [0, 0, 0, 0, 0],
];

/// The border pixels of a plane with their labels, all others 0, in a margin of one pixel.
fn borders<T: Copy + PartialEq + Default>(plane: &[T], columns: usize) -> Vec<T> {
    let (width, background) = (columns + 2, T::default());
    let rows = plane.len() / columns.max(1);
    let outside = vec![background; columns];
    let mut borders = vec![background; (rows + 2) * width];
    let lines = borders
        .chunks_exact_mut(width)
        .skip(1)
        .zip(plane.chunks_exact(columns.max(1)));
    for (row, (out, here)) in lines.enumerate() {
        let line = |row: usize| {
            plane
                .get(row * columns..(row + 1) * columns)
                .unwrap_or(&outside)
        };
        let (above, below) = (
            row.checked_sub(1).map_or(outside.as_slice(), line),
            line(row + 1),
        );
        // Pixels in the first and the last column always have a neighbor outside: only those between are compared.
        let out = &mut out[1..=columns];
        out.copy_from_slice(here);
        let (left, right) = (here, here.get(2..).unwrap_or_default());
        let inner = out
            .iter_mut()
            .zip(above)
            .zip(below)
            .skip(1)
            .zip(left)
            .zip(right);
        for ((((out, &above), &below), &left), &right) in inner {
            let here = *out;
            let inside = (above == here) & (below == here) & (left == here) & (right == here);
            *out = if inside { background } else { here };
        }
    }
    borders
}
