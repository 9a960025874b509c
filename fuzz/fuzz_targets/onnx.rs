//! ONNX files: the loader says why one cannot be run, or runs it later, and takes no more memory than the file is worth.
#![no_main]

mod bound;

use std::panic;

use libfuzzer_sys::fuzz_target;
use redis_consumer::serving::load_onnx;

use bound::within;

/// What numbers of a file may become that are written in fewer bytes, such as constants that are computed when it is loaded.
const COMPUTED: u64 = 64 << 20;

fuzz_target!(
    // A panic of the loader is caught, and told as an error.
    init: panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        let _ = within(COMPUTED, bytes, || load_onnx(bytes.to_vec()));
    }
);
