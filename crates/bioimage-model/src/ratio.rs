//! Small fractions: how many pixels of one grid lie on how many of another.

/// `up` pixels for each `down` pixels, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ratio {
    pub(crate) up: usize,
    pub(crate) down: usize,
}

/// The largest number of either side.
const MOST: usize = 64;

impl Ratio {
    /// The fraction of small numbers that this is, if it is one.
    pub(crate) fn of(number: f64) -> Option<Self> {
        (1..=MOST).find_map(|down| {
            let up = number * down as f64;
            let rounded = up.round();
            let is_whole = (up - rounded).abs() <= 1e-6 * rounded;
            let fits = (1.0..=MOST as f64).contains(&rounded);
            (is_whole && fits).then_some(Self {
                up: rounded as usize,
                down,
            })
        })
    }

    /// Pixels of the finer side for so many of the other; nothing if they do not meet.
    pub(crate) fn exactly(self, pixels: usize) -> Option<usize> {
        let up = pixels.checked_mul(self.up)?;
        (up % self.down == 0).then_some(up / self.down)
    }

    /// Pixels that cover so many, rounded up.
    pub(crate) fn covering(self, pixels: usize) -> usize {
        pixels.saturating_mul(self.up).div_ceil(self.down)
    }

    /// The other way around.
    pub(crate) fn turned(self) -> Self {
        Self {
            up: self.down,
            down: self.up,
        }
    }
}

/// The smallest number that both divide.
pub(crate) fn common_multiple(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a.saturating_mul(b) / divisor.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_fractions_are_found_and_others_not() {
        assert_eq!(Ratio::of(0.5), Some(Ratio { up: 1, down: 2 }));
        assert_eq!(Ratio::of(1.0 / 3.0), Some(Ratio { up: 1, down: 3 }));
        assert_eq!(Ratio::of(1.5), Some(Ratio { up: 3, down: 2 }));
        assert_eq!(Ratio::of(0.1 * 3.0 / 0.3), Some(Ratio { up: 1, down: 1 }));
        for none in [
            0.0,
            -1.0,
            1.0 / 65.0,
            65.0,
            0.123_456,
            f64::NAN,
            f64::INFINITY,
        ] {
            assert_eq!(Ratio::of(none), None, "{none}");
        }
    }

    #[test]
    fn pixels_meet_or_are_covered() {
        let half = Ratio { up: 1, down: 2 };
        assert_eq!(
            (half.exactly(6), half.exactly(7), half.covering(7)),
            (Some(3), None, 4)
        );
        assert_eq!(half.turned().covering(3), 6);
        assert_eq!((common_multiple(4, 6), common_multiple(1, 1)), (12, 1));
    }
}
