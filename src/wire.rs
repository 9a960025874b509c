//! The words that every program of a Kiosk reads and writes in Redis: fields and statuses of a job's hash, time stamps, and the
//! names of keys.
//!
//! Producers, Python consumers, the janitor, the autoscaler and the exporter know most of them; those that begin with `rc` are
//! ours alone. `docs/job-hash.md` explains them to users.

pub(crate) mod batch;
pub(crate) mod field;
mod job_key;
mod keys;
pub(crate) mod script_field;
mod status;
mod values;

use std::time::Duration;

pub use self::job_key::JobKey;
pub(crate) use self::keys::{
    AUDIT, BATCHES, Keys, PROCESSING, QUEUES, TRASH, consumer_of_processing, pending,
    queue_of_processing, split_keys, split_ours,
};
pub use self::status::Status;
pub(crate) use self::status::is_final;
pub use self::values::RawFields;
pub(crate) use self::values::{fields_to_json, is_active, text_of, value_of};

/// Fields that say how one job fares, rather than what is to be done. The worker writes them; children do not inherit them.
const BOOKKEEPING: [&str; 16] = [
    field::CREATED_AT,
    field::DIM_ORDER,
    field::ERROR_CLASS,
    field::FAILURES,
    field::FINISHED_AT,
    field::LOG_FILE_NAME,
    field::NOT_BEFORE,
    field::OUTPUT_FILE_NAME,
    field::OUTPUT_URL,
    field::PARENT,
    field::PROGRESS,
    field::REASON,
    field::STATUS,
    field::TOTAL_JOBS,
    field::UPDATED_AT,
    field::UPDATED_BY,
];

/// Whether a field says how one job fares, rather than what is to be done.
pub(crate) fn is_bookkeeping(field: &str) -> bool {
    BOOKKEEPING.contains(&field)
        || ["rc_", "children", "identity_"]
            .iter()
            .any(|prefix| field.starts_with(prefix))
        || (field.ends_with("_time") && !is_of_result(field))
}

/// Whether a field is one that a command hands out beside its result.
pub(crate) fn is_of_result(field: &str) -> bool {
    field.starts_with("x_")
}

/// The time as every writer of a job's hash gives it: UTC with microseconds and offset.
pub(crate) fn timestamp() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// How long ago a time stamp of a hash was; nothing if it is not a time stamp.
pub(crate) fn age_of(stamp: &[u8]) -> Option<Duration> {
    let stamp: jiff::Timestamp = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    Some(Duration::try_from(jiff::Timestamp::now().duration_since(stamp)).unwrap_or_default())
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 by the clock of this machine.
pub(crate) fn millis_since_1970() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_have_six_digits_and_an_offset() {
        let text = timestamp();
        assert_eq!(
            text.len(),
            "2023-07-12T16:31:13.123456+00:00".len(),
            "{text}"
        );
        assert!(
            text.ends_with("+00:00") && text.parse::<jiff::Timestamp>().is_ok(),
            "{text}"
        );
        assert!(age_of(text.as_bytes()).is_some_and(|age| age < Duration::from_secs(60)));
        assert_eq!(age_of(b"yesterday"), None);
    }
}
