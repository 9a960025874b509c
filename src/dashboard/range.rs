//! Which part of an object a request asks for.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Part(Range<u64>),
    /// Whoever asks has it.
    Unchanged,
    /// No byte of what is asked for is there.
    Beyond,
}

/// What a request asks for of an object with so many bytes.
pub(super) fn wanted(headers: &HeaderMap, size: u64, tag: Option<&HeaderValue>) -> Wanted {
    let text = |name| headers.get(name)?.to_str().ok();
    let tag = tag.and_then(|tag| tag.to_str().ok());
    if let (Some(known), Some(tag)) = (text(header::IF_NONE_MATCH), tag)
        && known.split(',').any(|it| is_same(it.trim(), tag))
    {
        return Wanted::Unchanged;
    }
    // A part of another version would not fit to what is there already. Weak tags do not tell.
    let is_strong = |condition: &str| tag == Some(condition) && condition.starts_with('"');
    let fits = text(header::IF_RANGE).is_none_or(is_strong);
    match text(header::RANGE).filter(|_| fits).and_then(parse) {
        Some(part) => part.of(size),
        None => Wanted::All,
    }
}

fn is_same(known: &str, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
    known == "*" || strong(known) == strong(tag)
}

/// A range as it is written.
#[derive(Clone, Copy)]
enum Part {
    /// From a byte, to another one, which is a part of it, or to the end.
    From(u64, Option<u64>),
    Last(u64),
}

/// One range of bytes. Several, and what is none, are as good as nothing.
fn parse(text: &str) -> Option<Part> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse().ok();
    if first.trim().is_empty() {
        return number(last).map(Part::Last);
    }
    let first = number(first)?;
    match last.trim() {
        "" => Some(Part::From(first, None)),
        last => {
            let last = number(last).filter(|last| *last >= first)?;
            Some(Part::From(first, Some(last)))
        }
    }
}

impl Part {
    fn of(self, size: u64) -> Wanted {
        let part = match self {
            Self::From(first, last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                first..end
            }
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        match part.is_empty() {
            true => Wanted::Beyond,
            false => Wanted::Part(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(header::HeaderName, &'static str)], size: u64) -> Wanted {
        let pairs = pairs.iter().cloned();
        let headers = pairs.map(|(name, value)| (name, HeaderValue::from_static(value)));
        wanted(
            &headers.collect(),
            size,
            Some(&HeaderValue::from_static("\"a\"")),
        )
    }

    #[test]
    fn a_range_is_a_part_of_what_is_there() {
        for (range, expected) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=8-99", Wanted::Part(8..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=0-1,4-5", Wanted::All),
            ("bytes=3-1", Wanted::All),
            ("bytes=x-", Wanted::All),
            ("lines=0-3", Wanted::All),
        ] {
            assert_eq!(ask(&[(header::RANGE, range)], 10), expected, "{range}");
        }
        assert_eq!(ask(&[(header::RANGE, "bytes=0-")], 0), Wanted::Beyond);
    }

    #[test]
    fn conditions_are_about_the_version() {
        let range = (header::RANGE, "bytes=0-3");
        for (condition, expected) in [
            ((header::IF_RANGE, "\"a\""), Wanted::Part(0..4)),
            ((header::IF_RANGE, "\"b\""), Wanted::All),
            ((header::IF_RANGE, "W/\"a\""), Wanted::All),
            (
                (header::IF_RANGE, "Wed, 21 Oct 2015 07:28:00 GMT"),
                Wanted::All,
            ),
            ((header::IF_NONE_MATCH, "\"b\", W/\"a\""), Wanted::Unchanged),
            ((header::IF_NONE_MATCH, "*"), Wanted::Unchanged),
            ((header::IF_NONE_MATCH, "\"b\""), Wanted::Part(0..4)),
        ] {
            assert_eq!(
                ask(&[range.clone(), condition.clone()], 10),
                expected,
                "{condition:?}"
            );
        }
    }
}
