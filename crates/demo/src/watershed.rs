//! Which hill a pixel belongs to.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

/// The hills of an image.
pub(crate) struct Basins {
    /// The hill of each pixel `[row, column]`, counted from 1; 0 off the mask.
    pub(crate) labels: Array2<usize>,
    /// The summit of each hill as `(row, column)`, that of hill 1 first.
    pub(crate) summits: Vec<(usize, usize)>,
}

/// Cuts the pixels of the mask into hills: from the highest pixel down, each joins its highest neighbor of eight, or
/// starts a hill. Where two hills meet less than `prominence` below the lower summit, they are one.
pub(crate) fn basins(heights: ArrayView2<'_, f32>, mask: &Array2<bool>, prominence: f32) -> Basins {
    let columns = heights.ncols();
    let mut order: Vec<(usize, usize)> = mask
        .indexed_iter()
        .filter(|(_, inside)| **inside)
        .map(|(at, _)| at)
        .collect();
    order.sort_by(|a, b| heights[*b].total_cmp(&heights[*a]));
    let mut hills = Hills {
        parents: vec![usize::MAX; heights.len()],
    };
    for at in &order {
        let pixel = at.0 * columns + at.1;
        // This pixel is the pass between all hills around it, since only higher ones have come before.
        let place_of = |at: &(usize, usize)| at.0 * columns + at.1;
        let highest = |a: &(usize, usize), b: &(usize, usize)| heights[*a].total_cmp(&heights[*b]);
        let taken = neighbors(*at, heights.dim()).filter(|at| hills.has(place_of(at)));
        let next = taken.max_by(highest).map(|at| place_of(&at));
        hills.parents[pixel] = next.map_or(pixel, |next| hills.summit(next));
        for other in neighbors(*at, heights.dim()).map(|at| place_of(&at)) {
            if hills.has(other) {
                hills.join(
                    pixel,
                    other,
                    |low| heights[[low / columns, low % columns]],
                    heights[*at] + prominence,
                );
            }
        }
    }
    hills.number(&order, heights.dim())
}

/// Each pixel points to another of its hill, the summit to itself; what is off all hills to nothing.
struct Hills {
    parents: Vec<usize>,
}

impl Hills {
    fn has(&self, pixel: usize) -> bool {
        self.parents[pixel] != usize::MAX
    }

    fn summit(&mut self, mut pixel: usize) -> usize {
        while self.parents[pixel] != pixel {
            self.parents[pixel] = self.parents[self.parents[pixel]];
            pixel = self.parents[pixel];
        }
        pixel
    }

    /// Makes two hills one if the lower summit is below the bar.
    fn join(&mut self, a: usize, b: usize, height_of: impl Fn(usize) -> f32, bar: f32) {
        let (a, b) = (self.summit(a), self.summit(b));
        let (low, high) = if height_of(a) < height_of(b) {
            (a, b)
        } else {
            (b, a)
        };
        if low != high && height_of(low) < bar {
            self.parents[low] = high;
        }
    }

    /// Numbers the hills from the highest summit down.
    fn number(mut self, order: &[(usize, usize)], shape: (usize, usize)) -> Basins {
        let mut labels = Array2::zeros(shape);
        let mut summits = Vec::new();
        for at in order {
            let pixel = at.0 * shape.1 + at.1;
            let summit = self.summit(pixel);
            if summit == pixel {
                summits.push(*at);
                labels[*at] = summits.len();
            } else {
                labels[*at] = labels[[summit / shape.1, summit % shape.1]];
            }
        }
        Basins { labels, summits }
    }
}

fn neighbors(
    (row, column): (usize, usize),
    (rows, columns): (usize, usize),
) -> impl Iterator<Item = (usize, usize)> {
    around(row, rows)
        .flat_map(move |r| around(column, columns).map(move |c| (r, c)))
        .filter(move |at| *at != (row, column))
}

/// A place on an axis and those before and behind it.
fn around(at: usize, end: usize) -> Range<usize> {
    at.saturating_sub(1)..(at + 2).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn labels(prominence: f32) -> (Array2<usize>, Vec<(usize, usize)>) {
        let heights = array![[1.0, 3.0, 2.0, 5.0, 0.0]];
        let mask = array![[true, true, true, true, false]];
        let Basins { labels, summits } = basins(heights.view(), &mask, prominence);
        (labels, summits)
    }

    #[test]
    fn every_hill_has_a_number_and_a_summit() {
        assert_eq!(labels(0.5), (array![[2, 2, 1, 1, 0]], vec![(0, 3), (0, 1)]));
    }

    #[test]
    fn a_hill_that_hardly_rises_over_the_pass_belongs_to_the_next() {
        assert_eq!(labels(1.5), (array![[1, 1, 1, 1, 0]], vec![(0, 3)]));
    }

    #[test]
    fn an_empty_mask_has_no_hills() {
        let found = basins(array![[1.0, 2.0]].view(), &array![[false, false]], 0.1);
        assert!(found.summits.is_empty() && found.labels.iter().all(|label| *label == 0));
    }

    #[test]
    fn a_plateau_is_one_hill() {
        let found = basins(
            Array2::ones((4, 5)).view(),
            &Array2::from_elem((4, 5), true),
            0.1,
        );
        assert_eq!(found.summits.len(), 1);
    }
}
