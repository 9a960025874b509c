//! A classical stand-in for a trained nuclear model.
//!
//! Smoothing, a threshold and distances, not a trained network. It finds what a person would outline at a glance, bright and
//! roundish nuclei on a dark background; it does not replace a model that has learned what nuclei look like.

use ndarray::{Array2, Array4, ArrayView2, ArrayView4, ArrayViewMut2, Axis, Zip};

use crate::distance::distance_inside;
use crate::watershed::{Basins, basins};

/// Standard deviation in pixels of the smoothing before the threshold.
const SMOOTHING: f32 = 1.25;

/// The threshold is this part of Otsu's, so that dim nuclei beside bright ones are not lost.
const OTSU_PART: f32 = 0.9;

/// The threshold is at least this: tiles without nuclei hold nothing but noise.
const LEAST_THRESHOLD: f32 = 0.1;

/// The threshold is at most this: a tile full of nuclei has no dark part that would keep it low.
const LARGEST_THRESHOLD: f32 = 0.4;

/// A pixel must also reach this part of the mean brightness around it, so that gaps between nuclei stay open.
const LOCAL_PART: f32 = 0.9;

/// Standard deviation in pixels of that mean.
const LOCAL_EXTENT: f32 = 15.0;

/// Objects of fewer pixels are dirt.
const LEAST_AREA: usize = 30;

/// How much brightness counts beside shape where touching nuclei are split.
const BRIGHTNESS_WEIGHT: f32 = 0.2;

/// Standard deviation in pixels of the brightness that counts there.
const BRIGHTNESS_SMOOTHING: f32 = 2.5;

/// Two tops are two nuclei if both rise this much, in logarithms, above the pass between them.
const PROMINENCE: f32 = 0.07;

/// Fall of the first head around a center, per pixel.
const FALL: f32 = 0.2;

/// Distance from the edge in pixels at which the second head is one half. The post-processing smooths it and takes
/// all above 0.01 for nucleus; with this the outline ends up where the threshold had it.
const HALF_DEPTH: f32 = 4.5;

/// Steepness of the second head, in pixels.
const DEPTH_SCALE: f32 = 0.7;

/// Least value of the second head inside a nucleus.
const LEAST_INTERIOR: f32 = 0.004;

/// What the model says about tiles; both heads are `[batch, row, column, 1]` between 0 and 1.
pub(crate) struct NucleiHeads {
    /// 1 at the center of each nucleus, `1 / (1 + 0.2 d)` at the distance of `d` pixels, 0 outside nuclei.
    pub(crate) maxima: Array4<f32>,
    /// Near 1 well inside a nucleus, falling towards its edge, 0 outside.
    pub(crate) interior: Array4<f32>,
}

/// Finds nuclei in histogram-normalized tiles `[batch, row, column, 1]` of values between 0 and 1. Only the first
/// channel is looked at; tiles are worked on in parallel and do not influence each other.
pub(crate) fn nuclei_model(tiles: ArrayView4<'_, f32>) -> NucleiHeads {
    let (batch, rows, columns, _) = tiles.dim();
    let mut maxima = Array4::zeros((batch, rows, columns, 1));
    let mut interior = Array4::zeros((batch, rows, columns, 1));
    if tiles.is_empty() {
        return NucleiHeads { maxima, interior };
    }
    Zip::from(tiles.outer_iter())
        .and(maxima.outer_iter_mut())
        .and(interior.outer_iter_mut())
        .par_for_each(|tile, mut maxima, mut interior| {
            let tile = tile.index_axis_move(Axis(2), 0);
            find_nuclei(
                tile,
                maxima.index_axis_mut(Axis(2), 0),
                interior.index_axis_mut(Axis(2), 0),
            );
        });
    NucleiHeads { maxima, interior }
}

