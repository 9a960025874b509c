//! Whatever is told by its content: PNG, JPEG, BMP, GIF, TIFF under another name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use bioimage::{Limits, decode, decoded_bytes};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, "input", &Limits { max_decoded_bytes: 16 << 20 }) {
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        assert!(decoded_bytes(bytes, "input").is_some_and(|announced| announced >= 4 * image.len() as u64));
    }
});
