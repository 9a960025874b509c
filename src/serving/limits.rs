//! How much of a batch a server takes at once: what it says when that was too much, and what is remembered of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::model::ModelId;

/// How much a server allows, by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// So many rows of a batch.
    Rows(usize),
    /// A message of `most` bytes, where one of `found` was sent or would have been answered.
    Bytes {
        /// How large it was.
        found: usize,
        /// How large it may be.
        most: usize,
    },
    /// Less than that.
    Unknown,
}

impl Limit {
    /// The limit that an error speaks of, in lower case.
    pub(super) fn in_words(words: &str) -> Option<Self> {
        let number_after =
            |phrase: &&str| words.split_once(*phrase).and_then(|(_, rest)| number(rest));
        let rows = ROWS.iter().find_map(number_after);
        if let Some(rows) = rows {
            return Some(Self::Rows(rows));
        }
        BYTES.iter().find(|phrase| words.contains(**phrase))?;
        let numbers = BYTES
            .iter()
            .find_map(|phrase| words.split_once(phrase))
            .map(|(_, rest)| numbers(rest))
            .unwrap_or_default();
        Some(match numbers.as_slice() {
            // Java puts the limit first.
            [a, b, ..] => Self::Bytes {
                found: *a.max(b),
                most: *a.min(b),
            },
            _ => Self::Unknown,
        })
    }
}

/// What goes before the number of rows: Triton, and the batching of TensorFlow Serving.
const ROWS: [&str; 2] = [
    "batch-size must be <= ",
    "is larger than maximum input batch size ",
];

/// What goes before the sizes of messages: gRPC in C++, Python and Go; in Java; in Rust; and proxies that speak HTTP.
const BYTES: [&str; 4] = [
    "message larger than max",
    "message exceeds maximum size",
    "message length too large",
    "http status code 413",
];

/// What is sent besides the rows: names, shapes, headers of fields.
const OVERHEAD: usize = 4096;

fn number(text: &str) -> Option<usize> {
    numbers(text).first().copied()
}

