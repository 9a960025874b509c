//! A stage with its values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::items::Items;
use crate::work::{Work, is_default};

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The queue of its jobs.
    pub queue: String,
    /// Variables of its own: that of `repeat`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, u64>,
    /// Where its items come from, unless they follow from another stage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// The seed by which its items are mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<u64>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// How its items are worked.
    #[serde(flatten)]
    pub work: Work,
    /// What is known of its list, once that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
    /// In a sample: the items of a grid that belong to it, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Vec<u64>>,
}

/// What a stage waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The stage.
    pub stage: String,
    /// How its items become one of this stage's; one by one, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Whether all of its items are waited for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub all: bool,
}

/// How items become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Group {
    /// Coordinates are divided by these.
    Grid(BTreeMap<String, u64>),
    /// Those for which this template gives the same text.
    Text(String),
}

/// What is known of a list that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// How many items it has.
    pub total: u64,
    /// SHA-256 of its lines, as hexadecimal digits.
    pub digest: String,
    /// Of groups: how many members the largest has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u64>,
}
