//! The order into which torch's unstable `argsort` brings integers, ties included.
//!
//! It is that of `std::sort` in GCC's library: quicksort with the median of three, heapsort where that goes too deep, and an
//! insertion sort over everything at the end. From 32,768 values on it is a radix sort instead, which is stable.
//!
//! Border: indices; what is sorted is `peaks`' business.

/// From here on the order is stable.
const RADIX: usize = 32_768;

/// Ranges up to this length are left to the insertion sort.
const SHORT: usize = 16;

/// Places of the values in ascending order.
pub(super) fn argsort(values: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    if values.len() >= RADIX {
        order.sort_by_key(|&place| values[place]);
        return order;
    }
    let mut sorting = Sorting { values, order };
    let depth = 2 * values.len().checked_ilog2().unwrap_or(0);
    sorting.quicksort(0, values.len(), depth);
    let guarded = values.len().min(SHORT);
    sorting.insert_guarded(guarded);
    for at in guarded..values.len() {
        sorting.insert(at);
    }
    sorting.order
}

struct Sorting<'a> {
    values: &'a [u32],
    order: Vec<usize>,
}

impl Sorting<'_> {
    fn at(&self, at: usize) -> u32 {
        self.values[self.order[at]]
    }

    /// Sorts a range but for short stretches, whose values are already in the right stretch.
    fn quicksort(&mut self, first: usize, mut last: usize, mut depth: u32) {
        while last - first > SHORT {
            if depth == 0 {
                return self.heapsort(first, last);
            }
            depth -= 1;
            let middle = first + (last - first) / 2;
            self.median_to(first, [first + 1, middle, last - 1]);
            let cut = self.partition(first + 1, last, first);
            self.quicksort(cut, last, depth);
            last = cut;
        }
    }

    /// Swaps the median of three places to another place.
    fn median_to(&mut self, to: usize, [x, y, z]: [usize; 3]) {
        let [a, b, c] = [x, y, z].map(|at| self.at(at));
        let median = if a < b {
            if b < c {
                y
            } else if a < c {
                z
            } else {
                x
            }
        } else if a < c {
            x
        } else if b < c {
            z
        } else {
            y
        };
        self.order.swap(to, median);
    }

    /// Where the values that are not less than the pivot begin, after those that are not greater.
    fn partition(&mut self, mut first: usize, mut last: usize, pivot: usize) -> usize {
        let pivot = self.at(pivot);
        loop {
            while self.at(first) < pivot {
                first += 1;
            }
            last -= 1;
            while pivot < self.at(last) {
                last -= 1;
            }
            if first >= last {
                return first;
            }
            self.order.swap(first, last);
            first += 1;
        }
    }

    fn heapsort(&mut self, first: usize, last: usize) {
        let length = last - first;
        for parent in (0..length / 2).rev() {
            self.sift(first, (parent, length), self.order[first + parent]);
        }
        for end in (first + 1..last).rev() {
            let place = self.order[end];
            self.order[end] = self.order[first];
            self.sift(first, (0, end - first), place);
        }
    }

    /// Puts a place into the heap of so many places that has a hole: down to a leaf, then up again.
    fn sift(&mut self, first: usize, (mut hole, length): (usize, usize), place: usize) {
        let top = hole;
        let mut child = hole;
        while child < length.saturating_sub(1) / 2 {
            child = 2 * (child + 1);
            if self.at(first + child) < self.at(first + child - 1) {
                child -= 1;
            }
            self.order[first + hole] = self.order[first + child];
            hole = child;
        }
        if length.is_multiple_of(2) && length >= 2 && child == (length - 2) / 2 {
            child = 2 * child + 1;
            self.order[first + hole] = self.order[first + child];
            hole = child;
        }
        while hole > top {
            let parent = (hole - 1) / 2;
            if self.at(first + parent) >= self.values[place] {
                break;
            }
            self.order[first + hole] = self.order[first + parent];
            hole = parent;
        }
        self.order[first + hole] = place;
    }

    /// Sorts the first places, the least of which may be anywhere.
    fn insert_guarded(&mut self, last: usize) {
        for at in 1..last {
            if self.at(at) < self.at(0) {
                self.order[..=at].rotate_right(1);
            } else {
                self.insert(at);
            }
        }
    }

    /// Moves a place back behind the last one whose value is not greater.
    fn insert(&mut self, mut at: usize) {
        let place = self.order[at];
        while at > 0 && self.values[place] < self.at(at - 1) {
            self.order[at] = self.order[at - 1];
            at -= 1;
        }
        self.order[at] = place;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Random numbers below `limit`, as the recording script made them.
    fn random(count: usize, limit: u32) -> Vec<u32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            (state >> 16) % limit
        };
        (0..count).map(|_| next()).collect()
    }

    /// Numbers for which the median of three is always nearly the least, so that quicksort goes too deep.
    fn adverse(count: usize) -> Vec<u32> {
        let half = count / 2;
        let mut values = vec![0; count];
        for i in 1..=half {
            if i % 2 == 1 {
                values[i - 1] = i as u32;
                values[i] = (half + i) as u32;
            }
            values[half + i - 1] = 2 * i as u32;
        }
        values
    }

    fn fingerprint(order: &[usize]) -> u32 {
        let add = |sum: u32, &place: &usize| sum.wrapping_mul(31).wrapping_add(place as u32);
        order.iter().fold(0, add)
    }

    #[test]
    fn a_few_values_come_in_torch_s_order() {
        assert_eq!(
            argsort(&random(17, 3)),
            [8, 16, 13, 12, 9, 7, 6, 2, 4, 10, 3, 1, 5, 0, 11, 14, 15]
        );
        assert_eq!(
            argsort(&random(16, 3)),
            [2, 6, 7, 8, 9, 12, 13, 1, 3, 4, 10, 0, 5, 11, 14, 15]
        );
    }

    #[test]
    fn many_values_come_in_torch_s_order() {
        let ties: Vec<u32> = adverse(3000).iter().map(|value| value / 7).collect();
        let recorded = [
            (random(40, 6), 1_249_816_206),
            (random(5000, 20), 2_900_765_750),
            (adverse(3000), 1_442_524_944),
            (ties, 2_716_553_048),
            (random(32_767, 50), 3_176_288_181),
            (random(32_768, 50), 2_352_004_890),
        ];
        for (values, expected) in recorded {
            let order = argsort(&values);
            assert_eq!(fingerprint(&order), expected, "{} values", values.len());
        }
    }

    proptest! {
        #[test]
        fn values_come_in_ascending_order(values in proptest::collection::vec(0..50_u32, 0..400)) {
            let order = argsort(&values);
            prop_assert!(order.is_sorted_by_key(|&place| values[place]));
            let mut places = order;
            places.sort_unstable();
            prop_assert_eq!(places, (0..values.len()).collect::<Vec<_>>());
        }
    }
}
