//! What has taken how long of a job.

use std::time::Duration;

use super::super::jobs_table::value;
use crate::figures::Age;
use crate::wire::{RawFields, Status, field};

/// From so many seconds on, hundredths do not matter.
const LONG_S: f64 = 120.0;

/// Width of a bar, in its own units.
const WIDTH: f64 = 1000.0;

/// A part of a job's time.
pub(in super::super) struct Part {
    pub(in super::super) word: &'static str,
    pub(in super::super) seconds: String,
    /// The part of the bar that stands for it.
    pub(in super::super) x: u32,
    pub(in super::super) width: u32,
}

/// The stages that a job has been through, one after the other. What lies between its submission and its end and is no stage is
/// waiting.
pub(in super::super) fn timeline(fields: &RawFields) -> Vec<Part> {
    let parts = stages(fields);
    let total: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    let mut before = 0.0;
    let part = |(word, seconds): (&'static str, f64)| {
        let share = |seconds: f64| (seconds / total.max(f64::MIN_POSITIVE) * WIDTH) as u32;
        let x = share(before);
        before += seconds;
        Part {
            word,
            seconds: in_words(seconds),
            x,
            width: share(before) - x,
        }
    };
    parts.into_iter().map(part).collect()
}

/// The same in seconds, in the order of [`words`].
pub(super) fn stages(fields: &RawFields) -> Vec<(&'static str, f64)> {
    let waiting = waiting(fields).map(|seconds| (WAITING, seconds));
    let worked = STAGES
        .iter()
        .filter_map(|(word, name)| Some((*word, seconds(fields, name)?)));
    waiting.into_iter().chain(worked).collect()
}

pub(super) const WAITING: &str = "waiting";

/// All of them in their order.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    [WAITING].into_iter().chain(STAGES.map(|(word, _)| word))
}

/// Stages and the fields with their times.
const STAGES: [(&str, &str); 7] = [
    (Status::Started.as_str(), field::DOWNLOAD_TIME),
    (Status::PreProcessing.as_str(), field::PREPROCESS_TIME),
    (Status::Predicting.as_str(), field::PREDICTION_TIME),
    (Status::PostProcessing.as_str(), field::POSTPROCESS_TIME),
    ("children", field::CHILDREN_UPLOAD_TIME),
    (Status::SavingResults.as_str(), field::UPLOAD_TIME),
    ("cleanup", field::CLEANUP_TIME),
];

pub(super) fn in_words(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(long) if seconds >= LONG_S => Age(long).to_string(),
        _ => format!("{seconds:.2} s"),
    }
}

/// A time that was measured.
fn seconds(fields: &RawFields, name: &str) -> Option<f64> {
    let text = std::str::from_utf8(value(fields, name)).ok()?;
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

/// The time from its submission to its end without that in which it was worked.
fn waiting(fields: &RawFields) -> Option<f64> {
    let stamp = |name| {
        let text = std::str::from_utf8(value(fields, name)).ok()?;
        text.parse::<jiff::Timestamp>().ok()
    };
    let (begin, end) = (stamp(field::CREATED_AT)?, stamp(field::FINISHED_AT)?);
    let whole = end.duration_since(begin).as_secs_f64();
    let worked: f64 = STAGES
        .iter()
        .filter_map(|(_, name)| seconds(fields, name))
        .sum();
    let rest = whole - worked;
    (rest.is_finite() && rest >= 0.0).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> RawFields {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn parts_follow_each_other_and_fill_the_bar() {
        let job = fields(&[
            ("created_at", "2026-01-01T00:00:00.000000+00:00"),
            ("finished_at", "2026-01-01T00:00:10.000000+00:00"),
            ("download_time", "1"),
            ("prediction_time", "4.0"),
        ]);
        let parts = timeline(&job);
        let shown: Vec<_> = parts.iter().map(|it| (it.word, it.x, it.width)).collect();
        assert_eq!(
            shown,
            [
                ("waiting", 0, 500),
                ("started", 500, 100),
                ("predicting", 600, 400)
            ]
        );
    }

    #[test]
    fn times_that_are_none_are_left_out() {
        let job = fields(&[
            ("download_time", "inf"),
            ("upload_time", "-1"),
            ("prediction_time", "soon"),
            ("created_at", "yesterday"),
        ]);
        assert!(timeline(&job).is_empty());
        let zero = timeline(&fields(&[("upload_time", "0")]));
        assert_eq!((zero.len(), zero[0].width), (1, 0));
    }
}
