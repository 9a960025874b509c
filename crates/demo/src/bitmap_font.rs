//! Digits and the few letters that pictures need, drawn pixel by pixel: sixteen glyphs do not earn a font file.

use image::{Rgb, RgbImage};

/// Pixels of the picture for a pixel of a glyph.
const SCALE: usize = 2;

const COLUMNS: usize = 5;

/// Height of a text in pixels of the picture.
pub(crate) const HEIGHT: u32 = 7 * SCALE as u32;

/// Width of a text in pixels of the picture.
pub(crate) fn width(text: &str) -> u32 {
    ((text.chars().count() * (COLUMNS + 1)).saturating_sub(1) * SCALE) as u32
}

/// Writes digits and the word `frame` with the upper left corner at `at`. Other characters are blanks, and what lies
/// beyond the picture is left out.
pub(crate) fn write(picture: &mut RgbImage, text: &str, at: Point, color: Rgb<u8>) {
    for (place, character) in text.chars().enumerate() {
        let left = at.x + (place * (COLUMNS + 1) * SCALE) as u32;
        for (down, bits) in rows(character).into_iter().enumerate() {
            for across in (0..COLUMNS).filter(|across| bits >> (COLUMNS - 1 - across) & 1 == 1) {
                let dot = Rectangle {
                    x: left + (across * SCALE) as u32,
                    y: at.y + (down * SCALE) as u32,
                    width: SCALE as u32,
                    height: SCALE as u32,
                };
                fill(picture, dot, color);
            }
        }
    }
}

/// [`write()`] with a dark rim, which can be read on any ground.
pub(crate) fn write_rimmed(picture: &mut RgbImage, text: &str, at: Point, color: Rgb<u8>) {
    let scale = SCALE as u32;
    for (down, across) in (0..3).flat_map(|down| (0..3).map(move |across| (down, across))) {
        let moved = Point {
            x: (at.x + across * scale).saturating_sub(scale),
            y: (at.y + down * scale).saturating_sub(scale),
        };
        write(picture, text, moved, Rgb([0; 3]));
    }
    write(picture, text, at, color);
}

/// A pixel of a picture, from the upper left corner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: u32,
    pub(crate) y: u32,
}

/// Pixels of a picture, from the upper left corner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rectangle {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Fills a rectangle as far as it lies in the picture.
pub(crate) fn fill(picture: &mut RgbImage, area: Rectangle, color: Rgb<u8>) {
    let right = (area.x + area.width).min(picture.width());
    let bottom = (area.y + area.height).min(picture.height());
    for y in area.y..bottom {
        for x in area.x..right {
            picture.put_pixel(x, y, color);
        }
    }
}

/// A glyph from its top row down; the leftmost pixel is the highest of five bits.
fn rows(character: char) -> [u8; 7] {
    match character {
        '0' => [
            0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110,
        ],
        '1' => [
            0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
        ],
        '2' => [
            0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111,
        ],
        '3' => [
            0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110,
        ],
        '4' => [
            0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
        ],
        '5' => [
            0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
        ],
        '6' => [
            0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
        ],
        '7' => [
            0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000,
        ],
        '8' => [
            0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
        ],
        '9' => [
            0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
        ],
        'a' => [0, 0, 0b01110, 0b00001, 0b01111, 0b10001, 0b01111],
        'e' => [0, 0, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110],
        'f' => [
            0b00110, 0b01001, 0b01000, 0b11100, 0b01000, 0b01000, 0b01000,
        ],
        'm' => [0, 0, 0b11010, 0b10101, 0b10101, 0b10101, 0b10101],
        'r' => [0, 0, 0b10110, 0b11001, 0b10000, 0b10000, 0b10000],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fills_its_width_and_height_and_stays_in_the_picture() {
        let ink = Rgb([1; 3]);
        let mut picture = RgbImage::new(width("10") + 4, HEIGHT + 4);
        write(&mut picture, "00", Point { x: 2, y: 2 }, ink);
        let inked = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| **pixel == ink)
            .map(|(x, y, _)| (x, y));
        let (columns, rows): (Vec<_>, Vec<_>) = inked.unzip();
        assert_eq!(
            (rows.iter().min(), rows.iter().max()),
            (Some(&2), Some(&(HEIGHT + 1)))
        );
        assert_eq!(
            (columns.iter().min(), columns.iter().max()),
            (Some(&2), Some(&(width("00") + 1)))
        );
        write(
            &mut picture,
            "frame 0123456789",
            Point { x: 3, y: HEIGHT },
            ink,
        );
        write(&mut picture, "1", Point { x: 500, y: 500 }, ink);
    }

    #[test]
    fn no_two_glyphs_are_alike() {
        let glyphs: std::collections::BTreeSet<_> = "0123456789aefmr ".chars().map(rows).collect();
        assert_eq!(glyphs.len(), 16);
    }
}
