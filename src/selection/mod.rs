//! Which jobs somebody means: selectors of command lines and of the API, and the jobs that they select.

mod active;
mod body;
mod failures;
mod moving;
mod selector;

pub(crate) use self::failures::SCAN_TIME;
pub(crate) use self::moving::move_wanted;
pub(crate) use self::selector::{Selector, parse_field, queue_of, read_keys};
