//! Colors for cells: bright, and far apart where cells lie side by side. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cell_pictures::bright;
use image::Rgb;
use ndarray::{ArrayView1, ArrayView2};

/// Hues one golden angle apart, in degrees, never come close to each other for long.
const GOLDEN_ANGLE: f64 = 137.507_764_05;

/// Neighbors should be at least this far apart on the circle of hues, in degrees.
const APART: f64 = 55.0;

/// How many hues are tried for one cell.
const TRIES: u32 = 24;

/// Cells with no more background than this between them are neighbors, in pixels along a row or column.
const NEAR: usize = 12;

/// A color for each label of the label images (`[row, column]`, 0 is background) that differs from those of its
/// neighbors in any of them, and from those that are `beside` it elsewhere.
pub(crate) fn colors<'l>(
    images: impl IntoIterator<Item = ArrayView2<'l, u32>>,
    beside: &[(u32, u32)],
) -> BTreeMap<u32, Rgb<u8>> {
    let mut neighbors = Neighbors::new();
    images
        .into_iter()
        .for_each(|labels| add_neighbors(&mut neighbors, labels));
    beside
        .iter()
        .for_each(|pair| add_pair(&mut neighbors, *pair));
    hues(&neighbors)
        .into_iter()
        .map(|(label, hue)| (label, Rgb(bright(hue))))
        .collect()
}

/// For each label the labels that lie near it.
type Neighbors = BTreeMap<u32, BTreeSet<u32>>;

fn add_neighbors(neighbors: &mut Neighbors, labels: ArrayView2<'_, u32>) {
    for &label in labels.iter().filter(|label| **label != 0) {
        neighbors.entry(label).or_default();
    }
    for lane in labels.rows().into_iter().chain(labels.columns()) {
        meetings(lane)
            .into_iter()
            .for_each(|pair| add_pair(neighbors, pair));
    }
}

fn add_pair(neighbors: &mut Neighbors, (a, b): (u32, u32)) {
    neighbors.entry(a).or_default().insert(b);
    neighbors.entry(b).or_default().insert(a);
}

/// Pairs of labels that follow each other in a row or column with little between them.
fn meetings(lane: ArrayView1<'_, u32>) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    let mut last: Option<(usize, u32)> = None;
    for (place, &label) in lane.indexed_iter().filter(|(_, label)| **label != 0) {
        if let Some((end, before)) = last
            && before != label
            && place - end - 1 <= NEAR
        {
            pairs.push((before, label));
        }
        last = Some((place, label));
    }
    pairs
}

/// A hue for each label, in degrees: the first of its own sequence that is far from all neighbors which have one
/// already, else the farthest.
fn hues(neighbors: &Neighbors) -> BTreeMap<u32, f64> {
    let mut hues = BTreeMap::new();
    for (&label, beside) in neighbors {
        let taken: Vec<f64> = beside
            .iter()
            .filter_map(|label| hues.get(label).copied())
            .collect();
        let room = |hue: f64| {
            taken
                .iter()
                .map(|other| distance(hue, *other))
                .fold(180.0, f64::min)
        };
        let tried = (0..TRIES).map(|n| (f64::from(label) + f64::from(n)) * GOLDEN_ANGLE % 360.0);
        let (mut best, mut most) = (0.0, -1.0);
        for hue in tried {
            if room(hue) > most {
                (best, most) = (hue, room(hue));
            }
            if most >= APART {
                break;
            }
        }
        hues.insert(label, best);
    }
    hues
}

/// Degrees between two hues, at most 180.
fn distance(a: f64, b: f64) -> f64 {
    let turn = (a - b).rem_euclid(360.0);
    turn.min(360.0 - turn)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    fn neighbors(labels: ArrayView2<'_, u32>) -> Neighbors {
        let mut neighbors = Neighbors::new();
        add_neighbors(&mut neighbors, labels);
        neighbors
    }

    #[test]
    fn cells_near_each_other_are_neighbors_and_distant_ones_are_not() {
        let mut labels = Array2::zeros((1, 40));
        (labels[[0, 0]], labels[[0, NEAR + 1]], labels[[0, 39]]) = (1, 2, 3);
        let neighbors = neighbors(labels.view());
        assert_eq!(neighbors[&1], BTreeSet::from([2]));
        assert_eq!(neighbors[&2], BTreeSet::from([1]));
        assert_eq!(neighbors[&3], BTreeSet::new());
    }

    #[test]
    fn every_label_has_a_color_and_the_background_none() {
        let images = [array![[0, 4, 4], [9, 0, 2]], array![[5, 0, 4], [0, 0, 0]]];
        let colors = colors(images.iter().map(|labels| labels.view()), &[(2, 7)]);
        assert_eq!(colors.keys().copied().collect::<Vec<_>>(), [2, 4, 5, 7, 9]);
    }

    proptest! {
        #[test]
        fn neighbors_differ_as_far_as_their_number_allows(pixels in proptest::collection::vec(0_u32..12, 64)) {
            let labels = Array2::from_shape_vec((8, 8), pixels).expect("64 pixels");
            let neighbors = neighbors(labels.view());
            let hues = hues(&neighbors);
            for (label, beside) in &neighbors {
                let earlier: Vec<_> = beside.iter().filter(|other| *other < label).collect();
                let room = 180.0 / earlier.len().max(1) as f64 - 15.0;
                for other in earlier {
                    let apart = distance(hues[label], hues[other]);
                    prop_assert!(apart >= room.min(APART), "{label} and {other} are {apart} degrees apart");
                }
            }
        }
    }
}