/// Fills the heads of one tile.
fn find_nuclei(
    tile: ArrayView2<'_, f32>,
    maxima: ArrayViewMut2<'_, f32>,
    interior: ArrayViewMut2<'_, f32>,
) {
    let mask = foreground(tile);
    let nuclei = part(tile, &mask);
    let mut areas = vec![0; nuclei.summits.len() + 1];
    nuclei.labels.iter().for_each(|label| areas[*label] += 1);
    // Measured once more, now that touching nuclei have been split and have an edge between them.
    let depth = distance_inside(&separated(&nuclei.labels));
    let is_nucleus = |label: usize| label > 0 && areas[label] >= LEAST_AREA;
    Zip::indexed(maxima)
        .and(&nuclei.labels)
        .for_each(|at, place, label| {
            *place = if is_nucleus(*label) {
                nearness(at, nuclei.summits[label - 1])
            } else {
                0.0
            };
        });
    Zip::from(interior)
        .and(&depth)
        .and(&nuclei.labels)
        .for_each(|place, depth, label| {
            *place = if is_nucleus(*label) {
                insideness(*depth)
            } else {
                0.0
            };
        });
}

/// The bright pixels, without specks and holes.
fn foreground(tile: ArrayView2<'_, f32>) -> Array2<bool> {
    let smooth = gaussian(tile, SMOOTHING);
    let threshold = (OTSU_PART * otsu(&smooth)).clamp(LEAST_THRESHOLD, LARGEST_THRESHOLD);
    let around = gaussian(tile, LOCAL_EXTENT);
    let bright = Zip::from(&smooth)
        .and(&around)
        .map_collect(|value, mean| *value > threshold.max(LOCAL_PART * mean));
    let eroded = over_cross(&bright, |a, b| a && b);
    filled(&over_cross(&eroded, |a, b| a || b))
}

/// One number for each nucleus: tops of depth and brightness, each with the slopes around it.
fn part(tile: ArrayView2<'_, f32>, mask: &Array2<bool>) -> Basins {
    let depth = gaussian(distance_inside(mask).view(), 1.0);
    let mut heights = gaussian(tile, BRIGHTNESS_SMOOTHING);
    Zip::from(&mut heights)
        .and(&depth)
        .for_each(|height, depth| {
            *height = depth.ln_1p() + BRIGHTNESS_WEIGHT * height.max(0.02).ln();
        });
    basins(heights.view(), mask, PROMINENCE)
}

/// The labeled pixels, without those where another label begins to the left or above.
fn separated(labels: &Array2<usize>) -> Array2<bool> {
    Array2::from_shape_fn(labels.dim(), |(row, column)| {
        let label = labels[[row, column]];
        let parts = |other: usize| other != 0 && other != label;
        let above = row > 0 && parts(labels[[row - 1, column]]);
        let left = column > 0 && parts(labels[[row, column - 1]]);
        label != 0 && !above && !left
    })
}

fn nearness(at: (usize, usize), center: (usize, usize)) -> f32 {
    let (rows, columns) = (
        at.0.abs_diff(center.0) as f32,
        at.1.abs_diff(center.1) as f32,
    );
    1.0 / (1.0 + FALL * rows.hypot(columns))
}

fn insideness(depth: f32) -> f32 {
    (1.0 / (1.0 + ((HALF_DEPTH - depth) / DEPTH_SCALE).exp())).max(LEAST_INTERIOR)
}

/// Gaussian smoothing, cut off at three standard deviations; beyond the edge the image is mirrored with its edge.
fn gaussian(image: ArrayView2<'_, f32>, sigma: f32) -> Array2<f32> {
    let radius = (3.0 * sigma).ceil() as usize;
    let weight = |offset: usize| (-0.5 * (offset as f32 / sigma).powi(2)).exp();
    let sum: f32 = (1..=radius).map(|offset| 2.0 * weight(offset)).sum::<f32>() + 1.0;
    let weights: Vec<f32> = (0..=radius).map(|offset| weight(offset) / sum).collect();
    let across = smoothed_rows(image, &weights);
    smoothed_rows(across.t(), &weights).reversed_axes()
}

