//! A permutation of the numbers below N that nobody has to store.
//!
//! Four rounds of a Feistel network over the next even number of bits; what falls outside of N is permuted again until it is
//! inside. The result is a part of each plan's digest: neither the mixing nor the keys may ever change.

/// Permutes `[0, len)`, the same way for the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    half: u32,
    keys: [u64; 4],
}

impl Permutation {
    /// The permutation of a seed.
    ///
    /// # Panics
    ///
    /// If there are more than 2⁶² numbers, which no stage has.
    pub fn new(len: u64, seed: u64) -> Self {
        assert!(
            len <= 1 << 62,
            "a permutation of more than 2^62 numbers was asked for"
        );
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut state = seed;
        Self {
            len,
            half: bits.div_ceil(2).max(1),
            keys: std::array::from_fn(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(state)
            }),
        }
    }

    /// The item at a position. Positions from `len` on are their own items.
    pub fn item(&self, position: u64) -> u64 {
        self.walk(position, |left, right| {
            self.keys
                .iter()
                .fold((left, right), |(l, r), &key| (r, l ^ self.round(r, key)))
        })
    }

    /// The position of an item.
    pub fn position(&self, item: u64) -> u64 {
        self.walk(item, |left, right| {
            self.keys
                .iter()
                .rev()
                .fold((left, right), |(l, r), &key| (r ^ self.round(l, key), l))
        })
    }

    fn round(&self, value: u64, key: u64) -> u64 {
        mix(value ^ key) & self.mask()
    }

    fn mask(&self) -> u64 {
        (1 << self.half) - 1
    }

    /// The network covers less than four times as many numbers as there are, so few steps are to be expected; and since it is a
    /// permutation, a walk from inside comes back inside.
    fn walk(&self, from: u64, step: impl Fn(u64, u64) -> (u64, u64)) -> u64 {
        if from >= self.len {
            return from;
        }
        let mut value = from;
        loop {
            let (left, right) = step(value >> self.half, value & self.mask());
            value = (left << self.half) | right;
            if value < self.len {
                return value;
            }
        }
    }
}

/// The output function of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_those_of_splitmix64() {
        // The first outputs of the reference implementation for seed 1234567.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
        ];
        assert_eq!(Permutation::new(10, 1_234_567).keys, expected);
    }

    #[test]
    fn small_ones_are_permutations() {
        for len in 0..70 {
            let permutation = Permutation::new(len, 7);
            let mut items: Vec<_> = (0..len).map(|p| permutation.item(p)).collect();
            items.sort_unstable();
            assert_eq!(items, (0..len).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn each_item_has_one_position(len in 1_u64..3000, seed: u64) {
            let permutation = Permutation::new(len, seed);
            let mut seen = vec![false; usize::try_from(len).unwrap()];
            for position in 0..len {
                let item = permutation.item(position);
                prop_assert!(item < len);
                prop_assert!(!std::mem::replace(&mut seen[usize::try_from(item).unwrap()], true));
                prop_assert_eq!(permutation.position(item), position);
            }
        }

        #[test]
        fn large_ones_come_back(len in 1_u64..=1 << 31, seed: u64, at: proptest::sample::Index) {
            let position = at.index(usize::try_from(len).unwrap()) as u64;
            let permutation = Permutation::new(len, seed);
            prop_assert_eq!(permutation.position(permutation.item(position)), position);
        }
    }
}
