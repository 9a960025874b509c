//! 16-bit floats: IEEE half precision and the upper half of a 32-bit float.

/// The nearest half-precision number, ties to even; what is too large becomes infinite.
pub(super) fn half_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        return sign | subnormal_half(magnitude);
    }
    sign | round_to_even(magnitude - 0x3800_0000, 13) as u16
}

/// The number of these half-precision bits; exact.
pub(super) fn f32_from_half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits) & 0x3ff;
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (mantissa as f32 / 16_777_216.0).to_bits()),
        31 => 0x7f80_0000 | mantissa << 13,
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest number with the upper half of the bits, ties to even.
pub(super) fn bfloat16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        (bits >> 16) as u16 | 0x40
    } else {
        round_to_even(bits, 16) as u16
    }
}

/// The number whose upper half these bits are; exact.
pub(super) fn f32_from_bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Below 2⁻¹⁴: multiples of 2⁻²⁴.
fn subnormal_half(magnitude: u32) -> u16 {
    let exponent = magnitude >> 23;
    if exponent < 102 {
        return 0;
    }
    let mantissa = magnitude & 0x7f_ffff | 0x80_0000;
    round_to_even(mantissa, 126 - exponent) as u16
}

/// `bits / 2^places`, rounded; a carry out of the mantissa raises the exponent as it should.
fn round_to_even(bits: u32, places: u32) -> u32 {
    let kept = bits >> places;
    let rest = bits & ((1 << places) - 1);
    let tie = 1 << (places - 1);
    kept + u32::from(rest > tie || (rest == tie && kept & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of all finite half-precision bit patterns in ascending order.
    fn finite_halves() -> Vec<f32> {
        (0..0x7c00).map(f32_from_half).collect()
    }

    #[test]
    fn every_half_survives_the_way_there_and_back() {
        for bits in 0..=u16::MAX {
            let value = f32_from_half(bits);
            if value.is_nan() {
                assert!(f32_from_half(half_from_f32(value)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(half_from_f32(value), bits);
            }
        }
    }

    #[test]
    fn halves_have_the_values_of_the_standard() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
        ] {
            assert_eq!(f32_from_half(bits), value);
        }
        assert_eq!(half_from_f32(65520.0), 0x7c00);
        assert_eq!(half_from_f32(65519.0), 0x7bff);
        assert_eq!(half_from_f32(f32::NEG_INFINITY), 0xfc00);
    }

    #[test]
    fn the_upper_half_rounds_to_even() {
        assert_eq!(bfloat16_from_f32(1.0), 0x3f80);
        assert_eq!(bfloat16_from_f32(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bfloat16_from_f32(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(bfloat16_from_f32(f32::MAX), 0x7f80);
        assert!(f32_from_bfloat16(bfloat16_from_f32(f32::NAN)).is_nan());
        for bits in (0..=u16::MAX).filter(|bits| !f32_from_bfloat16(*bits).is_nan()) {
            assert_eq!(bfloat16_from_f32(f32_from_bfloat16(bits)), bits);
        }
    }

    proptest! {
        #[test]
        fn the_nearest_half_is_chosen(value in prop_oneof![-65519.0_f32..65519.0, -1e-4_f32..1e-4]) {
            let halves = finite_halves();
            let chosen = f32_from_half(half_from_f32(value)).abs();
            let distance = |half: f32| (f64::from(half) - f64::from(value.abs())).abs();
            let best = halves.iter().copied().map(distance).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(distance(chosen), best);
            prop_assert!(halves.iter().filter(|half| distance(**half) == best).count() == 1 || half_from_f32(value) & 1 == 0);
        }
    }
}
