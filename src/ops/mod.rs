//! Commands for those who run a Kiosk: keeping order, checking, measuring.

mod bench;
mod check;
mod fsck;
mod janitor;
mod promote_delayed;

pub(crate) use self::bench::{BenchArguments, bench};
pub(crate) use self::check::{CheckArguments, check};
pub(crate) use self::fsck::{FsckArguments, fsck};
pub(crate) use self::janitor::{JanitorArguments, JanitorSettings, janitor};
pub(crate) use self::promote_delayed::promote_delayed;
use crate::queue::QueueName;
use crate::settings::Reader;

/// The queues that a command looks after, each with the one of its archives.
fn queues(reader: &mut Reader<'_>) -> Vec<String> {
    let fallback = reader.text(
        "QUEUE",
        "predict",
        "queue to look after, if QUEUES is not set",
    );
    let delimiter = reader.text(
        "QUEUE_DELIMITER",
        ",",
        "what stands between the names in QUEUES",
    );
    let names = reader.text(
        "QUEUES",
        &fallback,
        "queues to look after, each with its -zip",
    );
    let mut queues = Vec::new();
    for name in names
        .split(&delimiter)
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match name.parse() {
            Ok(QueueName(name)) => queues.extend([format!("{name}-zip"), name]),
            Err(message) => reader.problem("QUEUES", message),
        }
    }
    queues
}
