//! `.npy` files, and that what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use bioimage::{Limits, npy};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_decoded_bytes: 16 << 20 };
    let _ = npy::read_f64(bytes, &limits);
    if let Ok(array) = npy::read_f32(bytes, &limits) {
        let again = npy::read_f32(&npy::write(&array.view()), &limits).expect("what was written can be read");
        assert_eq!(again.shape(), array.shape());
    }
});
