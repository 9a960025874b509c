//! What a job is given that gathers many items: their inputs and results, as an object in the bucket.

use serde::{Deserialize, Serialize};

/// Where manifests are: in the folder of plans, which nobody cleans up.
const FOLDER: &str = "plans/";

/// The items that a job gathers, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form.
    manifest: u32,
    /// In their order.
    pub items: Vec<ManifestItem>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestItem {
    /// Its identity in its batch.
    pub id: String,
    /// Key of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Key of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How it has ended.
    pub state: ItemState,
}

/// How the work on an item has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// With a result.
    Done,
    /// Without one.
    Failed,
}

impl Manifest {
    /// The version that is read.
    const VERSION: u32 = 1;

    /// One of these items.
    pub fn new(items: Vec<ManifestItem>) -> Self {
        let manifest = Self::VERSION;
        Self { manifest, items }
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the object with this key is one.
    pub fn is_at(key: &str) -> bool {
        key.starts_with(FOLDER) && key.ends_with(".json")
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let found: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match found.manifest {
            Self::VERSION => Ok(found),
            other => Err(format!("its version is {other}, expected 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_strict() {
        let text = r#"{"manifest":1,"items":[{"id":"m1/t1","input":"a.tif","result":"b.zip","state":"done"},{"id":"x","state":"failed"}]}"#;
        let found = Manifest::read(text.as_bytes()).expect("a manifest");
        assert_eq!(found.items.len(), 2);
        assert_eq!(found.to_json(), text);
        assert_eq!(found.items[1].state, ItemState::Failed);
        for wrong in [
            "[]",
            r#"{"manifest":2,"items":[]}"#,
            r#"{"manifest":1,"items":[{"id":"x","state":"lost"}]}"#,
            r#"{"manifest":1,"items":[],"more":1}"#,
        ] {
            assert!(Manifest::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Manifest::is_at("plans/b/track/m/1.json"));
        assert!(!Manifest::is_at("uploads/a.json") && !Manifest::is_at("plans/b/0.jsonl.gz"));
    }
}
