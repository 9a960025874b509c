//! TIFF files: never a panic, never more memory than the header announces, and the header announces what comes.
#![no_main]

use std::alloc::System;

use bioimage::{Limits, decode, header_of};
use cap::Cap;
use libfuzzer_sys::fuzz_target;

/// Gives no more than it is told to: a file that takes more ends the program.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const LIMITS: Limits = Limits { max_decoded_bytes: 16 << 20 };

/// What a header, or decoding beside what was announced, may take.
const FREE: usize = 32 << 20;

fuzz_target!(|bytes: &[u8]| {
    for name in ["input.tif", "input"] {
        let header = within(2 * bytes.len() + FREE, || header_of(bytes, name));
        let announced = header.as_ref().map_or(0, |header| header.peak_bytes);
        // What is over the limit is refused before it is taken.
        let announced = usize::try_from(announced).unwrap_or(usize::MAX).min(1 << 40);
        let Ok(image) = within(announced + bytes.len() + FREE, || decode(bytes, name, &LIMITS)) else { continue };
        assert!(image.len() <= 4 << 20, "{} values are more than allowed", image.len());
        assert_eq!(header.expect("what can be decoded has a header").shape, image.shape());
    }
});

/// Does the work with no more than so many bytes.
fn within<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let _ = ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes);
    let result = work();
    let _ = ALLOCATOR.set_limit(usize::MAX);
    result
}
