//! Where items come from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::range::Range;
use crate::work::is_default;

/// A source of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Items {
    /// A grid, which is computed.
    Range(Range),
    /// Objects of the bucket.
    Objects {
        /// What their keys begin with.
        prefix: String,
        /// Which of them.
        #[serde(default, skip_serializing_if = "is_default")]
        pick: Pick,
    },
    /// Files of a folder that are uploaded first.
    Files {
        /// The folder.
        path: String,
        /// What their keys will begin with.
        to: String,
        /// Which of them.
        #[serde(default, skip_serializing_if = "is_default")]
        pick: Pick,
    },
    /// Lines of a table with a head.
    Csv(String),
    /// Lines that are JSON objects.
    Jsonl(String),
    /// Values of the plan itself.
    List(Vec<Value>),
    /// Elements of lists in YAML files.
    Yaml {
        /// Glob of the files.
        path: String,
        /// The list in each file.
        each: String,
        /// The list of elements to leave out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        except: Option<String>,
    },
    /// What a program prints.
    Command(Vec<String>),
}

impl Items {
    /// Whether they are read from a source; those of a grid are computed.
    pub(crate) fn is_list(&self) -> bool {
        !matches!(self, Self::Range(_))
    }

    /// Whether they are objects or files, which have keys.
    pub(crate) fn have_keys(&self) -> bool {
        matches!(self, Self::Objects { .. } | Self::Files { .. })
    }

    /// What the keys of files will begin with.
    pub(crate) fn upload_prefix(&self) -> Option<&str> {
        match self {
            Self::Files { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// Which of many keys are items. Globs and the pattern see what follows the prefix or the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// Glob that they match; `*` does not cross `/`, `**` does.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// Globs that they do not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// A pattern whose named groups are variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    /// The only stems that are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_stems: Option<Vec<String>>,
    /// Stems that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except_stems: Option<Vec<String>>,
}
