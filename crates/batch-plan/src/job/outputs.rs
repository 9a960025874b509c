//! The outputs of items, and where they are found.

use super::error::RenderError;
use super::expect::{Compiled, Expected, Listing};
use super::renderer::Renderer;
use crate::row::Row;
use crate::template::Text;

impl Renderer {
    /// The outputs of an item, in the order of the plan.
    ///
    /// # Errors
    ///
    /// As [`job`](Self::job).
    pub fn expected(&self, item: u64, row: Option<&Row>) -> Result<Vec<Expected>, RenderError> {
        let point = self.point(item);
        let scope = self.scope(item, row, &point)?;
        let one = |(index, compiled): (usize, &Compiled)| {
            let field = format!("expect[{index}]");
            let render = |text: &Text| {
                let text = self.render(item, &field, text, &scope)?;
                if text.is_empty() {
                    return Err(self.error(item, &field, "the key is empty"));
                }
                Ok(text)
            };
            Ok(match compiled {
                Compiled::Result => Expected::Result,
                Compiled::Key(text, min_size) => Expected::Key {
                    key: render(text)?,
                    min_size: *min_size,
                },
                Compiled::Prefix(text, count, matches) => Expected::Prefix {
                    prefix: render(text)?,
                    count: self.quantity(item, &field, count, &scope)?.unwrap_or(1),
                    matches: matches.clone(),
                },
            })
        };
        self.expect.iter().enumerate().map(one).collect()
    }

    /// What is to be listed for each output, in the order of the plan.
    pub fn listings(&self) -> Vec<Listing> {
        let listing = |compiled: &Compiled| match compiled {
            Compiled::Result => Listing {
                prefix: None,
                constant: false,
            },
            Compiled::Key(text, _) | Compiled::Prefix(text, ..) => {
                let (prefix, constant) = self.engine.prefix(text, &self.shared);
                Listing {
                    prefix: Some(prefix),
                    constant,
                }
            }
        };
        self.expect.iter().map(listing).collect()
    }
}
