//! The pages `/livez` and `/readyz`: whether the process works, and whether it is ready.
//!
//! `/livez` says whether a restart would help: never because Redis, the bucket or the model server is down.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::observed::Observed;
use crate::metrics::LastTime;
use crate::untrusted;

/// Running jobs are checked every few seconds.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// Free slots claim about once a second.
const CLAIM_LIMIT: Duration = Duration::from_secs(120);

/// Connections come back within seconds of Redis.
const CONNECTION_LIMIT: Duration = Duration::from_secs(180);

/// Timeout for a request to a peer over a new connection.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long ago a working process last did what it does again and again; nothing if it never has.
#[derive(Clone, Copy, Debug)]
struct Ages {
    /// Running jobs were checked.
    heartbeat: Option<Duration>,
    /// Redis answered anything.
    answer: Option<Duration>,
    /// Redis answered a claim.
    claim: Option<Duration>,
    /// Something that keeps slots from claiming ended, or was seen: the worker began, a slot was busy, Redis failed, the model
    /// server was down, memory was short.
    excused: Option<Duration>,
    /// Whether slots are free and nothing keeps them from claiming.
    may_claim: bool,
}

/// What has not happened for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stalled {
    Heartbeat,
    /// Unless Redis is down.
    Connections,
    /// Unless Redis is down or the queue is empty.
    Claims,
}

impl Ages {
    /// `held_back` is when slots were seen to be kept from claiming, and is set here.
    fn of(observed: &Observed, held_back: &LastTime) -> Self {
        let Observed {
            queues,
            serving,
            memory,
            health,
            consumer,
            ..
        } = observed;
        let is_held_back =
            serving.is_down() || memory.has_waiters() || consumer.obstacle().is_some();
        if is_held_back {
            held_back.touch();
        }
        let queue = queues.first();
        let excuses = [
            health.started.age(),
            queues.freed(),
            queue.last_failure().age(),
            held_back.age(),
        ];
        Self {
            heartbeat: health.heartbeat.age(),
            answer: queue.last_answer().age(),
            claim: queues.last_claim().age(),
            excused: excuses.into_iter().flatten().min(),
            may_claim: queues.have_free_slots() && !is_held_back,
        }
    }

    fn stalled(self) -> Option<Stalled> {
        if is_older(self.heartbeat, HEARTBEAT_LIMIT) {
            return Some(Stalled::Heartbeat);
        }
        if is_older(self.answer, CONNECTION_LIMIT) {
            return Some(Stalled::Connections);
        }
        // While all slots were busy, or Redis refused what it was asked, nobody had to claim.
        let should_have_claimed = self.may_claim && is_older(self.excused, CLAIM_LIMIT);
        (should_have_claimed && is_older(self.claim, CLAIM_LIMIT)).then_some(Stalled::Claims)
    }
}

fn is_older(age: Option<Duration>, limit: Duration) -> bool {
    age.is_none_or(|age| age > limit)
}

impl Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heartbeat => write!(
                f,
                "running jobs have not been checked for {} s",
                HEARTBEAT_LIMIT.as_secs()
            ),
            Self::Connections => write!(
                f,
                "Redis answers new connections, but ours have been silent for {} s",
                CONNECTION_LIMIT.as_secs()
            ),
            Self::Claims => write!(
                f,
                "jobs are waiting and slots are free, but none has been claimed for {} s",
                CLAIM_LIMIT.as_secs()
            ),
        }
    }
}

/// Answers the probes of Kubernetes.
pub(super) struct Probes {
    observed: Observed,
    /// Whether the bucket has been reached once.
    has_bucket: AtomicBool,
    /// When slots were last seen to be kept from claiming.
    held_back: LastTime,
}

impl Probes {
    pub(super) fn new(observed: Observed) -> Self {
        Self {
            observed,
            has_bucket: AtomicBool::new(false),
            held_back: LastTime::default(),
        }
    }

