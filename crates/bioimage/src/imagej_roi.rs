//! Polygons as ROIs of ImageJ, one file each; a ZIP of them is what its ROI Manager opens.

/// Pixels between the middle of a pixel, which is a whole number here, and its corner, which is one there.
const CORNER: f32 = 0.5;

/// Bytes before the coordinates.
const HEADER: usize = 64;

/// Version of the format that has coordinates in fractions of pixels.
const VERSION: u16 = 228;

/// The bit of the options that says that such coordinates follow.
const SUB_PIXEL: u16 = 128;

/// The kind of ROI: a polygon.
const POLYGON: u8 = 0;

/// A polygon, with its corners `[row, column]` in pixels, whole numbers in the middle of pixels, as a `.roi` file. Of more than
/// 65,535 corners the first are taken; whole coordinates, which programs show that know no fractions, are cut off at the
/// ends of 16 bits.
///
/// As `ij.io.RoiEncoder` of ImageJ 1.54 writes it, but for colors, names and positions.
#[must_use]
pub fn polygon(corners: &[[f32; 2]]) -> Vec<u8> {
    let corners = &corners[..corners.len().min(usize::from(u16::MAX))];
    let axis = |axis: usize| -> Vec<f32> {
        let values = corners.iter().map(|corner| corner[axis] + CORNER);
        values.collect()
    };
    let (rows, columns) = (axis(0), axis(1));
    let [top, left] =
        [&rows, &columns].map(|values| whole(values.iter().copied().fold(f32::MAX, f32::min)));
    let [bottom, right] =
        [&rows, &columns].map(|values| whole(values.iter().copied().fold(f32::MIN, f32::max)));
    let mut file = vec![0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"Iout");
    put(4, &VERSION.to_be_bytes());
    put(6, &[POLYGON]);
    for (at, side) in [(8, top), (10, left), (12, bottom), (14, right)] {
        put(at, &side.to_be_bytes());
    }
    put(16, &(corners.len() as u16).to_be_bytes());
    put(50, &SUB_PIXEL.to_be_bytes());
    for (values, first) in [(&columns, left), (&rows, top)] {
        for value in values {
            file.extend(whole(*value).saturating_sub(first).to_be_bytes());
        }
    }
    for values in [&columns, &rows] {
        for value in values {
            file.extend(value.to_be_bytes());
        }
    }
    file
}

/// Cut off towards negative infinity, within 16 bits.
fn whole(value: f32) -> i16 {
    value.floor() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_has_its_box_and_its_corners_twice() {
        let file = polygon(&[[1.0, 2.0], [4.0, 2.0], [1.0, 6.25]]);
        assert_eq!(file.len(), HEADER + 3 * 2 * 2 + 3 * 2 * 4);
        assert_eq!(&file[..8], b"Iout\x00\xe4\x00\x00");
        assert_eq!(&file[8..18], [0, 1, 0, 2, 0, 4, 0, 6, 0, 3]);
        assert_eq!(&file[64..76], [0, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0]);
        let float = |at: usize| f32::from_be_bytes(file[at..at + 4].try_into().expect("four"));
        assert_eq!(
            [float(76), float(84), float(88), float(92)],
            [2.5, 6.75, 1.5, 4.5]
        );
    }

    #[test]
    fn no_polygon_makes_it_panic() {
        for corners in [
            Vec::new(),
            vec![[f32::NAN, f32::INFINITY]; 4],
            vec![[1e30, -1e30]; 3],
            vec![[0.0, 0.0]; 70_000],
        ] {
            assert!(polygon(&corners).len() >= HEADER);
        }
    }
}
