//! Rows of a table of cells of many jobs: the item comes first, and a reason last where there are no cells.

use std::io;

use cell_analysis::regions::{CellColumns, CellTable};

use super::cells::{Cells, CsvPart, inert};
use crate::untrusted;

/// The rows of a table of many jobs.
#[derive(Clone, Debug)]
pub(in super::super) struct ItemRows {
    columns: CellColumns,
}

impl ItemRows {
    /// With what these cells tell: the first of many decide.
    pub(in super::super) fn like(cells: &Cells) -> Self {
        Self::with(cells.columns())
    }

    /// Of jobs of which none has cells.
    pub(in super::super) fn without_cells() -> Self {
        Self::with(CellColumns::default())
    }

    fn with(columns: CellColumns) -> Self {
        let columns = CellColumns {
            item: true,
            ..columns
        };
        Self { columns }
    }

    pub(in super::super) fn channels(&self) -> usize {
        self.columns.channels.len()
    }

    /// The names of the columns.
    pub(in super::super) fn names(&self) -> io::Result<Vec<u8>> {
        let names = CellTable::begin(Vec::new(), self.columns.clone())?.into_inner();
        Ok(with_last(&names, "note"))
    }

    /// A part of the cells of an item.
    pub(in super::super) fn of(
        &self,
        cells: &Cells,
        part: &CsvPart,
        item: &str,
    ) -> io::Result<Vec<u8>> {
        let item = untrusted::name(item).to_string();
        let rows = cells.rows(
            part,
            self.columns.clone(),
            &|image| match cells.has_several_images() {
                true => format!("{item} {image}"),
                false => item.clone(),
            },
        )?;
        Ok(with_last(&rows, ""))
    }

    /// That an item has no cells here, and why.
    pub(in super::super) fn reason(&self, item: &str, why: impl AsRef<str>) -> Vec<u8> {
        let blank = self.names().map_or(0, |names| {
            names.iter().filter(|byte| **byte == b',').count() - 1
        });
        let item = quoted(&inert(&untrusted::name(item).to_string()));
        let why = quoted(&inert(&untrusted::message(why.as_ref()).to_string()));
        format!("{item}{}{why}\r\n", ",".repeat(blank + 1)).into_bytes()
    }
}

/// Lines with one more field at their ends. Names of items have no line breaks.
fn with_last(lines: &[u8], last: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(lines);
    let lines = text.lines().map(|line| format!("{line},{last}\r\n"));
    lines.collect::<String>().into_bytes()
}

/// A field, in quotes where it needs them.
fn quoted(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::channel_names;
    use super::*;

    #[test]
    fn a_reason_has_as_many_fields_as_the_names() {
        let rows = ItemRows::with(CellColumns {
            channels: channel_names(2),
            ..CellColumns::default()
        });
        let names = String::from_utf8(rows.names().expect("names")).expect("text");
        assert!(names.starts_with("item,label,area_px,"), "{names}");
        assert!(names.ends_with(",integrated_channel_1,note\r\n"), "{names}");
        let reason = rows.reason("=a\n\"b\"", "it is gone");
        let reason = String::from_utf8(reason).expect("text");
        assert!(reason.starts_with("\"'=a\\n\"\"b\"\"\","), "{reason}");
        assert!(reason.ends_with(",it is gone\r\n"), "{reason}");
        let commas = |text: &str| text.matches(',').count();
        assert_eq!(commas(&reason), commas(&names));
    }
}
