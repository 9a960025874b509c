//! The paths of objects in URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// What a public URL encodes: everything but unreserved characters and `/`.
pub(in super::super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The key in `<bucket>/<key>`.
pub(in super::super) fn key_below<'u>(bucket: &str, path: &'u str) -> Option<&'u str> {
    let (name, key) = path.split_once('/')?;
    name.eq_ignore_ascii_case(bucket).then_some(key)
}
