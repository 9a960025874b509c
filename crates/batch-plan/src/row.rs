//! One item of a list, as it is stored.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Rows of one file of a stored list.
pub const ROWS_PER_FILE: u64 = 10_000;

/// One item of a list: its variables, and where it stands among the groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What templates see.
    #[serde(rename = "v")]
    pub vars: Map<String, Value>,
    /// Of a grouped list: the number of its group, and how many members that has.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub group: Option<(u64, u64)>,
    /// Of a group: the number of its first member; the others follow.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
}

impl Row {
    /// The row as one line, without its end.
    pub fn to_line(&self) -> String {
        // Names of maps are texts, so that there is nothing to fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    ///
    /// The line is not one that [`to_line`](Self::to_line) gives.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// How many members a group has.
    pub fn count(&self) -> Option<u64> {
        self.first?;
        self.vars.get("count")?.as_u64()
    }

    /// Where a file goes in the bucket that is uploaded; `to` goes before its path.
    pub(crate) fn upload_key(&self, to: &str) -> Option<String> {
        Some(format!("{to}{}", self.vars.get("path")?.as_str()?))
    }

    /// The numbers of a group's members.
    pub(crate) fn members(&self) -> Option<Range<u64>> {
        let first = self.first?;
        Some(first..first.checked_add(self.count()?)?)
    }
}

/// The variables that a key stands for beside itself.
pub(crate) const KEY_PARTS: [&str; 4] = ["name", "stem", "ext", "dir"];

/// A part of a key: `stem` of `a/b.tif` is `b`.
pub(crate) fn key_part<'a>(key: &'a str, part: &str) -> Option<&'a str> {
    let (dir, name) = key.rsplit_once('/').unwrap_or(("", key));
    // A leading dot does not begin an ending.
    let (stem, ext) = match name.rfind('.') {
        Some(dot) if dot > 0 => (&name[..dot], &name[dot + 1..]),
        _ => (name, ""),
    };
    Some(match part {
        "dir" => dir,
        "name" => name,
        "stem" => stem,
        "ext" => ext,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_parts() {
        let part = |part| key_part("scans/b.7/t001.ome.tif", part);
        assert_eq!(part("dir"), Some("scans/b.7"));
        assert_eq!(part("name"), Some("t001.ome.tif"));
        assert_eq!(part("stem"), Some("t001.ome"));
        assert_eq!(part("ext"), Some("tif"));
        assert_eq!(part("size"), None);
        assert_eq!(key_part(".hidden", "stem"), Some(".hidden"));
        assert_eq!(key_part("plain", "dir"), Some(""));
    }

    #[test]
    fn rows_are_short_lines() {
        let row = Row {
            vars: serde_json::from_str(r#"{"key":"a.tif","size":3}"#).unwrap(),
            group: Some((7, 126)),
            first: None,
        };
        let line = row.to_line();
        assert_eq!(line, r#"{"v":{"key":"a.tif","size":3},"g":[7,126]}"#);
        assert_eq!(Row::from_line(&line).unwrap(), row);
        assert!(Row::from_line("[]").is_err() && Row::from_line(r#"{"v":{},"x":1}"#).is_err());
    }
}
