//! `.npy` files, and that what is read can be written and read again.
#![no_main]

mod bound;

use bioimage::{Limits, npy};
use libfuzzer_sys::fuzz_target;

use bound::within;

const LIMITS: Limits = Limits { max_decoded_bytes: 16 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let _ = within(2 * LIMITS.max_decoded_bytes, bytes, || npy::read_f64(bytes, &LIMITS));
    if let Ok(array) = within(LIMITS.max_decoded_bytes, bytes, || npy::read_f32(bytes, &LIMITS)) {
        let again = npy::read_f32(&npy::write(&array.view()), &LIMITS).expect("what was written can be read");
        assert_eq!(again.shape(), array.shape());
    }
});
