//! Charts of what has ended, drawn here as SVG.

use crate::figures::grouped;
use crate::queue::control::Minute;

/// Width of a sparkline and of a chart, and their heights, in their own units.
const SPARK: (usize, f64) = (96, 24.0);
const CHART: (usize, f64) = (120, 120.0);

/// A line through the sums of many minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparkline {
    /// Points of the lines of what was done, and what has failed.
    pub(super) done: String,
    pub(super) failed: String,
    /// What it shows, in words.
    pub(super) text: String,
    pub(super) is_empty: bool,
}

/// Bars, each of several minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The highest bar's jobs a minute.
    pub(super) most: String,
    /// What it shows, in words.
    pub(super) text: String,
    pub(super) is_empty: bool,
}

/// A bar: what has failed stands upon what was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) done_y: String,
    pub(super) done_height: String,
    pub(super) failed_y: String,
    pub(super) failed_height: String,
    pub(super) title: String,
}

impl Sparkline {
    pub(super) fn of(history: &[Minute]) -> Self {
        let (count, height) = SPARK;
        let parts = summed(history, count);
        let most = parts
            .iter()
            .map(|it| it.done.max(it.failed))
            .max()
            .unwrap_or(0);
        let line = |of: fn(&Minute) -> u64| {
            let points = parts.iter().enumerate().map(|(x, part)| {
                let y = height - of(part) as f64 / most.max(1) as f64 * (height - 2.0) - 1.0;
                format!("{x},{y:.1}")
            });
            points.collect::<Vec<_>>().join(" ")
        };
        let all = total(history);
        Self {
            done: line(|part| part.done),
            failed: line(|part| part.failed),
            text: in_words(all, history.len()),
            is_empty: most == 0,
        }
    }
}

impl Chart {
    pub(super) fn of(history: &[Minute]) -> Self {
        let (count, height) = CHART;
        let parts = summed(history, count);
        let minutes = history.len().div_ceil(count).max(1);
        let most = parts
            .iter()
            .map(|it| it.done + it.failed)
            .max()
            .unwrap_or(0);
        let scaled = |jobs: u64| jobs as f64 / most.max(1) as f64 * height;
        let bar = |(x, part): (usize, &Minute)| {
            let (done, failed) = (scaled(part.done), scaled(part.failed));
            let ago = (parts.len() - x) * minutes;
            Bar {
                x,
                done_y: format!("{:.1}", height - done),
                done_height: format!("{done:.1}"),
                failed_y: format!("{:.1}", height - done - failed),
                failed_height: format!("{failed:.1}"),
                title: format!("{ago} min ago: {}", numbers(*part)),
            }
        };
        Self {
            bars: parts.iter().enumerate().map(bar).collect(),
            most: format!("{:.1}", most as f64 / minutes as f64),
            text: in_words(total(history), history.len()),
            is_empty: most == 0,
        }
    }
}

/// So many sums of minutes that follow each other.
fn summed(history: &[Minute], count: usize) -> Vec<Minute> {
    let each = history.len().div_ceil(count).max(1);
    history.chunks(each).map(total).collect()
}

fn total(minutes: &[Minute]) -> Minute {
    let mut sum = Minute::default();
    minutes.iter().for_each(|minute| sum += *minute);
    sum
}

fn numbers(part: Minute) -> String {
    let [done, failed, put_back] = [part.done, part.failed, part.put_back].map(grouped);
    format!("{done} done, {failed} failed, {put_back} put back")
}

fn in_words(all: Minute, minutes: usize) -> String {
    format!("last {} h: {}", minutes.div_ceil(60), numbers(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_the_highest_and_nothing_is_lost() {
        let mut history = vec![Minute::default(); 240];
        history[0].done = 30;
        history[1].failed = 10;
        history[239].done = 4;
        let chart = Chart::of(&history);
        assert_eq!((chart.bars.len(), chart.most.as_str()), (120, "20.0"));
        let first = &chart.bars[0];
        assert_eq!(
            (first.done_height.as_str(), first.failed_height.as_str()),
            ("90.0", "30.0")
        );
        assert_eq!(first.failed_y, "0.0");
        assert_eq!(first.title, "240 min ago: 30 done, 10 failed, 0 put back");
        assert_eq!(chart.text, "last 4 h: 34 done, 10 failed, 0 put back");
        let spark = Sparkline::of(&history);
        assert_eq!(spark.done.split(' ').count(), 80);
        assert!(spark.done.starts_with("0,1.0 1,23.0"), "{}", spark.done);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(Chart::of(&[]).is_empty && Sparkline::of(&[Minute::default(); 9]).is_empty);
    }
}
