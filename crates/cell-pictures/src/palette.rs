//! Colors for labels.

use crate::color::bright;

/// Colors of the brightest palette.
const HUES: usize = 60;

/// Hues one golden angle apart never come close to each other for long.
const GOLDEN_ANGLE: f64 = 137.507_764_05;

/// Colors that people with any of the common color blindnesses tell apart (Okabe and Ito, "Color Universal Design", 2008),
/// without black.
const OKABE_ITO: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// Which colors labels have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Sixty bright hues.
    #[default]
    Bright,
    /// Seven colors that the color-blind tell apart.
    ColorBlind,
    /// Yellow for all.
    Single,
}

impl Palette {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bright, Self::ColorBlind, Self::Single];

    /// Its colors (sRGB).
    pub(crate) fn colors(self) -> Vec<[u8; 3]> {
        match self {
            Self::Bright => (0..HUES)
                .map(|n| bright(n as f64 * GOLDEN_ANGLE % 360.0))
                .collect(),
            Self::ColorBlind => OKABE_ITO.to_vec(),
            Self::Single => vec![[255, 225, 25]],
        }
    }
}

/// Which of so many colors a label has: the same at all times, and seldom that of the label before.
pub(crate) fn color_of(label: u32, colors: usize) -> usize {
    // Multiplication by the golden ratio spreads labels that follow each other over the whole range.
    let spread = label.wrapping_mul(0x9e37_79b9);
    ((u64::from(spread) * colors as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_follow_each_other_differ_and_all_colors_are_used() {
        for palette in [Palette::Bright, Palette::ColorBlind] {
            let count = palette.colors().len();
            let mut used = vec![0_usize; count];
            for label in 1..10_000 {
                used[color_of(label, count)] += 1;
                assert_ne!(
                    color_of(label, count),
                    color_of(label + 1, count),
                    "{label}"
                );
            }
            let fair = 10_000 / count;
            assert!(
                used.iter().all(|uses| uses.abs_diff(fair) < fair / 4),
                "{used:?}"
            );
        }
        assert_eq!(color_of(u32::MAX, 1), 0);
    }

    #[test]
    fn a_palette_leaves_room_for_nothing_and_for_the_dark_side() {
        for palette in Palette::ALL {
            let colors = palette.colors();
            assert!(!colors.is_empty() && colors.len() <= 254);
            let distinct: std::collections::BTreeSet<_> = colors.iter().collect();
            assert_eq!(distinct.len(), colors.len(), "{palette:?}");
        }
    }
}
