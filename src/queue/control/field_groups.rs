//! Fields of a job in groups, as people read them.

use crate::wire::{RawFields, field, is_bookkeeping};

/// Headings, and which fields come first under each.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "state",
        &[
            field::STATUS,
            field::PROGRESS,
            field::ERROR_CLASS,
            field::REASON,
        ],
    ),
    ("input", &[field::INPUT_FILE_NAME, field::ORIGINAL_NAME]),
    ("result", &[field::OUTPUT_FILE_NAME, field::OUTPUT_URL]),
    (
        "times",
        &[field::CREATED_AT, field::UPDATED_AT, field::FINISHED_AT],
    ),
    ("queue", &[]),
];

/// Fields under one heading: names and values.
type Fields<'f> = (&'static str, Vec<(&'f [u8], &'f [u8])>);

/// All fields that are not empty, under headings; what matters most comes first.
pub(crate) fn in_groups(fields: &RawFields) -> Vec<Fields<'_>> {
    let groups = GROUPS.iter().map(|(heading, first)| {
        let mut lines: Vec<_> = fields
            .iter()
            .filter(|(name, value)| group_of(name) == *heading && !value.is_empty())
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        lines.sort_by_key(|(name, _)| {
            let at = first.iter().position(|known| known.as_bytes() == *name);
            (at.unwrap_or(usize::MAX), *name)
        });
        (*heading, lines)
    });
    groups.filter(|(_, lines)| !lines.is_empty()).collect()
}

fn group_of(name: &[u8]) -> &'static str {
    let name = String::from_utf8_lossy(name);
    let state = [
        field::STATUS,
        field::PROGRESS,
        field::ERROR_CLASS,
        field::REASON,
        field::FAILURES,
    ];
    let result = [field::OUTPUT_FILE_NAME, field::OUTPUT_URL];
    match name.as_ref() {
        name if state.contains(&name) => "state",
        name if result.contains(&name) => "result",
        name if name.ends_with("_at") || name.ends_with("_time") => "times",
        name if is_bookkeeping(name) => "queue",
        _ => "input",
    }
}
