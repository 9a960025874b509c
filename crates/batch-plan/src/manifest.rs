//! What the job of a group gets as its input.

use serde::Serialize;

/// A child of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestItem {
    /// Its identity.
    pub id: String,
    /// Its input; empty if it has none.
    pub input: String,
    /// The key of its result, if it has one.
    pub result: Option<String>,
    /// `done` or `failed`.
    pub state: String,
}

/// The file of a group: `{"manifest":1,"items":[…]}`, the children in their order.
pub fn manifest(items: &[ManifestItem]) -> String {
    serde_json::json!({ "manifest": 1, "items": items }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_its_version() {
        let item = ManifestItem {
            id: "a".to_owned(),
            input: "in/a".to_owned(),
            result: None,
            state: "failed".to_owned(),
        };
        let json: serde_json::Value = serde_json::from_str(&manifest(&[item])).unwrap();
        let expected = serde_json::json!({
            "manifest": 1, "items": [{"id": "a", "input": "in/a", "result": null, "state": "failed"}],
        });
        assert_eq!(json, expected);
    }
}
