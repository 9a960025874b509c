//! Fields of jobs, for tables and for programs.

use serde_json::{Map, Value};

use crate::queue::JobKey;
use crate::wire::RawFields;

/// The value of a field; empty if it is not there.
pub(crate) fn value_of<'f>(fields: &'f RawFields, name: &str) -> &'f [u8] {
    fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice)
}

/// The same as text.
pub(crate) fn text_of(fields: &RawFields, name: &str) -> String {
    String::from_utf8_lossy(value_of(fields, name)).into_owned()
}

/// All fields; values that are no text as keys are given that are none.
pub(crate) fn fields_to_json(fields: &RawFields) -> Value {
    let mut all = Map::new();
    for (name, value) in fields {
        let name = String::from_utf8_lossy(name).into_owned();
        all.insert(name, JobKey(value.clone()).to_json());
    }
    all.into()
}
