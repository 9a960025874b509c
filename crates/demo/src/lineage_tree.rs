//! The figure of a lineage: time from left to right, a line for each track, a fork where a cell divides. Pure.

use std::collections::BTreeMap;

use image::{Rgb, RgbImage};
use redis_consumer::applications::cell_tracking::{Lineage, LineageEntry};

use crate::bitmap_font::{self, Point, Rectangle, fill};

/// Pixels from one track to the next.
const ROW: u32 = 36;

/// Pixels around the tree.
const MARGIN: u32 = 56;

/// Width of a line, and of a mark where the cell was seen.
const LINE: u32 = 4;
const MARK: u32 = 12;

const GROUND: Rgb<u8> = Rgb([24; 3]);
const GRID: Rgb<u8> = Rgb([64; 3]);
const TEXT: Rgb<u8> = Rgb([200; 3]);

/// The labels of the tracks from top to bottom: each family together, a mother between her daughters.
pub(crate) fn order(lineage: &Lineage) -> Vec<i32> {
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

/// The picture of the tracks of a movie of so many frames, `width` pixels wide.
///
/// A track has a mark in each frame in which its cell was seen, and its label beside the first. Labels are those of
/// `colors`; a track without one is left out.
pub(crate) fn draw(
    lineage: &Lineage,
    frames: u32,
    colors: &BTreeMap<u32, Rgb<u8>>,
    width: u32,
) -> RgbImage {
    let order = order(lineage);
    let height = 2 * MARGIN + ROW * (order.len() as u32).saturating_sub(1);
    let mut picture = RgbImage::from_pixel(width, height, GROUND);
    let axis = TimeAxis::new(frames, width);
    draw_axis(&mut picture, &axis, frames);

    let rows: BTreeMap<i32, u32> = order
        .into_iter()
        .zip((0..).map(|row| MARGIN + row * ROW))
        .collect();
    for entry in &lineage.0 {
        let color = u32::try_from(entry.label)
            .ok()
            .and_then(|label| colors.get(&label));
        if let (Some(&color), Some(&row)) = (color, rows.get(&entry.label)) {
            let branch = Branch {
                row,
                from: entry.parent.and_then(|label| rows.get(&label)).copied(),
                color,
            };
            draw_track(&mut picture, entry, &branch, &axis);
        }
    }
    picture
}

/// Where a frame is.
struct TimeAxis {
    step: u32,
}

impl TimeAxis {
    fn new(frames: u32, width: u32) -> Self {
        Self {
            step: width.saturating_sub(2 * MARGIN) / frames.saturating_sub(1).max(1),
        }
    }

    fn x(&self, frame: usize) -> u32 {
        MARGIN + frame as u32 * self.step
    }
}

/// A line and a number for each frame, and what the numbers mean.
fn draw_axis(picture: &mut RgbImage, axis: &TimeAxis, frames: u32) {
    let height = picture.height();
    let below = height - MARGIN / 2 + 4;
    for frame in 0..frames as usize {
        let (x, text) = (axis.x(frame), frame.to_string());
        let line = Rectangle {
            x,
            y: MARGIN / 2,
            width: 1,
            height: height - MARGIN,
        };
        fill(picture, line, GRID);
        let at = Point {
            x: x.saturating_sub(bitmap_font::width(&text) / 2),
            y: below,
        };
        bitmap_font::write(picture, &text, at, TEXT);
    }
    let title = "frame";
    let middle = u32::midpoint(axis.x(0), axis.x(1));
    let at = Point {
        x: middle.saturating_sub(bitmap_font::width(title) / 2),
        y: below,
    };
    bitmap_font::write(picture, title, at, TEXT);
}

/// Where a track is drawn.
struct Branch {
    row: u32,
    /// The row of its mother.
    from: Option<u32>,
    color: Rgb<u8>,
}

/// One track in its row, and the way to it from the row of its mother.
fn draw_track(picture: &mut RgbImage, entry: &LineageEntry, branch: &Branch, axis: &TimeAxis) {
    let (Some(&first), Some(&last)) = (entry.frames.first(), entry.frames.last()) else {
        return;
    };
    let Branch { row, from, color } = *branch;
    // A division lies half-way between two frames.
    let half = axis.step / 2;
    let begins = axis.x(first) - from.map_or(0, |_| half);
    let ends = axis.x(last) + if entry.daughters.is_empty() { 0 } else { half };
    let line = Rectangle {
        x: begins - LINE / 2,
        y: row - LINE / 2,
        width: ends - begins + LINE,
        height: LINE,
    };
    fill(picture, line, color);
    if let Some(from) = from {
        // Short of the mother's own line, which keeps its color.
        let (top, bottom) = (row.min(from + LINE), row.max(from - LINE));
        let fork = Rectangle {
            x: begins - LINE / 2,
            y: top - LINE / 2,
            width: LINE,
            height: bottom - top + LINE,
        };
        fill(picture, fork, color);
    }
    for frame in &entry.frames {
        fill(picture, mark_at(axis.x(*frame), row), color);
    }
    let above = Point {
        x: axis.x(first) + 4,
        y: row - MARK / 2 - bitmap_font::HEIGHT - 1,
    };
    bitmap_font::write(picture, &entry.label.to_string(), above, color);
}

/// The mark where a cell was seen.
fn mark_at(x: u32, y: u32) -> Rectangle {
    Rectangle {
        x: x - MARK / 2,
        y: y - MARK / 2,
        width: MARK,
        height: MARK,
    }
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
    fn every_track_is_drawn_in_its_color_where_it_was_seen() {
        let colors: BTreeMap<u32, Rgb<u8>> = (1..=6)
            .map(|label| (label, Rgb([100 + label as u8, 0, 0])))
            .collect();
        let picture = draw(&family(), 4, &colors, 400);
        assert_eq!(picture.dimensions(), (400, 2 * MARGIN + 5 * ROW));
        let axis = TimeAxis::new(4, 400);
        for (place, label) in (0..).zip(order(&family())) {
            let entry = &family().0[label as usize - 1];
            for frame in &entry.frames {
                let pixel = picture.get_pixel(axis.x(*frame), MARGIN + place * ROW);
                assert_eq!(pixel, &colors[&(label as u32)], "{label}");
            }
        }
        assert_ne!(
            picture.get_pixel(axis.x(2), MARGIN + 5 * ROW + MARK / 2 - 1),
            &colors[&2],
            "track 2 was not seen there"
        );
        assert_eq!(
            draw(&Lineage::default(), 1, &colors, 400).dimensions(),
            (400, 2 * MARGIN)
        );
    }
}