/// Each row folded with symmetric weights, of which the middle one comes first.
fn smoothed_rows(image: ArrayView2<'_, f32>, weights: &[f32]) -> Array2<f32> {
    let (rows, columns) = image.dim();
    let radius = weights.len() - 1;
    let mut result = Array2::zeros((rows, columns));
    let mut padded = vec![0.0; columns + 2 * radius];
    for (row, mut out) in image.rows().into_iter().zip(result.rows_mut()) {
        for (place, value) in padded.iter_mut().enumerate() {
            *value = row[mirrored(place as isize - radius as isize, columns)];
        }
        for (column, out) in out.iter_mut().enumerate() {
            *out = weights[0] * padded[radius + column];
        }
        for (offset, weight) in weights.iter().enumerate().skip(1) {
            let (left, right) = (&padded[radius - offset..], &padded[radius + offset..]);
            out.iter_mut()
                .zip(left)
                .zip(right)
                .for_each(|((out, left), right)| *out += weight * (left + right));
        }
    }
    result
}

/// The place that stands in for one beyond the edge.
fn mirrored(place: isize, size: usize) -> usize {
    let period = 2 * size as isize;
    let place = place.rem_euclid(period);
    if place < size as isize {
        place as usize
    } else {
        (period - 1 - place) as usize
    }
}

/// Otsu's threshold for values between 0 and 1, in steps of 1/256: the one that parts the values into the two classes
/// whose means are farthest apart; 0 if there is but one value.
fn otsu(image: &Array2<f32>) -> f32 {
    let mut counts = [0.0_f64; 256];
    image
        .iter()
        .for_each(|value| counts[(value * 256.0) as usize & 255] += 1.0);
    let total: f64 = counts.iter().sum();
    let moment: f64 = counts
        .iter()
        .enumerate()
        .map(|(bin, count)| bin as f64 * count)
        .sum();
    let (mut below, mut moment_below, mut best) = (0.0, 0.0, (0.0, 0));
    for (bin, count) in counts.iter().enumerate() {
        below += count;
        moment_below += bin as f64 * count;
        let between = (moment_below * total - moment * below).powi(2) / (below * (total - below));
        if between > best.0 && between.is_finite() {
            best = (between, bin + 1);
        }
    }
    best.1 as f32 / 256.0
}

/// Every pixel combined with its four neighbors.
fn over_cross(mask: &Array2<bool>, combine: impl Fn(bool, bool) -> bool) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let vertical = [
            mask[[row.saturating_sub(1), column]],
            mask[[(row + 1).min(rows - 1), column]],
        ];
        let horizontal = [
            mask[[row, column.saturating_sub(1)]],
            mask[[row, (column + 1).min(columns - 1)]],
        ];
        vertical
            .into_iter()
            .chain(horizontal)
            .fold(mask[[row, column]], &combine)
    })
}

