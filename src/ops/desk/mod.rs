//! What the commands share with which operators look after queues and jobs: the connection, selectors, reports, tables.

mod batches;
mod change;
mod connection;
mod consent;
mod failures;
mod fields;
mod local_files;
mod numbers;
mod progress;
mod refusal;
mod report;
mod selector;
mod table;
mod times;
mod waiting;

pub(super) use self::batches::{feed_first, item_of, known, stage_of};
pub(super) use self::change::ChangeArguments;
pub(super) use self::connection::{Desk, DeskArguments, known_bucket};
pub(super) use self::consent::{Consent, consent};
pub(super) use self::failures::Group;
pub(super) use self::fields::{fields_to_json, text_of, value_of};
pub(super) use self::local_files::{Found, LocalFile, find, find_in};
pub(super) use self::numbers::{counted, grouped, jobs};
pub(super) use self::progress::{Line, Progress, Rate, Screen, size};
pub(crate) use self::refusal::{Misuse, Refused};
pub(super) use self::report::{Report, listed};
pub(super) use self::selector::{Selected, Selector, parse_field, queue_of, read_keys};
pub(super) use self::table::{Table, extend, print_json};
pub(crate) use self::times::Span;
pub(super) use self::times::{Age, Moment, age, ago, clock};
pub(super) use self::waiting::is_open;
