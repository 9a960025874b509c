//! Which part of a long list a page shows.

use crate::figures::grouped;

/// Rows of a page.
pub(in super::super) const ROWS: usize = 50;

/// Which part of a list is shown, and where its neighbors are.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// What is shown, in words.
    pub(super) text: String,
    /// Addresses of the parts before and after.
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
}

impl Window {
    /// So many rows after `from` others of `total`, at an address that ends in a question mark or an ampersand.
    pub(super) fn new(address: &str, (from, rows): (usize, usize), total: u64) -> Self {
        let after = from + rows;
        let is_more = rows == ROWS && (after as u64) < total;
        Self {
            text: match rows {
                0 => format!("none of {}", grouped(total)),
                _ => {
                    let [first, last] = [from + 1, after].map(|at| grouped(at as u64));
                    format!("{first}–{last} of {}", grouped(total))
                }
            },
            newer: (from > 0).then(|| format!("{address}from={}", from.saturating_sub(ROWS))),
            older: is_more.then(|| format!("{address}from={after}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_knows_its_neighbors() {
        let middle = Window::new("/failed?", (50, 50), 1234);
        assert_eq!(middle.text, "51–100 of 1,234");
        assert_eq!(middle.newer.as_deref(), Some("/failed?from=0"));
        assert_eq!(middle.older.as_deref(), Some("/failed?from=100"));
        let last = Window::new("/failed?", (50, 3), 53);
        assert_eq!((last.text.as_str(), last.older), ("51–53 of 53", None));
        let exact = Window::new("/failed?", (0, 50), 50);
        assert_eq!((exact.newer, exact.older), (None, None));
        assert_eq!(Window::new("?", (0, 0), 0).text, "none of 0");
    }
}
