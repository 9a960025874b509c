//! The key of a job's hash.

use std::borrow::Cow;
use std::fmt::{self, Display};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::untrusted;

/// The key of a job's hash: bytes that nobody parses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobKey(pub Vec<u8>);

impl JobKey {
    /// A name for the job that is the same each time it is run, for the places of its parts.
    pub(crate) fn stable_id(&self) -> String {
        let digest = Sha256::digest(&self.0);
        let bytes = digest.iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where the result goes, unless its consumer has a reason for another place.
    pub(crate) fn usual_result(&self) -> String {
        format!("output/{}.zip", self.stable_id())
    }

    /// Where the preview of the result goes.
    pub(crate) fn preview(&self) -> String {
        format!("output/{}.preview.png", self.stable_id())
    }

    /// The key for programs that read JSON: text, or `{"base64": …}` if it is none.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({ "base64": BASE64_STANDARD.encode(&self.0) }),
        }
    }

    /// A key as [`Self::to_json`] gives it.
    pub(crate) fn from_json(value: &serde_json::Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self(text.as_bytes().to_vec()));
        }
        BASE64_STANDARD
            .decode(value["base64"].as_str()?)
            .ok()
            .map(Self)
    }

    /// The key for other programs; for people it is displayed.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// For logs and messages: a key holds the user's name of a file.
impl Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        untrusted::name(untrusted::Bytes(&self.0)).fmt(f)
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_displayed_as_one_short_line_and_handed_on_whole() {
        let key = JobKey(b"q:a\n2026-01-01 ERROR forged\x1b[2J.tif:1".to_vec());
        assert_eq!(
            key.to_string(),
            "q:a\\n2026-01-01 ERROR forged\\x1b[2J.tif:1"
        );
        assert_eq!(key.as_text().as_bytes(), key.0);
        let long = JobKey(vec![b'k'; 200_000]);
        assert!(long.to_string().len() < 250 && format!("{long:?}").len() < 250);
    }
}
