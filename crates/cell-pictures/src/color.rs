//! Bright colors of equal lightness.

const LIGHTNESS: f64 = 0.77;
const CHROMA: f64 = 0.21;

/// The bright color (sRGB) of this hue, in degrees, as saturated as a screen can show it.
///
/// The space is Oklab (Björn Ottosson, "A perceptual color space for image processing", 2020), in which equal steps look
/// equally large.
#[must_use]
pub fn bright(hue: f64) -> [u8; 3] {
    let chromas = (0..=32).rev().map(|step| CHROMA * f64::from(step) / 32.0);
    let rgb = chromas
        .map(|chroma| linear_rgb(LIGHTNESS, chroma, hue))
        .find(is_displayable)
        .unwrap_or([LIGHTNESS; 3]);
    // Inside 0 to 1, so the cast only rounds.
    rgb.map(|value| (255.0 * gamma(value)).round() as u8)
}

fn is_displayable(rgb: &[f64; 3]) -> bool {
    rgb.iter().all(|value| (0.0..=1.0).contains(value))
}

/// Oklab in polar form to linear sRGB; outside 0 to 1 if no screen can show it.
fn linear_rgb(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (b, a) = hue.to_radians().sin_cos();
    let (a, b) = (chroma * a, chroma * b);
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// Linear light as sRGB stores it (IEC 61966-2-1).
fn gamma(value: f64) -> f64 {
    if value <= 0.003_130_8 {
        12.92 * value
    } else {
        1.055 * value.powf(1.0 / 2.4) - 0.055
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hue_is_bright_and_colored() {
        for hue in 0..360 {
            let [r, g, b] = bright(f64::from(hue));
            let luma = 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
            assert!(luma > 140.0, "hue {hue}: {r} {g} {b}");
            assert!(
                r.max(g).max(b) - r.min(g).min(b) > 60,
                "hue {hue}: {r} {g} {b}"
            );
        }
    }

    #[test]
    fn oklab_meets_its_fixed_points() {
        let white = linear_rgb(1.0, 0.0, 0.0);
        assert!(
            white.iter().all(|value| (value - 1.0).abs() < 1e-6),
            "{white:?}"
        );
        let red = linear_rgb(0.627_955, 0.257_683, 29.234);
        assert!(
            red.iter()
                .zip([1.0, 0.0, 0.0])
                .all(|(a, b)| (a - b).abs() < 1e-3),
            "{red:?}"
        );
    }
}
