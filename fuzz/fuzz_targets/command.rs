//! Commands and what they say: a value never becomes more than a part of its word, and no line means anything for a job whose id
//! it does not bear.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_consumer::testing::commands::{Meaning, lines, meaning, words};

const ID: &str = "8f3a6c0d9b1e2f47";

fuzz_target!(|bytes: &[u8]| {
    let (first, rest) = bytes.split_at(bytes.len().min(64) / 2);
    if let (Ok(command), Ok(value)) = (std::str::from_utf8(rest), std::str::from_utf8(first)) {
        let plain = words(command, "a.tif", "x");
        let strange = words(command, value, value);
        if let (Ok(plain), Ok(strange)) = (&plain, &strange) {
            assert_eq!(plain.len(), strange.len(), "{command:?} with {value:?}");
        }
    }
    for line in lines(bytes) {
        assert!(!line.is_empty() && line.len() <= 64 << 10);
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        let text = String::from_utf8_lossy(&line);
        match meaning(&text, ID) {
            Some(Meaning::Progress(percent)) => assert!(percent <= 100 && text.contains(ID)),
            Some(Meaning::End) => assert!(text.contains(ID)),
            Some(Meaning::Ready) => assert!(text.contains("ready")),
            None => {}
        }
    }
});
