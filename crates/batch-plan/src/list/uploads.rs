//! Files that are uploaded before their items are worked.

use std::path::{Path, PathBuf};

use super::prepare::Lists;
use crate::resolved::{Items, Resolved};

/// A file that has to be in the bucket before its item is worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Where it is.
    pub file: PathBuf,
    /// Its key in the bucket.
    pub key: String,
    /// Its bytes when it was listed.
    pub size: u64,
}

impl Lists {
    /// The files of all items, stage by stage; in a sample, those of its items.
    pub fn uploads<'a>(&'a self, plan: &'a Resolved) -> impl Iterator<Item = Upload> + 'a {
        let folders = self.iter().filter_map(|(stage, list)| {
            let Items::Files { path, to, .. } = plan.stages[stage].items.as_ref()? else {
                return None;
            };
            Some((Path::new(path), to, list))
        });
        folders.flat_map(|(folder, to, list)| {
            let rows = (0..list.len()).filter_map(|item| list.row(item));
            rows.filter_map(move |row| {
                Some(Upload {
                    file: folder.join(row.vars.get("path")?.as_str()?),
                    key: row.upload_key(to)?,
                    size: row.vars.get("size")?.as_u64()?,
                })
            })
        })
    }
}
