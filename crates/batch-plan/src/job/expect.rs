//! What an item leaves in the bucket.

use super::compile::Compiler;
use super::error::RenderError;
use super::quantity::Quantity;
use crate::template::Text;
use crate::units;
use crate::work::Expect;

/// An output of one item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// The job's own result.
    Result,
    /// One object.
    Key {
        /// Its key.
        key: String,
        /// Bytes that it has at least.
        min_size: u64,
    },
    /// So many objects.
    Prefix {
        /// What their keys begin with.
        prefix: String,
        /// How many there are.
        count: u32,
        /// Glob that the rest of a key matches.
        matches: Option<String>,
    },
}

/// What is listed to find the outputs of a stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listing {
    /// What the keys of all its outputs begin with; for the jobs' own results, nothing is known here.
    pub prefix: Option<String>,
    /// Whether the template is the same for all items, so that they cannot have outputs of their own.
    pub constant: bool,
}

pub(super) enum Compiled {
    Result,
    Key(Text, u64),
    Prefix(Text, Quantity<u32>, Option<String>),
}

impl Compiler<'_> {
    pub(super) fn expects(&mut self, expects: &[Expect]) -> Result<Vec<Compiled>, RenderError> {
        let mut all = Vec::with_capacity(expects.len());
        for (index, expect) in expects.iter().enumerate() {
            let field = format!("expect[{index}]");
            all.push(match expect {
                Expect::Result(_) => Compiled::Result,
                Expect::Key(expect) => Compiled::Key(
                    self.text(&field, &expect.key)?,
                    expect.min_size.unwrap_or(0),
                ),
                Expect::Prefix(expect) => Compiled::Prefix(
                    self.text(&field, &expect.prefix)?,
                    self.quantity(&field, Some(&expect.count), units::count)?,
                    expect.matches.clone(),
                ),
            });
        }
        Ok(all)
    }
}
