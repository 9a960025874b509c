//! Times as people write and read them.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use crate::wire::{age_of, millis_since_1970};

/// A span of time on the command line: `90s`, `15m`, `2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let units = [
            ("ms", 0.001),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("d", 86_400.0),
            ("", 1.0),
        ];
        let found = units.iter().find_map(|(unit, seconds)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(number * seconds)
        });
        let seconds = found.filter(|seconds| *seconds >= 0.0);
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        span.map(Self)
            .ok_or_else(|| format!("`{text}` is no time; say `90s`, `15m`, `2h` or `7d`"))
    }
}

/// A moment on the command line: RFC 3339, or so long ago. In milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(Span(span)) = text.parse() {
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            return Ok(Self(millis_since_1970().saturating_sub(span)));
        }
        let time: Result<jiff::Timestamp, _> = text.parse();
        let millis = time
            .ok()
            .and_then(|time| u64::try_from(time.as_millisecond()).ok());
        millis.map(Self).ok_or_else(|| {
            format!("`{text}` is no time; say `2026-11-28T13:00:00Z`, or how long ago: `15m`")
        })
    }
}

/// A span of time as people read it: `41s`, `3m`, `2h 5m`, `2d 3h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age(pub(crate) Duration);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        let text = match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds}s"),
            (0, 0, minutes) => format!("{minutes}m"),
            (0, hours, minutes) => format!("{hours}h {}m", minutes % 60),
            (days, hours, _) => format!("{days}d {}h", hours % 24),
        };
        f.pad(&text)
    }
}

/// How long ago a moment is, given in milliseconds since 1970.
pub(crate) fn ago(millis: u64) -> Age {
    Age(Duration::from_millis(
        millis_since_1970().saturating_sub(millis),
    ))
}

/// How long ago a time stamp of a job's hash is.
pub(crate) fn age(stamp: &[u8]) -> Option<Age> {
    age_of(stamp).map(Age)
}

/// A moment in milliseconds since 1970, for programs: RFC 3339.
pub(crate) fn clock(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        let read = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(read("90s"), Ok(90_000));
        assert_eq!(read("1.5m"), Ok(90_000));
        assert_eq!(read("2h"), Ok(7_200_000));
        assert_eq!(read("7d"), Ok(604_800_000));
        assert_eq!(read("10"), Ok(10_000));
        assert_eq!(read("5ms"), Ok(5));
        for wrong in ["", "-1s", "s", "2 weeks", "nan", "inf", "1e30d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let shown = |seconds| Age(Duration::from_secs(seconds)).to_string();
        assert_eq!(shown(41), "41s");
        assert_eq!(shown(200), "3m");
        assert_eq!(shown(7500), "2h 5m");
        assert_eq!(shown(183_600), "2d 3h");
    }

    #[test]
    fn moments_are_clock_times_or_spans_ago() {
        let Moment(millis) = "2026-11-28T13:00:00Z".parse().expect("a time");
        assert_eq!(clock(millis), "2026-11-28T13:00:00Z");
        let Moment(hour) = "1h".parse().expect("a span");
        assert_eq!(ago(hour).to_string(), "1h 0m");
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
