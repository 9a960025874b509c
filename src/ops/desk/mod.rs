//! What the commands share with which operators look after queues and jobs: the connection, selectors, reports, tables.

mod connection;
mod consent;
mod progress;
mod report;
mod selector;
mod table;
mod times;

pub(super) use self::connection::{Desk, DeskArguments};
pub(super) use self::consent::{Consent, consent};
pub(super) use self::progress::{Line, Progress, Rate, Screen, size};
pub(super) use self::report::Report;
pub(super) use self::selector::{Selected, Selector, parse_field, read_keys};
pub(super) use self::table::{Table, print_json};
pub(super) use self::times::{Age, Moment, Span, age, ago, clock};

/// The command line asks for something that cannot be: exit status 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Refused for now, and nothing was changed: exit status 75.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);
