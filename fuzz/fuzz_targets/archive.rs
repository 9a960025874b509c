//! Names in zip archives: none of them leaves its folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_consumer::storage::archive;

fuzz_target!(|bytes: &[u8]| {
    for name in archive::image_entries(bytes).unwrap_or_default() {
        assert!(!name.starts_with('/') && name.split('/').all(|part| part != ".."), "{name:?} leaves its folder");
    }
});
