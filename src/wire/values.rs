//! Fields of jobs, for tables and for programs.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::field;
use super::job_key::JobKey;
use super::status::is_final;

/// The fields of a job's hash as Redis holds them.
pub type RawFields = HashMap<Vec<u8>, Vec<u8>>;

/// The value of a field; empty if it is not there.
pub(crate) fn value_of<'f>(fields: &'f RawFields, name: &str) -> &'f [u8] {
    fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice)
}

/// The same as text.
pub(crate) fn text_of(fields: &RawFields, name: &str) -> String {
    String::from_utf8_lossy(value_of(fields, name)).into_owned()
}

/// Whether a job is there and has not ended.
pub(crate) fn is_active(fields: &RawFields) -> bool {
    let status = value_of(fields, field::STATUS);
    !status.is_empty() && !is_final(Some(status))
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
