//! Digits and the few letters that pictures need, drawn pixel by pixel.

use ndarray::Array3;

use super::palette::Rgb;

/// Pixels of the picture for a pixel of a glyph.
const SCALE: usize = 2;

const COLUMNS: usize = 5;

/// Height of a text in pixels of the picture.
pub(super) const HEIGHT: usize = 7 * SCALE;

/// Width of a text in pixels of the picture.
pub(super) fn width(text: &str) -> usize {
    (text.chars().count() * (COLUMNS + 1)).saturating_sub(1) * SCALE
}

/// Writes digits and the word `frame` with the upper left corner at `[row, column]`. Other characters are blanks, and what
/// lies beyond the picture is left out.
pub(super) fn write(picture: &mut Array3<u8>, text: &str, [row, column]: [usize; 2], colour: Rgb) {
    for (place, character) in text.chars().enumerate() {
        let left = column + place * (COLUMNS + 1) * SCALE;
        for (down, bits) in rows(character).into_iter().enumerate() {
            for across in (0..COLUMNS).filter(|across| bits >> (COLUMNS - 1 - across) & 1 == 1) {
                fill(
                    picture,
                    [row + down * SCALE, left + across * SCALE],
                    [SCALE, SCALE],
                    colour,
                );
            }
        }
    }
}

/// [`write()`] with a dark rim, which can be read on any ground.
pub(super) fn write_rimmed(
    picture: &mut Array3<u8>,
    text: &str,
    [row, column]: [usize; 2],
    colour: Rgb,
) {
    for offset in 0..9 {
        let at = [row + offset / 3 * SCALE, column + offset % 3 * SCALE];
        write(
            picture,
            text,
            at.map(|place| place.saturating_sub(SCALE)),
            [0; 3],
        );
    }
    write(picture, text, [row, column], colour);
}

/// Fills a rectangle of `size` rows and columns, as far as it lies in the picture.
pub(super) fn fill(
    picture: &mut Array3<u8>,
    [row, column]: [usize; 2],
    size: [usize; 2],
    colour: Rgb,
) {
    let (rows, columns, _) = picture.dim();
    for row in row..(row + size[0]).min(rows) {
        for column in column..(column + size[1]).min(columns) {
            colour
                .into_iter()
                .enumerate()
                .for_each(|(channel, value)| picture[[row, column, channel]] = value);
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
        let mut picture = Array3::zeros((HEIGHT + 4, width("10") + 4, 3));
        write(&mut picture, "00", [2, 2], [1; 3]);
        let inked = picture
            .indexed_iter()
            .filter(|(_, value)| **value == 1)
            .map(|((row, column, _), _)| (row, column));
        let (rows, columns): (Vec<_>, Vec<_>) = inked.unzip();
        assert_eq!(
            (rows.iter().min(), rows.iter().max()),
            (Some(&2), Some(&(HEIGHT + 1)))
        );
        assert_eq!(
            (columns.iter().min(), columns.iter().max()),
            (Some(&2), Some(&(width("00") + 1)))
        );
        write(&mut picture, "frame 0123456789", [HEIGHT, 3], [1; 3]);
        write(&mut picture, "1", [500, 500], [1; 3]);
    }

    #[test]
    fn no_two_glyphs_are_alike() {
        let glyphs: std::collections::BTreeSet<_> = "0123456789aefmr ".chars().map(rows).collect();
        assert_eq!(glyphs.len(), 16);
    }
}
