//! The picture of a lineage: time from left to right, a line for each track, a fork where a cell divides. Pure.

use std::collections::BTreeMap;

use ndarray::Array3;

use super::glyphs::{self, fill};
use super::palette::Rgb;
use crate::applications::cell_tracking::{Lineage, LineageEntry};

/// Pixels from one track to the next.
const ROW: usize = 36;

/// Pixels around the tree.
const MARGIN: usize = 56;

/// Width of a line, and of a mark where the cell was seen.
const LINE: usize = 4;
const MARK: usize = 12;

const GROUND: Rgb = [24; 3];
const GRID: Rgb = [64; 3];
const TEXT: Rgb = [200; 3];

/// The labels of the tracks from top to bottom: each family together, a mother between her daughters.
pub(super) fn order(lineage: &Lineage) -> Vec<i32> {
    let entries: BTreeMap<i32, &LineageEntry> =
        lineage.0.iter().map(|entry| (entry.label, entry)).collect();
    let mut order = Vec::new();
    for entry in lineage.0.iter().filter(|entry| entry.parent.is_none()) {
        add_family(&entries, entry, &mut order);
    }
    order
}

fn add_family(entries: &BTreeMap<i32, &LineageEntry>, mother: &LineageEntry, order: &mut Vec<i32>) {
    let daughters: Vec<_> = mother
        .daughters
        .iter()
        .filter_map(|label| entries.get(label))
        .collect();
    let (above, below) = daughters.split_at(daughters.len() / 2);
    above
        .iter()
        .for_each(|daughter| add_family(entries, daughter, order));
    order.push(mother.label);
    below
        .iter()
        .for_each(|daughter| add_family(entries, daughter, order));
}

/// The picture `[row, column, colour]` of the tracks of a movie of so many frames, `width` pixels wide.
///
/// A track has a mark in each frame in which its cell was seen, and its label beside the first. Labels are those of
/// `colours`; a track without one is left out.
pub(super) fn draw(
    lineage: &Lineage,
    frames: usize,
    colours: &BTreeMap<u32, Rgb>,
    width: usize,
) -> Array3<u8> {
    let order = order(lineage);
    let height = 2 * MARGIN + ROW * order.len().saturating_sub(1);
    let mut picture = Array3::from_elem((height, width, 3), GROUND[0]);
    let axes = Axes {
        step: (width.saturating_sub(2 * MARGIN)) / frames.saturating_sub(1).max(1),
    };
    for frame in 0..frames {
        let (column, text) = (axes.column(frame), frame.to_string());
        fill(
            &mut picture,
            [MARGIN / 2, column],
            [height - MARGIN, 1],
            GRID,
        );
        let at = [
            height - MARGIN / 2 + 4,
            column.saturating_sub(glyphs::width(&text) / 2),
        ];
        glyphs::write(&mut picture, &text, at, TEXT);
    }
    let title = "frame";
    let between = (axes.column(0) + axes.column(1)) / 2 - glyphs::width(title) / 2;
    glyphs::write(
        &mut picture,
        title,
        [height - MARGIN / 2 + 4, between],
        TEXT,
    );

    let rows: BTreeMap<i32, usize> = order
        .into_iter()
        .zip((0..).map(|row| MARGIN + row * ROW))
        .collect();
    for entry in &lineage.0 {
        let colour = u32::try_from(entry.label)
            .ok()
            .and_then(|label| colours.get(&label));
        if let (Some(&colour), Some(&row)) = (colour, rows.get(&entry.label)) {
            let from = entry.parent.and_then(|label| rows.get(&label)).copied();
            draw_track(&mut picture, entry, (row, from), &axes, colour);
        }
    }
    picture
}

/// Where a frame is.
struct Axes {
    step: usize,
}

impl Axes {
    fn column(&self, frame: usize) -> usize {
        MARGIN + frame * self.step
    }
}

/// One track in its row, and the way to it from the row of its mother.
fn draw_track(
    picture: &mut Array3<u8>,
    entry: &LineageEntry,
    (row, from): (usize, Option<usize>),
    axes: &Axes,
    colour: Rgb,
) {
    let (Some(&first), Some(&last)) = (entry.frames.first(), entry.frames.last()) else {
        return;
    };
    let half = axes.step / 2;
    let begins = if from.is_some() {
        axes.column(first) - half
    } else {
        axes.column(first)
    };
    let ends = if entry.daughters.is_empty() {
        axes.column(last)
    } else {
        axes.column(last) + half
    };
    let middle = |at: usize, thickness: usize| at - thickness / 2;
    fill(
        picture,
        [middle(row, LINE), middle(begins, LINE)],
        [LINE, ends - begins + LINE],
        colour,
    );
    if let Some(from) = from {
        let (top, bottom) = (row.min(from + LINE), row.max(from - LINE));
        fill(
            picture,
            [middle(top, LINE), middle(begins, LINE)],
            [bottom - top + LINE, LINE],
            colour,
        );
    }
    for frame in &entry.frames {
        fill(
            picture,
            [middle(row, MARK), middle(axes.column(*frame), MARK)],
            [MARK, MARK],
            colour,
        );
    }
    let above = middle(row, MARK) - glyphs::HEIGHT - 1;
    glyphs::write(
        picture,
        &entry.label.to_string(),
        [above, axes.column(first) + 4],
        colour,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Lineage {
        let track = |label, frames: &[usize], parent, daughters: &[i32]| LineageEntry {
            label,
            frames: frames.to_vec(),
            parent,
            daughters: daughters.to_vec(),
            ..LineageEntry::default()
        };
        Lineage(vec![
            track(1, &[0, 1], None, &[3, 4]),
            track(2, &[0, 1, 3], None, &[]),
            track(3, &[2], Some(1), &[5, 6]),
            track(4, &[2, 3], Some(1), &[]),
            track(5, &[3], Some(3), &[]),
            track(6, &[3], Some(3), &[]),
        ])
    }

    #[test]
    fn a_mother_stands_between_her_daughters() {
        assert_eq!(order(&family()), [5, 3, 6, 1, 4, 2]);
    }

    #[test]
    fn every_track_is_drawn_in_its_colour_where_it_was_seen() {
        let colours: BTreeMap<u32, Rgb> = (1..=6)
            .map(|label| (label, [100 + label as u8, 0, 0]))
            .collect();
        let picture = draw(&family(), 4, &colours, 400);
        let (height, width, _) = picture.dim();
        assert_eq!((height, width), (2 * MARGIN + 5 * ROW, 400));
        let axes = Axes {
            step: (400 - 2 * MARGIN) / 3,
        };
        for (place, label) in order(&family()).into_iter().enumerate() {
            let entry = &family().0[label as usize - 1];
            let at = |frame: usize| picture[[MARGIN + place * ROW, axes.column(frame), 0]];
            assert!(
                entry
                    .frames
                    .iter()
                    .all(|frame| at(*frame) == 100 + label as u8),
                "{label}"
            );
        }
        assert_ne!(
            picture[[MARGIN + 5 * ROW + MARK / 2 - 1, axes.column(2), 0]],
            102,
            "track 2 was not seen there"
        );
        assert_eq!(
            draw(&Lineage::default(), 1, &colours, 400).dim(),
            (2 * MARGIN, 400, 3)
        );
    }
}
