//! Whatever is told by its content: PNG, JPEG, BMP, GIF, TIFF under another name.
#![no_main]

use bioimage::{Limits, decode, header_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, "input", &Limits { max_decoded_bytes: 16 << 20 }) {
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        let announced = header_of(bytes, "input").expect("what can be decoded has a header");
        assert_eq!(announced.shape, image.shape());
    }
});
