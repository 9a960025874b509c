//! The cost of linking tracks to cells, of ending tracks and of beginning new ones.

use ndarray::{Array2, ArrayView3};

/// What it costs that a track ends or that a cell begins one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BirthDeathCost {
    /// Cost of a cell without a track (default 0.99).
    pub birth: f32,
    /// Cost of a track without a cell (default 0.99).
    pub death: f32,
}

impl Default for BirthDeathCost {
    fn default() -> Self {
        Self {
            birth: 0.99,
            death: 0.99,
        }
    }
}

/// Costs `[track + cell, cell + track]` of an assignment, from the probabilities `[track, cell, 3]` that the cell is the
/// track's own, another one, or a daughter (Jaqaman et al., "Robust single-particle tracking in live-cell time-lapse sequences", 2008).
///
/// Upper left, links: 1 minus the probability of the same cell in `f32`, all 1 for a `capped` track. Upper right: death on
/// the diagonal, 1 elsewhere; lower left: birth likewise. Lower right: the links transposed.
///
/// # Panics
///
/// If `capped` does not have one flag for each track.
#[must_use]
pub fn cost_matrix(
    probabilities: ArrayView3<'_, f32>,
    capped: &[bool],
    birth_death: BirthDeathCost,
) -> Array2<f32> {
    let (tracks, cells, _) = probabilities.dim();
    assert_eq!(tracks, capped.len(), "a flag for each track");
    let mut cost = Array2::from_elem((tracks + cells, cells + tracks), 1.0);
    for (track, (row, &capped)) in probabilities.outer_iter().zip(capped).enumerate() {
        cost[[track, cells + track]] = birth_death.death;
        if capped {
            continue;
        }
        for (cell, answer) in row.outer_iter().enumerate() {
            let link = 1.0 - answer[0];
            cost[[track, cell]] = link;
            cost[[tracks + cell, cells + track]] = link;
        }
    }
    for cell in 0..cells {
        cost[[tracks + cell, cell]] = birth_death.birth;
    }
    cost
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_capped_track_costs_as_much_as_anything_can() {
        let probabilities = array![[[0.75, 0.25, 0.0]], [[0.5, 0.5, 0.0]]];
        let birth_death = BirthDeathCost {
            birth: 0.9,
            death: 0.8,
        };
        let cost = cost_matrix(probabilities.view(), &[false, true], birth_death);
        assert_eq!(
            cost,
            array![[0.25, 0.8, 1.0], [1.0, 1.0, 0.8], [0.9, 0.25, 1.0]]
        );
    }
}