/// The whole numbers of a text.
fn numbers(text: &str) -> Vec<usize> {
    let words = text.split(|letter: char| !letter.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// What a request is like that is about to be sent, or was too large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Rows of its batch.
    pub(super) rows: usize,
    /// Bytes of one row of its inputs.
    pub(super) row_bytes: usize,
}

/// What is known of the models of a server.
#[derive(Default)]
pub(super) struct Limits {
    /// Bytes of a message that the settings allow.
    message: Option<usize>,
    learned: Mutex<HashMap<ModelId, Learned>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    rows: Option<usize>,
    bytes: Option<usize>,
}

impl Limits {
    /// Nothing is known yet but the bytes of a message that the settings allow.
    pub(super) fn new(message: Option<usize>) -> Self {
        Self {
            message,
            learned: Mutex::default(),
        }
    }

    /// How many rows of such a request may go to the model at once, at least 1.
    pub(super) fn rows(&self, model: &ModelId, request: Request) -> usize {
        let Learned { rows, bytes } = self.learned().get(model).copied().unwrap_or_default();
        let payload = self.message.map(|most| most.saturating_sub(OVERHEAD));
        let by_bytes = [bytes, payload]
            .into_iter()
            .flatten()
            .map(|bytes| bytes / request.row_bytes.max(1));
        let most = by_bytes.chain(rows).fold(request.rows, usize::min);
        most.max(1)
    }

    /// Takes note that a request was too large. The answer is whether a smaller one can be sent.
    pub(super) fn learn(&self, model: &ModelId, request: Request, limit: Limit) -> bool {
        let Request { rows, row_bytes } = request;
        let fewer = match limit {
            Limit::Rows(most) => most,
            // What grows with the rows has to shrink as the message has to; a little is left for what does not.
            Limit::Bytes { found, most } => {
                let share = most.saturating_sub(OVERHEAD) as f64 / found.max(1) as f64;
                (rows as f64 * share) as usize
            }
            Limit::Unknown => rows / 2,
        };
        // A server that contradicts itself must not make this go on for ever.
        let fewer = fewer.min(rows.saturating_sub(1));
        if fewer == 0 {
            return false;
        }
        let mut learned = self.learned();
        let learned = learned.entry(model.clone()).or_default();
        match limit {
            Limit::Rows(_) => learned.rows = Some(fewer),
            Limit::Bytes { .. } | Limit::Unknown => learned.bytes = Some(fewer * row_bytes),
        }
        true
    }

    fn learned(&self) -> MutexGuard<'_, HashMap<ModelId, Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_found_in_the_words_of_every_server() {
        for (words, expected) in [
            (
                "[request id: job 1] inference request batch-size must be <= 4 for 'RealNuclei'",
                Some(Limit::Rows(4)),
            ),
            (
                "Task size 16 is larger than maximum input batch size 8",
                Some(Limit::Rows(8)),
            ),
            (
                "SERVER: Received message larger than max (24000045 vs. 4194304)",
                Some(Limit::Bytes {
                    found: 24_000_045,
                    most: 4_194_304,
                }),
            ),
            (
                "CLIENT: Sent message larger than max (9 vs. 8)",
                Some(Limit::Bytes { found: 9, most: 8 }),
            ),
            (
                "gRPC message exceeds maximum size 4194304: 6291493",
                Some(Limit::Bytes {
                    found: 6_291_493,
                    most: 4_194_304,
                }),
            ),
            (
                "Error, decoded message length too large: found 24 bytes, the limit is: 4 bytes",
                Some(Limit::Bytes { found: 24, most: 4 }),
            ),
            (
                "grpc-status header missing, mapped from HTTP status code 413",
                Some(Limit::Unknown),
            ),
            ("Exceeds maximum queue size", None),
            ("out of memory", None),
        ] {
            assert_eq!(Limit::in_words(&words.to_lowercase()), expected, "{words}");
        }
    }

    #[test]
    fn what_was_learned_holds_for_the_next_request_and_for_other_tiles() {
        let limits = Limits::new(None);
        let model = ModelId::new("m", 1);
        let request = Request {
            rows: 16,
            row_bytes: 1000,
        };
        assert_eq!(limits.rows(&model, request), 16);
        let half = Limit::Bytes {
            found: 16_100,
            most: 8_100 + OVERHEAD,
        };
        assert!(limits.learn(&model, request, half));
        assert_eq!(limits.rows(&model, request), 8);
        let larger = Request {
            rows: 16,
            row_bytes: 4000,
        };
        assert_eq!(limits.rows(&model, larger), 2);
        assert!(limits.learn(&model, larger, Limit::Rows(1)));
        assert_eq!(limits.rows(&model, request), 1);
        assert_eq!(limits.rows(&ModelId::new("other", 1), request), 16);
    }

    #[test]
    fn messages_of_the_settings_are_not_exceeded() {
        let limits = Limits::new(Some(4 << 20));
        let request = Request {
            rows: 64,
            row_bytes: 256 * 256 * 4,
        };
        let rows = limits.rows(&ModelId::new("m", 1), request);
        assert_eq!(rows, 15);
    }

    proptest! {
        #[test]
        fn requests_become_smaller_until_none_can_be(
            rows in 1_usize..5000,
            row_bytes in 0_usize..1 << 40,
            found in any::<usize>(),
            most in any::<usize>(),
            kind in 0_usize..3,
        ) {
            let limits = Limits::new(None);
            let model = ModelId::new("m", 1);
            let limit = [Limit::Rows(most), Limit::Bytes { found, most }, Limit::Unknown][kind];
            let mut request = Request { rows, row_bytes };
            for _ in 0..5001 {
                let before = request.rows;
                if !limits.learn(&model, request, limit) {
                    return Ok(());
                }
                request.rows = limits.rows(&model, request);
                prop_assert!(request.rows >= 1 && (request.rows < before || row_bytes == 0));
                if row_bytes == 0 {
                    return Ok(());
                }
            }
            prop_assert!(false, "it goes on");
        }
    }
}
