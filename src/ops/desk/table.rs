//! Tables for people, and JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement};
use serde_json::Value;

/// Columns that names of rows may take, however narrow the terminal is.
const SHORT: u16 = 24;

/// Rows under a line of headings, as narrow as they can be; cut to the width of a terminal, and only of one.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty one. Headings that begin with `>` stand above numbers, which are flush right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(headings.iter().map(|name| name.trim_start_matches('>')));
        for (index, name) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row = comfy_table::Row::from(cells.into_iter().collect::<Vec<_>>());
        row.max_height(1);
        self.0.add_row(row);
    }

    /// Has what rows are called by stay whole, where that is short.
    fn keep_names(&mut self) {
        let widest = self.0.column_max_content_widths();
        if widest.first().is_some_and(|width| *width <= SHORT)
            && let Some(names) = self.0.column_mut(0)
        {
            names.set_constraint(ColumnConstraint::ContentWidth);
        }
    }

    /// Prints it.
    pub(crate) fn print(&mut self) -> io::Result<()> {
        let mut out = io::stdout();
        // Some terminals do not tell their width.
        if out.is_terminal() && self.0.width() != Some(0) {
            self.0.set_content_arrangement(ContentArrangement::Dynamic);
            self.keep_names();
        }
        for line in self.0.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Adds the members of an object to another.
pub(crate) fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}

/// Prints an object on a line of its own.
pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value}")
}
