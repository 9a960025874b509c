//! Label images row by row: which labels there are, dropping some, numbering the others.
//!
//! Border: values of labels; their shapes are `cells`' business.

use std::collections::HashMap;

/// How many pixels have each of the labels `0..=last`.
pub(super) fn counts(labels: &[u32], last: usize) -> Vec<usize> {
    let mut counts = vec![0; last + 1];
    for stretch in labels.chunk_by(|a, b| a == b) {
        counts[stretch[0] as usize] += stretch.len();
    }
    counts
}

/// Sets the labels to 0 that `is_bad`, which has one answer for each label from 0 on.
pub(super) fn drop_labels(labels: &mut [u32], is_bad: &[bool]) {
    if is_bad.contains(&true) {
        for label in labels.iter_mut().filter(|label| is_bad[**label as usize]) {
            *label = 0;
        }
    }
}

/// Numbers labels of `1..=last` anew from 1 in the order in which they appear; 0 stays.
pub(super) fn in_order_of_appearance(labels: &mut [u32], last: usize) {
    let mut numbers = vec![0; last + 1];
    let mut next = 1;
    for label in labels.iter_mut().filter(|label| **label != 0) {
        let number = &mut numbers[*label as usize];
        if *number == 0 {
            *number = next;
            next += 1;
        }
        *label = *number;
    }
}

/// Numbers labels anew from 1 in ascending order, 0 stays; how many there are.
pub(super) fn in_ascending_order(labels: &mut [u32]) -> usize {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for stretch in labels.chunk_by(|a, b| a == b) {
        numbers.insert(stretch[0], 0);
    }
    numbers.remove(&0);
    let mut present: Vec<u32> = numbers.keys().copied().collect();
    present.sort_unstable();
    for (number, label) in (1..).zip(&present) {
        numbers.insert(*label, number);
    }
    for stretch in labels.chunk_by_mut(|a, b| a == b) {
        let number = numbers.get(&stretch[0]).copied().unwrap_or(0);
        stretch.fill(number);
    }
    present.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_as_they_appear() {
        let mut labels = [0, 5, 5, 2, 0, 5, 1];
        in_order_of_appearance(&mut labels, 5);
        assert_eq!(labels, [0, 1, 1, 2, 0, 1, 3]);
    }

    #[test]
    fn labels_are_numbered_as_they_ascend() {
        let mut labels = [9, 0, 4, 4, u32::MAX, 9, 0];
        assert_eq!(in_ascending_order(&mut labels), 3);
        assert_eq!(labels, [2, 0, 1, 1, 3, 2, 0]);
    }

    #[test]
    fn labels_are_counted_and_dropped() {
        let mut labels = [1, 1, 0, 3, 1];
        assert_eq!(counts(&labels, 3), [1, 3, 0, 1]);
        drop_labels(&mut labels, &[true, true, false, false]);
        assert_eq!(labels, [0, 0, 0, 3, 0]);
    }
}
