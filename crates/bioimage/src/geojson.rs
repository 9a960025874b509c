//! Polygons as GeoJSON, which QuPath imports as objects.

use std::fmt::Write as _;

/// Pixels between the middle of a pixel, which is a whole number here, and its corner, which is one there.
const CORNER: f32 = 0.5;

/// A `FeatureCollection` of polygons, each with its corners `[row, column]` in pixels, whole numbers in the middle of pixels,
/// and its score. QuPath shows them as detections with a measurement `Probability`. Rings are closed; x goes before y.
///
/// Polygons of fewer than three corners, or with one that is not finite, are left out: GeoJSON has no word for them.
#[must_use]
pub fn write<'p>(polygons: impl IntoIterator<Item = (&'p [[f32; 2]], f32)>) -> String {
    let mut text = String::from(r#"{"type":"FeatureCollection","features":["#);
    let mut is_first = true;
    for (corners, score) in polygons {
        if corners.len() < 3 || !corners.iter().flatten().all(|value| value.is_finite()) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            text.push(',');
        }
        text.push_str(r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[["#);
        for (place, [row, column]) in corners.iter().chain(corners.first()).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}[{},{}]", column + CORNER, row + CORNER);
        }
        let score = if score.is_finite() { score } else { 0.0 };
        let _ = write!(
            text,
            r#"]]}},"properties":{{"objectType":"detection","measurements":{{"Probability":{score}}}}}}}"#
        );
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_closed_and_x_goes_first() {
        let triangle = [[0.0, 0.0], [2.0, 0.0], [0.0, 1.5]];
        let line = [[0.0, 0.0], [1.0, 1.0]];
        let far = [[f32::NAN, 0.0], [2.0, 0.0], [0.0, 1.0]];
        let text = write([(&triangle[..], 0.75), (&line[..], 1.0), (&far[..], 1.0)]);
        let expected = concat!(
            r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","#,
            r#""coordinates":[[[0.5,0.5],[0.5,2.5],[2,0.5],[0.5,0.5]]]},"properties":"#,
            r#"{"objectType":"detection","measurements":{"Probability":0.75}}}]}"#,
        );
        assert_eq!(text, expected);
        assert_eq!(write([]), r#"{"type":"FeatureCollection","features":[]}"#);
    }
}
