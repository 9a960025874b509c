//! What commands print, and what they say beside.

use std::process::Output;

use serde_json::Value;

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command printed, and what it said beside; it has to have ended with this status.
pub(crate) fn outcome(output: &Output, status: i32) -> (String, String) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    (text(&output.stdout), text(&output.stderr))
}

/// The objects that a command printed, one a line.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(parse).collect()
}
