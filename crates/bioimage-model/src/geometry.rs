//! How the input and the outputs of a network go together along y and x.

use crate::axis::Axis;
use crate::fit::{Fit, Related, input_axis, relation};
use crate::ratio::common_multiple;
use crate::reader::{MAX_SIZE, Reader};
use crate::sides::{Lengths, Side};
use crate::tensor_description::{Input, Output};

/// How the input and the outputs of a network go together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// Along y and along x.
    pub(crate) sides: [Side; 2],
}

/// The names of the sides.
pub(crate) const SIDES: [&str; 2] = ["y", "x"];

/// Tiles of one kind that are looked at: the lengths that fit repeat sooner.
const TRIES: usize = 4096;

/// In which direction the next tile is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Toward {
    Longer,
    Shorter,
}

impl Geometry {
    /// Reads it out of sizes, scales and halos; where they do not go together, the axis is told.
    pub(crate) fn read(reader: &mut Reader, input: &Input, outputs: &[Output]) -> Option<Self> {
        let related = Related { input, outputs };
        let [down, across] = [0, 1].map(|side| read_side(reader, &related, side));
        let geometry = Self {
            sides: [down?, across?],
        };
        if geometry.smallest().is_none() {
            let margins = geometry.sides.each_ref().map(|side| 2 * side.margin);
            reader.problems.add(
                "inputs[0].axes",
                format!("no size is larger than twice the halo, {margins:?} pixels along y and x, and goes evenly into all outputs"),
            );
            return None;
        }
        Some(geometry)
    }

    /// The smallest tile.
    pub(crate) fn smallest(&self) -> Option<[usize; 2]> {
        self.find([1, 1], Toward::Longer)
    }

    /// The smallest tile whose sides are no shorter than these, where they can be as long.
    pub(crate) fn at_least(&self, wanted: [usize; 2]) -> Option<[usize; 2]> {
        self.find(wanted, Toward::Longer)
    }

    /// The largest tile whose sides are no longer than these, or the smallest of all.
    pub(crate) fn at_most(&self, wanted: [usize; 2]) -> Option<[usize; 2]> {
        self.find(wanted, Toward::Shorter)
            .or_else(|| self.smallest())
    }

    fn find(&self, wanted: [usize; 2], toward: Toward) -> Option<[usize; 2]> {
        let [y, x] = &self.sides;
        match (&y.lengths, &x.lengths) {
            (Lengths::Like { .. }, _) => self.find_together(wanted, toward, 1),
            (_, Lengths::Like { .. }) => self.find_together(wanted, toward, 0),
            _ => {
                let [rows, columns] = wanted;
                let rows = candidates(y, rows, toward).find(|&rows| y.accepts(rows))?;
                let columns = candidates(x, columns, toward).find(|&columns| x.accepts(columns))?;
                Some([rows, columns])
            }
        }
    }

    /// Where one side follows the other, which leads.
    fn find_together(
        &self,
        wanted: [usize; 2],
        toward: Toward,
        leader: usize,
    ) -> Option<[usize; 2]> {
        let follower = 1 - leader;
        let [leading, following] = [&self.sides[leader], &self.sides[follower]];
        let needed = following.lengths.leader_of(wanted[follower]);
        let wanted = match toward {
            Toward::Longer => wanted[leader].max(needed),
            Toward::Shorter => wanted[leader].min(needed),
        };
        candidates(leading, wanted, toward).find_map(|lead| {
            let follow = following.lengths.follower_of(lead)?;
            let is_good = leading.accepts(lead) && following.accepts(follow);
            is_good.then_some(if leader == 0 {
                [lead, follow]
            } else {
                [follow, lead]
            })
        })
    }
}

/// Lengths that the description allows, from the wanted one on.
fn candidates(side: &Side, wanted: usize, toward: Toward) -> impl Iterator<Item = usize> {
    let (min, step, last) = match side.lengths {
        Lengths::Fixed(length) => (length, 1, 0),
        Lengths::Steps { min, step } => (min, step, MAX_SIZE.saturating_sub(min) / step),
        Lengths::Like { .. } => (1, 1, MAX_SIZE - 1),
    };
    let beyond = match toward {
        Toward::Longer => wanted
            .max(side.shortest())
            .saturating_sub(min)
            .div_ceil(step),
        Toward::Shorter => wanted.saturating_sub(min) / step,
    };
    let start = beyond.min(last);
    let at = move |index: usize| match toward {
        Toward::Longer => start.checked_add(index),
        Toward::Shorter => start.checked_sub(index),
    };
    (0..TRIES)
        .map_while(at)
        .take_while(move |&k| k <= last)
        .map(move |k| min + k * step)
}

fn read_side(reader: &mut Reader, related: &Related<'_>, side: usize) -> Option<Side> {
    let own = input_axis(related.input, SIDES[side])?;
    let lengths = match Lengths::read(own, related.input) {
        Ok(lengths) => lengths,
        Err(message) => {
            let path = format!("inputs[0].axes[{}].size", place(&related.input.axes, own));
            reader.problems.add(&path, message);
            return None;
        }
    };
    let fits = read_fits(reader, related, side)?;
    let align = fits
        .iter()
        .fold(1, |align, fit| common_multiple(align, fit.ratio.down));
    if align > TRIES {
        let message = format!(
            "the scales of the outputs along `{}` meet only every {align} pixels",
            SIDES[side]
        );
        reader.problems.add("outputs", message);
        return None;
    }
    let margin = fits.iter().map(Fit::margin).max().unwrap_or(0);
    Some(Side {
        lengths,
        align,
        margin: margin.next_multiple_of(align),
        fits,
    })
}

fn read_fits(reader: &mut Reader, related: &Related<'_>, side: usize) -> Option<Vec<Fit>> {
    let mut fits = Vec::new();
    for (index, output) in related.outputs.iter().enumerate() {
        let axis = output.axes.iter().find(|axis| axis.id == SIDES[side])?;
        let fit = relation(axis, related)
            .and_then(|relation| Fit::of(relation, axis.halo, output.grid()[side]));
        fits.push(fit.map_err(|message| {
            let path = format!("outputs[{index}].axes[{}].size", place(&output.axes, axis));
            reader.problems.add(&path, message);
        }));
    }
    // All are read, so that all problems are found.
    fits.into_iter().collect::<Result<_, _>>().ok()
}

fn place(axes: &[Axis], axis: &Axis) -> usize {
    axes.iter()
        .position(|other| other.id == axis.id)
        .unwrap_or(0)
}
