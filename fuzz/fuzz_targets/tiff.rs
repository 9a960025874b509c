//! TIFF files: never a panic, never more memory than allowed, and the header announces what comes.
#![no_main]

use bioimage::{Limits, decode, shape_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, "input.tif", &Limits { max_decoded_bytes: 16 << 20 }) {
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        let announced = shape_of(bytes, "input.tif").expect("what can be decoded has a shape");
        assert_eq!(announced, image.shape());
    }
});
