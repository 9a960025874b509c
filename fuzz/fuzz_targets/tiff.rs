//! TIFF files: never a panic, never more memory than allowed, and the header announces what comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use bioimage::{Limits, decode, decoded_bytes};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, "input.tif", &Limits { max_decoded_bytes: 16 << 20 }) {
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        assert!(decoded_bytes(bytes, "input.tif").is_some_and(|announced| announced >= 4 * image.len() as u64));
    }
});