/// The mask with all background that does not reach the edge of the image.
fn filled(mask: &Array2<bool>) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let mut result = Array2::from_elem((rows, columns), true);
    let on_edge = |(row, column): (usize, usize)| {
        row == 0 || column == 0 || row + 1 == rows || column + 1 == columns
    };
    let mut open: Vec<_> = mask
        .indexed_iter()
        .map(|(at, _)| at)
        .filter(|at| on_edge(*at))
        .collect();
    while let Some((row, column)) = open.pop() {
        if mask[[row, column]] || !result[[row, column]] {
            continue;
        }
        result[[row, column]] = false;
        let up_and_left = [(row.wrapping_sub(1), column), (row, column.wrapping_sub(1))];
        let next = up_and_left
            .into_iter()
            .chain([(row + 1, column), (row, column + 1)]);
        open.extend(next.filter(|(row, column)| *row < rows && *column < columns));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Bright discs `(row, column, radius)` on a dim, slightly uneven background.
    fn tile(discs: &[(f32, f32, f32)]) -> Array4<f32> {
        Array4::from_shape_fn((1, 96, 96, 1), |(_, row, column, _)| {
            let distance = |disc: &(f32, f32, f32)| {
                (row as f32 - disc.0).hypot(column as f32 - disc.1) - disc.2
            };
            let nearest = discs.iter().map(distance).fold(f32::INFINITY, f32::min);
            0.7 / (1.0 + (2.0 * nearest).exp()) + 0.01 * ((row * 7 + column * 13) % 5) as f32
        })
    }

    fn plane(head: &Array4<f32>) -> ArrayView2<'_, f32> {
        head.index_axis(Axis(0), 0).index_axis_move(Axis(2), 0)
    }

    fn centers(heads: &NucleiHeads) -> Vec<(usize, usize)> {
        plane(&heads.maxima)
            .indexed_iter()
            .filter(|(_, value)| **value == 1.0)
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn each_nucleus_has_one_center_near_its_middle() {
        let heads = nuclei_model(tile(&[(20.0, 20.0, 9.0), (60.0, 50.0, 12.0)]).view());
        let centers = centers(&heads);
        assert_eq!(centers.len(), 2, "{centers:?}");
        assert!(
            centers[0].0.abs_diff(20) <= 2 && centers[0].1.abs_diff(20) <= 2,
            "{centers:?}"
        );
        assert!(
            centers[1].0.abs_diff(60) <= 2 && centers[1].1.abs_diff(50) <= 2,
            "{centers:?}"
        );
    }

    #[test]
    fn touching_nuclei_are_parted_in_both_heads() {
        let heads = nuclei_model(tile(&[(40.0, 30.0, 12.0), (40.0, 52.0, 12.0)]).view());
        assert_eq!(centers(&heads).len(), 2);
        let row: Vec<f32> = (30..53)
            .map(|column| heads.interior[[0, 40, column, 0]])
            .collect();
        let valley = row.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(valley < 0.1 && row[0] > 0.9 && row[22] > 0.9, "{row:?}");
    }

    #[test]
    fn outside_nuclei_the_heads_are_zero() {
        let heads = nuclei_model(tile(&[(48.0, 48.0, 12.0)]).view());
        let outside = |(row, column): (usize, usize)| {
            row.abs_diff(48).pow(2) + column.abs_diff(48).pow(2) > 15 * 15
        };
        for head in [&heads.maxima, &heads.interior] {
            assert!(
                plane(head)
                    .indexed_iter()
                    .all(|(at, value)| !outside(at) || *value == 0.0)
            );
        }
    }

    #[test]
    fn tiles_without_nuclei_stay_empty() {
        for flat in [0.0, 0.05, 1.0] {
            let tiles = Array4::from_shape_fn((2, 32, 32, 1), |(_, row, column, _)| {
                if flat == 0.05 {
                    flat + 0.03 * ((row * 5 + column * 11) % 7) as f32 / 7.0
                } else {
                    flat
                }
            });
            let heads = nuclei_model(tiles.view());
            assert!(
                flat == 1.0
                    || heads
                        .interior
                        .iter()
                        .chain(&heads.maxima)
                        .all(|value| *value == 0.0),
                "{flat}"
            );
            assert!(heads.interior.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn specks_are_no_nuclei() {
        let heads = nuclei_model(tile(&[(48.0, 48.0, 12.0), (10.0, 80.0, 1.5)]).view());
        assert_eq!(centers(&heads).len(), 1);
    }

    #[test]
    fn values_that_are_no_brightness_do_no_harm() {
        for odd in [f32::NAN, f32::INFINITY, -3.0, 1e30] {
            let mut tiles = tile(&[(48.0, 48.0, 12.0)]);
            tiles[[0, 3, 3, 0]] = odd;
            nuclei_model(tiles.view());
        }
        assert_eq!(
            nuclei_model(Array4::zeros((0, 256, 256, 1)).view())
                .maxima
                .dim(),
            (0, 256, 256, 1)
        );
        nuclei_model(Array4::ones((1, 1, 1, 1)).view());
    }

    #[test]
    fn otsu_parts_two_classes_and_finds_none_in_one() {
        let two = array![[0.1, 0.1, 0.12, 0.8], [0.1, 0.82, 0.8, 0.8]];
        assert!((0.1..0.8).contains(&otsu(&two)));
        assert_eq!(otsu(&Array2::from_elem((3, 3), 0.5)), 0.0);
    }

    #[test]
    fn holes_are_filled_and_bays_are_not() {
        let mask = array![
            [false, true, true, true],
            [false, true, false, true],
            [false, true, true, true],
            [false, false, true, false]
        ];
        let mut expected = mask.clone();
        expected[[1, 2]] = true;
        assert_eq!(filled(&mask), expected);
    }
}
