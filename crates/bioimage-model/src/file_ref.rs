//! A file that a description names.

use crate::reader::{Reader, Spot, or};

/// A file that a description names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Its name inside the package; in descriptions outside of one also an address.
    pub source: String,
    /// The SHA-256 of its bytes, in lower case hexadecimal digits.
    pub sha256: Option<String>,
}

impl FileRef {
    pub(crate) fn read(reader: &mut Reader, spot: &Spot<'_>) -> Option<Self> {
        let source = reader
            .need(spot, "source")
            .and_then(|source| reader.text(&source));
        let sha256 = or(spot.get("sha256"), None, |sum| {
            read_sum(reader, sum).map(Some)
        });
        Some(Self {
            source: source?,
            sha256: sha256?,
        })
    }
}

fn read_sum(reader: &mut Reader, spot: &Spot<'_>) -> Option<String> {
    let sum = reader.text(spot)?.to_ascii_lowercase();
    if sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(sum);
    }
    reader.refuse(spot, "expected the 64 hexadecimal digits of a SHA-256")
}
