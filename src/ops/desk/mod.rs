//! What the commands share with which operators look after queues and jobs: the connection, selectors, reports, tables.

mod batches;
mod change;
mod connection;
mod consent;
mod progress;
mod report;
mod table;
mod waiting;

pub(super) use self::batches::{feed_first, known, stage_of};
pub(super) use self::change::ChangeArguments;
pub(super) use self::connection::{Desk, DeskArguments, known_bucket};
pub(super) use self::consent::{Consent, consent};
pub(super) use self::progress::{Line, Progress, Rate, Screen};
pub(super) use self::report::{Report, listed};
pub(super) use self::table::{Table, extend, print_json};
pub(super) use self::waiting::is_open;
pub(crate) use crate::figures::Span;
pub(super) use crate::figures::{Age, age, ago, clock, counted, grouped, jobs, size};
pub(super) use crate::queue::control::Selected;
pub(crate) use crate::refusal::{Misuse, Refused};
pub(super) use crate::selection::{
    SCAN_TIME, Selector, move_wanted, parse_field, queue_of, read_keys,
};
pub(super) use crate::submission::{Found, LocalFile, find};
pub(super) use crate::wire::{text_of, value_of};
