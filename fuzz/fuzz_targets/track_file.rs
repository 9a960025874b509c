//! Track files, and the lineages inside them.
#![no_main]

mod bound;

use bioimage::{Limits, TrackFile};
use cell_analysis::tracking::Lineage;
use libfuzzer_sys::fuzz_target;

use bound::within;

const LIMITS: Limits = Limits { max_decoded_bytes: 16 << 20 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = within(LIMITS.max_decoded_bytes, bytes, || TrackFile::read(bytes, &LIMITS)) {
        let _ = file.lineages();
    }
    if let Ok(lineage) = std::str::from_utf8(bytes).map_err(drop).and_then(|text| Lineage::from_json(text).map_err(drop)) {
        let again = Lineage::from_json(&lineage.to_json()).expect("what was written can be read");
        assert_eq!(again, lineage);
        let _ = lineage.for_challenge();
    }
});
