//! Which items are looked at before a batch is written.

use crate::resolved::Resolved;
use crate::work::Verify;

/// Items that a stage has at most for all of them to be looked at.
const ALL: u64 = 10_000;
/// Items of larger stages that are.
const SOME: u64 = 1000;

impl Resolved {
    /// The items of a stage that are looked at before the batch is written: all of up to 10,000, else a thousand that are spread
    /// evenly, the first and the last among them. The same each time.
    pub fn looked_at(
        &self,
        stage: usize,
        all: bool,
    ) -> impl ExactSizeIterator<Item = u64> + use<'_> {
        let total = self.total(stage).unwrap_or(0);
        let wants_all = |verify: &[Verify]| verify.contains(&Verify::All(true));
        let is_whole = total <= ALL
            || all
            || self
                .stages
                .get(stage)
                .is_some_and(|stage| wants_all(&stage.work.verify));
        let count = usize::try_from(if is_whole { total } else { SOME }).unwrap_or(usize::MAX);
        (0..count).map(move |index| {
            let position = spread(index, count, total);
            self.item_at(stage, position).unwrap_or(position)
        })
    }
}

/// One of `count` positions that are spread evenly over a total, the first and the last among them.
fn spread(index: usize, count: usize, total: u64) -> u64 {
    let position = match count {
        0 | 1 => 0,
        _ => index as u128 * u128::from(total - 1) / (count - 1) as u128,
    };
    u64::try_from(position).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_reaches_from_the_first_to_the_last() {
        let positions: Vec<_> = (0..1000)
            .map(|index| spread(index, 1000, 12_000_000))
            .collect();
        assert_eq!((positions[0], positions[999]), (0, 11_999_999));
        assert!(positions.is_sorted_by(|one, other| other - one >= 12_012));
        assert_eq!(spread(7, 10_000, 10_000), 7);
    }
}
