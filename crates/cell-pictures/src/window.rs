//! Which part of a picture is drawn.

use std::ops::Range;

/// Rows and columns of a picture, within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

impl Window {
    /// All of a picture of so many rows and columns.
    #[must_use]
    pub fn whole((rows, columns): (usize, usize)) -> Self {
        Self {
            rows: 0..rows,
            columns: 0..columns,
        }
    }

    /// The tile in this column and row of tiles of a picture of so many rows and columns; smaller at its right and lower border,
    /// and nothing beyond.
    #[must_use]
    pub fn tile((rows, columns): (usize, usize), side: usize, x: usize, y: usize) -> Option<Self> {
        let part = |index: usize, length: usize| {
            let start = index.checked_mul(side).filter(|start| *start < length)?;
            Some(start..start.saturating_add(side).min(length))
        };
        Some(Self {
            rows: part(y, rows)?,
            columns: part(x, columns)?,
        })
    }

    pub(crate) fn height(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }
}
