//! Names, times and links as pages show them. Templates escape what they are given; here it is made fit to be read.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::figures::{age, ago, clock};
use crate::queue::JobKey;
use crate::untrusted;

/// Something with a page of its own: what it is called, and where the page is, below the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) path: String,
}

/// A moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    /// By the clock, for programs and those who point at it.
    pub(super) exact: String,
    /// How long ago.
    pub(super) ago: String,
}

impl Link {
    pub(super) fn to_job(key: &JobKey) -> Self {
        Self {
            name: key.to_string(),
            path: format!("/jobs/{}", encoded(key)),
        }
    }

    pub(super) fn to_queue(name: &str) -> Self {
        Self {
            name: untrusted::name(name).to_string(),
            path: format!("/queues/{}", escaped(name)),
        }
    }

    pub(super) fn to_batch(name: &str) -> Self {
        Self {
            name: untrusted::name(name).to_string(),
            path: format!("/batches/{}", escaped(name)),
        }
    }
}

impl When {
    /// Milliseconds since 1970.
    pub(super) fn at(millis: u64) -> Self {
        Self {
            exact: clock(millis),
            ago: ago(millis).to_string(),
        }
    }

    /// A time stamp of a job; nothing if it is none.
    pub(super) fn stamp(stamp: &[u8]) -> Option<Self> {
        Some(Self {
            ago: age(stamp)?.to_string(),
            exact: String::from_utf8_lossy(stamp).into_owned(),
        })
    }
}

/// A job's key as a part of an address.
pub(super) fn encoded(key: &JobKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&key.0)
}

/// A text as a part of an `id` of HTML.
pub(super) fn text_id(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// A job's key that was one.
pub(super) fn decoded(text: &str) -> Option<JobKey> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok().map(JobKey)
}

/// A text as a part of an address.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A short text of strangers, such as a name.
pub(super) fn name(bytes: &[u8]) -> String {
    untrusted::name(untrusted::Bytes(bytes)).to_string()
}

/// A longer one on one line, such as a reason.
pub(super) fn message(text: &str) -> String {
    untrusted::message(text).to_string()
}

/// Lines of a text, none of which acts on anything.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .map(|line| untrusted::long(untrusted::Bytes(line)).to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_is_a_part_of_an_address() {
        for bytes in [&b"q:a b.tif:1"[..], b"\xff\0/?#", &[b'k'; 4096]] {
            let key = JobKey(bytes.to_vec());
            assert_eq!(decoded(&encoded(&key)), Some(key));
        }
        assert_eq!(decoded("no base64!"), None);
        assert_eq!(Link::to_queue("a/b?c").path, "/queues/a%2Fb%3Fc");
    }

    #[test]
    fn lines_of_strangers_stay_lines() {
        assert_eq!(lines(b"a\x1b[2J\nb\xff"), ["a\\x1b[2J", "b\\xff"]);
    }
}
