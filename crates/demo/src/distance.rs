//! How far from the background a pixel is.

use ndarray::Array2;

/// The Euclidean distance `[row, column]` of every pixel of the mask to the nearest pixel outside of it, 0 outside.
/// What lies beyond the edge of the image counts as inside; without any pixel outside, distances are those to a
/// background farther away than the image is wide.
///
/// Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions (2012); exact.
pub(crate) fn distance_inside(mask: &Array2<bool>) -> Array2<f32> {
    let far = (mask.nrows() + mask.ncols()) as f32;
    let mut squares = mask.mapv(|inside| if inside { far * far } else { 0.0 });
    for mut column in squares.columns_mut() {
        let line = lower_envelope(&column.to_vec());
        column
            .iter_mut()
            .zip(line)
            .for_each(|(place, square)| *place = square);
    }
    for mut row in squares.rows_mut() {
        let line = lower_envelope(&row.to_vec());
        row.iter_mut()
            .zip(line)
            .for_each(|(place, square)| *place = square);
    }
    squares.mapv_into(f32::sqrt)
}

/// At every place the least of `(place - other)² + line[other]` over all others.
fn lower_envelope(line: &[f32]) -> Vec<f32> {
    // Apexes of the parabolas that are lowest somewhere, and from where on, left to right.
    let mut parabolas: Vec<(usize, f32)> = Vec::with_capacity(line.len());
    for (apex, height) in line.iter().enumerate() {
        let from = loop {
            let Some(&(last, last_from)) = parabolas.last() else {
                break f32::NEG_INFINITY;
            };
            let crossing = crossing(
                Parabola {
                    apex: last,
                    height: line[last],
                },
                Parabola {
                    apex,
                    height: *height,
                },
            );
            if crossing > last_from {
                break crossing;
            }
            parabolas.pop();
        };
        parabolas.push((apex, from));
    }
    let mut current = 0;
    let envelope = (0..line.len()).map(|place| {
        while parabolas
            .get(current + 1)
            .is_some_and(|(_, from)| *from < place as f32)
        {
            current += 1;
        }
        let apex = parabolas[current].0;
        (place.abs_diff(apex).pow(2)) as f32 + line[apex]
    });
    envelope.collect()
}

/// The curve `(place - apex)² + height`.
#[derive(Clone, Copy)]
struct Parabola {
    apex: usize,
    height: f32,
}

/// Where the parabola with the left apex stops being the lower one.
fn crossing(left: Parabola, right: Parabola) -> f32 {
    let (a, b) = (left.apex as f32, right.apex as f32);
    ((right.height + b * b) - (left.height + a * a)) / (2.0 * (b - a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(mask: &Array2<bool>) -> Array2<f32> {
        let outside: Vec<_> = mask
            .indexed_iter()
            .filter(|(_, inside)| !**inside)
            .map(|(at, _)| at)
            .collect();
        Array2::from_shape_fn(mask.dim(), |(row, column)| {
            let squares = outside
                .iter()
                .map(|(r, c)| row.abs_diff(*r).pow(2) + column.abs_diff(*c).pow(2));
            (squares.min().expect("there is an outside") as f32).sqrt()
        })
    }

    proptest! {
        #[test]
        fn distances_equal_those_of_a_search_over_all_pixels(
            bits in proptest::collection::vec(proptest::bool::weighted(0.9), 12 * 17)
        ) {
            let mut mask = Array2::from_shape_vec((12, 17), bits).expect("as many as pixels");
            mask[[3, 5]] = false;
            prop_assert_eq!(distance_inside(&mask), slow(&mask));
        }
    }

    #[test]
    fn without_an_outside_distances_are_large_and_finite() {
        let distances = distance_inside(&Array2::from_elem((4, 5), true));
        assert!(distances.iter().all(|distance| *distance == 9.0));
    }
}
