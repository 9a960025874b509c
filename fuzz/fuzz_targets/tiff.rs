//! TIFF files: never a panic, never more memory than the header announces, and the header announces what comes; it is the same by
//! pieces of the file.
#![no_main]

mod bound;
mod pieces;

use bioimage::{Limits, decode, header_of};
use libfuzzer_sys::fuzz_target;

use bound::within;
use pieces::header_by_pieces;

const LIMITS: Limits = Limits { max_decoded_bytes: 16 << 20 };

fuzz_target!(|bytes: &[u8]| {
    for name in ["input.tif", "input"] {
        let header = within(0, bytes, || header_of(bytes, name));
        assert_eq!(within(0, bytes, || header_by_pieces(bytes, name)).ok(), header.as_ref().ok().cloned());
        let announced = header.as_ref().map_or(0, |header| header.peak_bytes);
        let Ok(image) = within(announced, bytes, || decode(bytes, name, &LIMITS)) else { continue };
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        assert_eq!(header.expect("what can be decoded has a header").shape, image.shape());
    }
});
