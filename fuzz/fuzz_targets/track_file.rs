//! Track files, and the lineages inside them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use bioimage::{Limits, TrackFile};
use cell_analysis::tracking::Lineage;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = TrackFile::read(bytes, &Limits { max_decoded_bytes: 16 << 20 }) {
        let _ = file.lineages();
    }
    if let Ok(lineage) = std::str::from_utf8(bytes).map_err(drop).and_then(|text| Lineage::from_json(text).map_err(drop)) {
        let again = Lineage::from_json(&lineage.to_json()).expect("what was written can be read");
        assert_eq!(again, lineage);
        let _ = lineage.for_challenge();
    }
});
