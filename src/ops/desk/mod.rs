//! What the commands share with which operators look after queues and jobs: the connection, selectors, reports, tables.

mod connection;
mod consent;
mod progress;
mod refusal;
mod report;
mod selector;
mod table;
mod times;

pub(super) use self::connection::{Desk, DeskArguments};
pub(super) use self::consent::{Consent, consent};
pub(super) use self::progress::{Line, Progress, Rate, Screen, size};
pub(crate) use self::refusal::{Misuse, Refused};
pub(super) use self::report::Report;
pub(super) use self::selector::{Group, Selected, Selector, parse_field, read_keys};
pub(super) use self::table::{Table, print_json};
pub(crate) use self::times::Span;
pub(super) use self::times::{Age, Moment, age, ago, clock};
