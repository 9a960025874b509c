//! What can be followed.

use super::super::shown::{decoded, encoded, escaped};
use crate::queue::JobKey;

/// Spans of charts, in hours.
pub(in super::super) const SPANS: [u64; 3] = [2, 24, 48];

/// What can be followed; as text what `t` says in the address of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Topic {
    /// `overview`
    Overview,
    /// `queues`, or `queues:50` for those after so many others.
    Queues(usize),
    /// `queue:NAME`: figures and workers.
    Queue(String),
    /// `chart:HOURS:NAME`: what has ended in a queue.
    Chart(u64, String),
    /// `job:KEY`, the key in URL-safe Base64.
    Job(JobKey),
    /// `row:KEY`: the status of a job in a list.
    Row(JobKey),
    /// `batches`, or `batches:50`.
    Batches(usize),
    /// `batch:NAME`
    Batch(String),
    /// `workers`
    Workers,
}

/// How a topic is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Telling {
    /// As the pieces of a page.
    Pieces,
    /// As the object of the API.
    Object,
}

/// What a stream follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) topic: Topic,
    pub(super) telling: Telling,
}

impl Topic {
    /// Nothing if there is no such topic.
    pub(in super::super) fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let from = || match rest {
            "" => Some(0),
            rest => rest.parse().ok(),
        };
        let key = || decoded(rest).filter(|key| !key.0.is_empty());
        let name = || (!rest.is_empty()).then(|| rest.to_owned());
        match kind {
            "overview" => Some(Self::Overview),
            "queues" => Some(Self::Queues(from()?)),
            "queue" => Some(Self::Queue(name()?)),
            "chart" => {
                let (hours, queue) = rest.split_once(':')?;
                let hours = hours.parse().ok().filter(|it| SPANS.contains(it))?;
                Some(Self::Chart(hours, queue.to_owned()))
            }
            "job" => Some(Self::Job(key()?)),
            "row" => Some(Self::Row(key()?)),
            "batches" => Some(Self::Batches(from()?)),
            "batch" => Some(Self::Batch(name()?)),
            "workers" => Some(Self::Workers),
            _ => None,
        }
    }

    /// As a part of the address of a stream.
    pub(in super::super) fn query(&self) -> String {
        format!("t={}", escaped(&self.text()))
    }

    /// Whether the API has an object of it, too.
    pub(in super::super) fn has_object(&self) -> bool {
        !matches!(self, Self::Overview | Self::Chart(..) | Self::Row(_))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Overview => "overview".to_owned(),
            Self::Queues(0) => "queues".to_owned(),
            Self::Queues(from) => format!("queues:{from}"),
            Self::Queue(name) => format!("queue:{name}"),
            Self::Chart(hours, name) => format!("chart:{hours}:{name}"),
            Self::Job(key) => format!("job:{}", encoded(key)),
            Self::Row(key) => format!("row:{}", encoded(key)),
            Self::Batches(0) => "batches".to_owned(),
            Self::Batches(from) => format!("batches:{from}"),
            Self::Batch(name) => format!("batch:{name}"),
            Self::Workers => "workers".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_asks_for_is_understood() {
        let key = JobKey(b"q:\xff&t=workers".to_vec());
        for topic in [
            Topic::Overview,
            Topic::Queues(0),
            Topic::Queues(50),
            Topic::Queue("a:b&c".to_owned()),
            Topic::Chart(24, "a:b".to_owned()),
            Topic::Job(key.clone()),
            Topic::Row(key),
            Topic::Batches(0),
            Topic::Batches(100),
            Topic::Batch("night".to_owned()),
            Topic::Workers,
        ] {
            assert_eq!(Topic::read(&topic.text()), Some(topic.clone()));
            let query = topic.query();
            assert!(!query[2..].contains(['&', '=', ':']), "{query}");
        }
    }

    #[test]
    fn what_is_no_topic_is_none() {
        for text in [
            "",
            "job",
            "job:%",
            "queue",
            "queue:",
            "chart:3:q",
            "chart:2",
            "queues:-1",
            "batch:",
            "other",
        ] {
            assert_eq!(Topic::read(text), None, "{text}");
        }
    }
}
