//! Whether the process works and is ready. That it has begun shows in that it answers.
//!
//! `/livez` says whether a restart would help: never because Redis, the bucket or the model server is away.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Watched;

/// The watch over jobs goes round every few seconds.
const BEAT: Duration = Duration::from_secs(60);

/// Free slots ask for jobs about once a second.
const FETCH: Duration = Duration::from_secs(120);

/// Connections come back within seconds of Redis.
const ANSWER: Duration = Duration::from_secs(180);

/// Longest time for a look past our own connections.
const LOOK: Duration = Duration::from_secs(2);

/// How long ago it was that a working process did what it does again and again.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// The watch over running jobs went round.
    beat: Option<Duration>,
    /// Redis answered anything.
    answer: Option<Duration>,
    /// Redis answered a claim.
    fetch: Option<Duration>,
    /// A slot was let go.
    freed: Option<Duration>,
    /// Whether slots are free and nothing keeps them from claiming.
    may_fetch: bool,
}

/// What has not come for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Beat,
    /// Unless Redis is away.
    Answer,
    /// Unless Redis is away or empty.
    Fetch,
}

impl Silence {
    fn missing(self) -> Option<Missing> {
        let longer = |age: Option<Duration>, limit| age.is_none_or(|age| age > limit);
        if longer(self.beat, BEAT) {
            return Some(Missing::Beat);
        }
        if longer(self.answer, ANSWER) {
            return Some(Missing::Answer);
        }
        // While all slots were busy nobody had to ask.
        let was_free = longer(self.freed, FETCH);
        (self.may_fetch && was_free && longer(self.fetch, FETCH)).then_some(Missing::Fetch)
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (beat, answer, fetch) = (BEAT.as_secs(), ANSWER.as_secs(), FETCH.as_secs());
        match self {
            Self::Beat => write!(
                f,
                "the watch over running jobs has not gone round for {beat} s"
            ),
            Self::Answer => write!(
                f,
                "redis answers, but not on our connections, for {answer} s"
            ),
            Self::Fetch => write!(
                f,
                "there are jobs and free slots, and none was asked for in {fetch} s"
            ),
        }
    }
}

pub(super) struct Probes {
    watched: Watched,
    /// Whether the bucket has answered once.
    has_bucket: AtomicBool,
}

impl Probes {
    pub(super) fn new(watched: Watched) -> Self {
        Self {
            watched,
            has_bucket: AtomicBool::new(false),
        }
    }

    /// Whether the process does what it is there for, or cannot for reasons that are not its own.
    pub(super) async fn live(&self) -> Result<(), String> {
        let Watched {
            queue,
            serving,
            memory,
            signs,
            stop,
            ..
        } = &self.watched;
        if !signs.has_started() || stop.is_cancelled() {
            return Ok(());
        }
        let silence = Silence {
            beat: signs.beat.age(),
            answer: queue.last_answer().age(),
            fetch: queue.last_fetch().age(),
            freed: signs.freed.age(),
            may_fetch: signs.busy() < queue.slots() && !serving.is_down() && !memory.has_waiters(),
        };
        let Some(missing) = silence.missing() else {
            return Ok(());
        };
        if missing == Missing::Beat {
            return Err(missing.to_string());
        }
        // Now it matters whether it is Redis that does not answer.
        let Ok(Ok(backlog)) = tokio::time::timeout(LOOK, queue.backlog_afresh(LOOK)).await else {
            return Ok(());
        };
        match missing {
            Missing::Fetch if backlog.waiting == 0 => Ok(()),
            _ => Err(missing.to_string()),
        }
    }

    /// Whether Redis and the bucket have been reached, and the process is not about to end.
    pub(super) async fn ready(&self) -> Result<(), String> {
        if self.watched.stop.is_cancelled() {
            return Err("the process is to end".to_owned());
        }
        if !self.watched.signs.has_started() {
            return Err("redis has not been reached yet".to_owned());
        }
        if !self.has_bucket.load(Ordering::Relaxed) {
            let asked = tokio::time::timeout(LOOK, self.watched.storage.is_reachable()).await;
            if !asked.unwrap_or(false) {
                return Err("the bucket has not answered yet".to_owned());
            }
            self.has_bucket.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Option<Duration> = Some(Duration::from_secs(1));
    const LONG_AGO: Option<Duration> = Some(Duration::from_secs(3600));
    const WELL: Silence = Silence {
        beat: NOW,
        answer: NOW,
        fetch: NOW,
        freed: LONG_AGO,
        may_fetch: true,
    };

    #[test]
    fn each_kind_of_silence_is_noticed_and_no_other() {
        let cases = [
            (WELL, None),
            (
                Silence {
                    beat: LONG_AGO,
                    ..WELL
                },
                Some(Missing::Beat),
            ),
            (
                Silence {
                    beat: None,
                    answer: None,
                    ..WELL
                },
                Some(Missing::Beat),
            ),
            (
                Silence {
                    answer: LONG_AGO,
                    ..WELL
                },
                Some(Missing::Answer),
            ),
            (
                Silence {
                    fetch: LONG_AGO,
                    ..WELL
                },
                Some(Missing::Fetch),
            ),
            (
                Silence {
                    fetch: None,
                    freed: None,
                    ..WELL
                },
                Some(Missing::Fetch),
            ),
        ];
        for (silence, missing) in cases {
            assert_eq!(silence.missing(), missing, "{silence:?}");
        }
    }

    #[test]
    fn slots_that_are_busy_or_held_back_or_just_free_need_not_ask() {
        let silent = Silence {
            fetch: LONG_AGO,
            ..WELL
        };
        assert_eq!(
            Silence {
                may_fetch: false,
                ..silent
            }
            .missing(),
            None
        );
        assert_eq!(
            Silence {
                freed: NOW,
                ..silent
            }
            .missing(),
            None
        );
    }

    #[test]
    fn limits_are_those_of_the_documents() {
        let after = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            Silence {
                beat: after(60),
                answer: after(180),
                fetch: after(120),
                ..WELL
            }
            .missing(),
            None
        );
        assert_eq!(
            Silence {
                beat: after(61),
                ..WELL
            }
            .missing(),
            Some(Missing::Beat)
        );
        assert_eq!(
            Silence {
                answer: after(181),
                ..WELL
            }
            .missing(),
            Some(Missing::Answer)
        );
        assert_eq!(
            Silence {
                fetch: after(121),
                ..WELL
            }
            .missing(),
            Some(Missing::Fetch)
        );
    }
}
