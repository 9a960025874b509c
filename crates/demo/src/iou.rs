//! How well one label image agrees with another. Pure.

use std::collections::HashMap;

use ndarray::{ArrayView2, Zip};

/// Cells of two label images, counted and compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Agreement {
    /// Cells in the image that is scored.
    pub(crate) found: usize,
    /// Cells in the ground truth.
    pub(crate) expected: usize,
    /// Pairs of a found and an expected cell that share more than half of their union.
    pub(crate) matched: usize,
    iou_sum: f64,
}

impl Agreement {
    /// Compares two label images `[row, column]` of one shape, background 0; which numbers the cells have is irrelevant.
    ///
    /// The intersection over union (`IoU`) of two cells is the number of pixels that both have by the number that at least
    /// one has. A found and an expected cell match when it is greater than 0.5: then each has more than half of the
    /// other, so neither can match a second one, and the matching needs no choice.
    ///
    /// # Panics
    ///
    /// If the shapes differ.
    pub(crate) fn of(found: ArrayView2<'_, u32>, expected: ArrayView2<'_, u32>) -> Self {
        assert_eq!(
            found.dim(),
            expected.dim(),
            "label images of one shape are compared"
        );
        let (found_areas, expected_areas) = (areas(found), areas(expected));
        let (mut matched, mut iou_sum) = (0, 0.0);
        for ((a, b), common) in overlaps(found, expected) {
            let union = found_areas[&a] + expected_areas[&b] - common;
            if 2 * common > union {
                matched += 1;
                iou_sum += common as f64 / union as f64;
            }
        }
        Self {
            found: found_areas.len(),
            expected: expected_areas.len(),
            matched,
            iou_sum,
        }
    }

    /// Twice the matches by the cells of both images: 1 when every cell has its match, and for two empty images.
    pub(crate) fn f1(&self) -> f64 {
        match self.found + self.expected {
            0 => 1.0,
            cells => 2.0 * self.matched as f64 / cells as f64,
        }
    }

    /// The mean `IoU` of the matches, if there are any.
    pub(crate) fn mean_iou(&self) -> Option<f64> {
        (self.matched > 0).then(|| self.iou_sum / self.matched as f64)
    }
}

/// Pixels of each cell.
fn areas(labels: ArrayView2<'_, u32>) -> HashMap<u32, usize> {
    let mut areas = HashMap::new();
    for &label in labels.iter().filter(|label| **label != 0) {
        *areas.entry(label).or_default() += 1;
    }
    areas
}

/// Pixels that a cell of the one and a cell of the other image have in common.
fn overlaps(a: ArrayView2<'_, u32>, b: ArrayView2<'_, u32>) -> HashMap<(u32, u32), usize> {
    let mut overlaps = HashMap::new();
    Zip::from(a).and(b).for_each(|&a, &b| {
        if a != 0 && b != 0 {
            *overlaps.entry((a, b)).or_default() += 1;
        }
    });
    overlaps
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_than_half_is_needed_for_a_match() {
        let truth = array![[1, 1, 1, 1]];
        let half = Agreement::of(array![[5, 5, 0, 0]].view(), truth.view());
        assert_eq!((half.matched, half.f1(), half.mean_iou()), (0, 0.0, None));
        let most = Agreement::of(array![[5, 5, 5, 0]].view(), truth.view());
        assert_eq!(
            (most.matched, most.f1(), most.mean_iou()),
            (1, 1.0, Some(0.75))
        );
    }

    #[test]
    fn a_merged_pair_counts_as_one_found_cell() {
        let agreement = Agreement::of(
            array![[7, 7, 7, 7, 7, 0]].view(),
            array![[1, 1, 1, 2, 2, 0]].view(),
        );
        assert_eq!(
            (agreement.found, agreement.expected, agreement.matched),
            (1, 2, 1)
        );
        assert!((agreement.f1() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn two_empty_images_agree() {
        let empty = Array2::zeros((3, 3));
        assert_eq!(Agreement::of(empty.view(), empty.view()).f1(), 1.0);
    }

    fn labels() -> impl Strategy<Value = Array2<u32>> {
        proptest::collection::vec(0_u32..4, 24)
            .prop_map(|v| Array2::from_shape_vec((4, 6), v).expect("24 pixels"))
    }

    fn pixels(labels: &Array2<u32>, label: u32) -> HashSet<(usize, usize)> {
        labels
            .indexed_iter()
            .filter(|(_, value)| **value == label)
            .map(|(place, _)| place)
            .collect()
    }

    /// Every pair of sets of pixels, one after the other.
    fn slow(found: &Array2<u32>, expected: &Array2<u32>) -> (usize, f64) {
        let mut result = (0, 0.0);
        for a in 1..4 {
            for b in 1..4 {
                let (a, b) = (pixels(found, a), pixels(expected, b));
                let iou = a.intersection(&b).count() as f64 / a.union(&b).count().max(1) as f64;
                if iou > 0.5 {
                    result = (result.0 + 1, result.1 + iou);
                }
            }
        }
        result
    }

    proptest! {
        #[test]
        fn it_matches_the_slow_definition(found in labels(), expected in labels()) {
            let agreement = Agreement::of(found.view(), expected.view());
            let (matched, iou_sum) = slow(&found, &expected);
            prop_assert_eq!(agreement.matched, matched);
            prop_assert!((agreement.iou_sum - iou_sum).abs() < 1e-9);
        }

        #[test]
        fn no_cell_is_matched_twice(found in labels(), expected in labels()) {
            let agreement = Agreement::of(found.view(), expected.view());
            prop_assert!(agreement.matched <= agreement.found.min(agreement.expected));
        }

        #[test]
        fn an_image_agrees_with_itself_under_other_numbers(labels in labels()) {
            let renumbered = labels.mapv(|label| if label == 0 { 0 } else { 90 - label });
            let agreement = Agreement::of(renumbered.view(), labels.view());
            prop_assert_eq!(agreement.matched, agreement.expected);
            prop_assert_eq!(agreement.f1(), 1.0);
        }
    }
}
