//! How long the stages of a queue's last jobs took.

use super::timeline::{WAITING, in_words, stages, words};
use crate::wire::RawFields;

/// Width of a bar, in its own units.
const WIDTH: f64 = 1000.0;

/// The stages of some jobs.
pub(in super::super) struct StageTimes {
    /// How many jobs that are.
    pub(in super::super) jobs: usize,
    pub(in super::super) rows: Vec<StageRow>,
}

/// One of their stages.
pub(in super::super) struct StageRow {
    pub(in super::super) word: &'static str,
    /// What half of the jobs took at most, and what nine of ten did.
    pub(in super::super) median: String,
    pub(in super::super) most: String,
    /// The same as parts of a bar. Waiting has none: beside it no work could be seen.
    pub(in super::super) bar: Option<StageBar>,
}

/// How long a bar is, and the line that goes on from it.
pub(in super::super) struct StageBar {
    pub(in super::super) median: u32,
    pub(in super::super) most: u32,
}

impl StageTimes {
    /// Of the jobs with these fields.
    pub(in super::super) fn of(jobs: &[RawFields]) -> Self {
        let all: Vec<_> = jobs.iter().flat_map(stages).collect();
        let numbers = words().filter_map(|word| {
            let of_stage = all.iter().filter(|(other, _)| *other == word);
            let mut seconds: Vec<_> = of_stage.map(|(_, seconds)| *seconds).collect();
            seconds.sort_by(f64::total_cmp);
            Some((word, [rank(&seconds, 50)?, rank(&seconds, 90)?]))
        });
        let numbers: Vec<_> = numbers.collect();
        let worked = numbers.iter().filter(|(word, _)| *word != WAITING);
        let longest = worked.map(|(_, [_, most])| *most);
        let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
        let part = |seconds: f64| (seconds / longest * WIDTH) as u32;
        let rows = numbers.into_iter().map(|(word, [median, most])| StageRow {
            word,
            median: in_words(median),
            most: in_words(most),
            bar: (word != WAITING).then(|| StageBar {
                median: part(median),
                most: part(most),
            }),
        });
        Self {
            jobs: jobs.len(),
            rows: rows.collect(),
        }
    }
}

/// The smallest of these numbers, which are in order, that so many in a hundred do not exceed.
fn rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let at = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_jobs_and_nine_of_ten_take_no_longer() {
        let job = |seconds: u32| {
            let time = (
                b"prediction_time".to_vec(),
                seconds.to_string().into_bytes(),
            );
            RawFields::from_iter([time])
        };
        let jobs: Vec<_> = [4, 1, 2, 3, 5, 6, 7, 8, 200, 9].map(job).into();
        let times = StageTimes::of(&jobs);
        assert_eq!((times.jobs, times.rows.len()), (10, 1));
        let row = &times.rows[0];
        assert_eq!(
            (row.word, &*row.median, &*row.most),
            ("predicting", "5.00 s", "9.00 s")
        );
        let bar = row.bar.as_ref().map(|bar| (bar.median, bar.most));
        assert_eq!(bar, Some((555, 1000)));
        assert!(StageTimes::of(&[]).rows.is_empty());
    }
}