    /// Whether the process does its work, or cannot for reasons that are not its own.
    ///
    /// # Errors
    ///
    /// What has stalled.
    pub(super) async fn live(&self) -> Result<(), String> {
        let Observed {
            queues,
            health,
            stop,
            ..
        } = &self.observed;
        if !health.has_started() || stop.is_cancelled() {
            return Ok(());
        }
        let Some(stalled) = Ages::of(&self.observed, &self.held_back).stalled() else {
            return Ok(());
        };
        if stalled == Stalled::Heartbeat {
            return Err(stalled.to_string());
        }
        // Now it matters whether it is Redis that does not answer.
        let asked = tokio::time::timeout(PEER_TIMEOUT, queues.waiting_afresh(PEER_TIMEOUT)).await;
        match (asked, stalled) {
            (Ok(Ok(0)), Stalled::Claims) | (Ok(Err(_)) | Err(_), _) => Ok(()),
            (Ok(Ok(_)), _) => Err(stalled.to_string()),
        }
    }

    /// Whether Redis lets jobs be claimed, the bucket has been reached, and the process is not shutting down.
    ///
    /// A Redis that is away says nothing: it comes back.
    ///
    /// # Errors
    ///
    /// Why it is not ready.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let Observed {
            queues,
            storage,
            health,
            stop,
            ..
        } = &self.observed;
        if stop.is_cancelled() {
            return Err("the process is shutting down".to_owned());
        }
        if !health.has_started() {
            return Err("Redis has not been reached yet".to_owned());
        }
        if let Some(words) = queues.refusal() {
            return Err(format!(
                "Redis refuses claims: {}",
                untrusted::message(&words)
            ));
        }
        if let Some(why) = self.observed.consumer.obstacle() {
            return Err(untrusted::message(why).to_string());
        }
        if queues.last_claim().age().is_none() {
            return Err("Redis has not answered a claim yet".to_owned());
        }
        if !self.has_bucket.load(Ordering::Relaxed) {
            let asked = tokio::time::timeout(PEER_TIMEOUT, storage.is_reachable()).await;
            if !asked.unwrap_or(false) {
                return Err("the bucket has not been reached yet".to_owned());
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
    const WELL: Ages = Ages {
        heartbeat: NOW,
        answer: NOW,
        claim: NOW,
        excused: LONG_AGO,
        may_claim: true,
    };

    #[test]
    fn each_kind_of_stall_is_noticed_and_no_other() {
        let cases = [
            (WELL, None),
            (
                Ages {
                    heartbeat: LONG_AGO,
                    ..WELL
                },
                Some(Stalled::Heartbeat),
            ),
            (
                Ages {
                    heartbeat: None,
                    answer: None,
                    ..WELL
                },
                Some(Stalled::Heartbeat),
            ),
            (
                Ages {
                    answer: LONG_AGO,
                    ..WELL
                },
                Some(Stalled::Connections),
            ),
            (
                Ages {
                    claim: LONG_AGO,
                    ..WELL
                },
                Some(Stalled::Claims),
            ),
            (
                Ages {
                    claim: None,
                    excused: None,
                    ..WELL
                },
                Some(Stalled::Claims),
            ),
        ];
        for (ages, stalled) in cases {
            assert_eq!(ages.stalled(), stalled, "{ages:?}");
        }
    }

    #[test]
    fn slots_that_are_busy_held_back_or_were_so_just_now_need_not_claim() {
        let stale = Ages {
            claim: LONG_AGO,
            ..WELL
        };
        assert_eq!(
            Ages {
                may_claim: false,
                ..stale
            }
            .stalled(),
            None
        );
        assert_eq!(
            Ages {
                excused: NOW,
                ..stale
            }
            .stalled(),
            None
        );
    }

    #[test]
    fn limits_are_those_of_the_documents() {
        let after = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            Ages {
                heartbeat: after(60),
                answer: after(180),
                claim: after(120),
                ..WELL
            }
            .stalled(),
            None
        );
        assert_eq!(
            Ages {
                heartbeat: after(61),
                ..WELL
            }
            .stalled(),
            Some(Stalled::Heartbeat)
        );
        assert_eq!(
            Ages {
                answer: after(181),
                ..WELL
            }
            .stalled(),
            Some(Stalled::Connections)
        );
        assert_eq!(
            Ages {
                claim: after(121),
                ..WELL
            }
            .stalled(),
            Some(Stalled::Claims)
        );
    }
}
