//! How a slot comes by a job.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::select_all;
use redis::{FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation};
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::client::{LONGEST_WAIT, Queue};
use super::error::{Error, is_refusal, is_transient, words};
use super::held::SlotList;
use super::lease::Lease;
use super::outcome::Reclaimed;
use super::reclaim;
use crate::wire::{self, JobKey, RawFields};

/// Due jobs promoted, and entries looked at, by one claim.
const CLAIM_LIMIT: usize = 32;
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// A wait that ends as soon as this was none: the entry was there already.
const AT_ONCE: Duration = Duration::from_millis(2);

static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/take_lease.lua"),
        include_str!("scripts/claim.lua")
    ))
});

impl Queue {
    /// Takes the next job into a slot, waiting inside Redis for a moment if there is none.
    ///
    /// Must not be raced against anything: a cancelled claim could lose sight of a job that Redis has already moved.
    /// After `stop` no idle wait begins.
    pub async fn claim(
        &self,
        slot: usize,
        stop: &CancellationToken,
    ) -> Result<Option<(Lease, RawFields)>, Error> {
        claim_first(std::slice::from_ref(self), slot, stop).await
    }

    /// Waits for an entry, and claims its job. The caller has the turn to wait.
    async fn claim_after_wait(
        &self,
        slot: usize,
        stop: &CancellationToken,
    ) -> Result<Option<(Lease, RawFields)>, Error> {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let began = Instant::now();
        let is_given = self.wait_for_entry(slot, stop).await?;
        let is_idle = is_given && began.elapsed() > AT_ONCE;
        self.inner.is_idle.store(is_idle, Ordering::Relaxed);
        if !is_given {
            return Ok(None);
        }
        Ok(match self.try_claim(slot).await? {
            Attempt::Claimed(claimed) => Some(claimed),
            Attempt::Nothing | Attempt::Paused | Attempt::Unanswered => None,
        })
    }

    async fn try_claim(&self, slot: usize) -> Result<Attempt, Error> {
        let inner = &self.inner;
        let list = inner.leases.take_list(slot);
        let is_empty = list == SlotList::Empty && !self.was_lost();
        let abandoned = match list {
            SlotList::Abandoned(token) => token,
            SlotList::Unknown | SlotList::Empty => String::new(),
        };
        let mut call = self.claiming(&CLAIM, slot);
        call.key(inner.keys.paused())
            .key(inner.keys.workers())
            .arg(CLAIM_LIMIT)
            .arg(abandoned)
            .arg(u8::from(!is_empty));
        let operation = "claim";
        let began = Instant::now();
        let reply: RedisResult<Reply> = inner.commands.attempt(operation, &call).await;
        let Some(reply) = self.answered(operation, reply).await? else {
            return Ok(Attempt::Unanswered);
        };
        let is_paused = reply.is_paused;
        Ok(match self.accept(slot, reply) {
            Some(claimed) => {
                inner.metrics.picked_up(began);
                Attempt::Claimed(claimed)
            }
            None if is_paused => Attempt::Paused,
            None => Attempt::Nothing,
        })
    }

    /// The beginning of every call that takes a job: queue, leases, delayed jobs, processing list; backoff, name, token,
    /// lease, time stamp.
    pub(super) fn claiming<'s>(&self, script: &'s Script, slot: usize) -> ScriptInvocation<'s> {
        let inner = &self.inner;
        let mut call = script.key(self.name());
        call.key(inner.keys.leases())
            .key(inner.keys.delayed())
            .key(self.processing_list(slot));
        reclaim::push_backoff(&mut call);
        let number = inner.claims.fetch_add(1, Ordering::Relaxed);
        call.arg(self.consumer())
            .arg(format!("{}:{number}", inner.boot))
            .arg(wire::millis(inner.settings.lease))
            .arg(wire::timestamp());
        call
    }

    fn accept(&self, slot: usize, reply: Reply) -> Option<(Lease, RawFields)> {
        for entry in reply.dropped.chunks_exact(2) {
            let key = String::from_utf8_lossy(&entry[0]);
            let why = String::from_utf8_lossy(&entry[1]);
            warn!(job.key = %key, queue = self.name(), "dropped a queue entry: {why}");
            self.inner.metrics.dropped(&why);
        }
        let abandoned = Reclaimed::of(reply.requeued, Vec::new());
        for job in &abandoned.requeued {
            warn!(job.key = %job.key, crashes = job.crashes, "requeued a job that could not be settled; it counts as a crash");
        }
        self.inner.metrics.reclaimed(&abandoned);
        let (key, token, crashes, fields) = reply.claimed?;
        let lease = Lease::new(self.clone(), JobKey(key), token, slot, crashes);
        Some((lease, fields))
    }

    /// Waits for an entry and moves it into the list of a slot. False after a moment without one.
    ///
    /// To wait without moving it would wake every idle consumer for each job.
    ///
    /// A Redis that is away is waited for here, by one slot for all. Should it have moved an entry whose reply was lost, the
    /// list gets one more, and the slot takes one after the other.
    async fn wait_for_entry(&self, slot: usize, stop: &CancellationToken) -> Result<bool, Error> {
        let operation = "wait for a job";
        let lacks_blmove = self.inner.lacks_blmove.load(Ordering::Relaxed);
        let command = self.wait_command(slot, lacks_blmove);
        self.inner.leases.take_list(slot); // whatever it was, an entry may come into it
        let blocking = &self.inner.blocking;
        let reply: RedisResult<Option<Vec<u8>>> = blocking.command(&command).await;
        if let Err(error) = &reply
            && is_transient(error)
        {
            debug!(
                error = words(error),
                "redis does not answer while it is waited for a job"
            );
            // Another server may be the master now, which has to know this consumer before it gives it an entry.
            self.register(blocking, stop).await?;
            return Ok(false);
        }
        if let Err(error) = &reply
            && !lacks_blmove
            && error.to_string().contains("unknown command")
        {
            info!("this redis does not have BLMOVE (since 6.2): idle slots wait with BRPOPLPUSH");
            self.inner.lacks_blmove.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        let reply = reply.map_err(Error::refused(operation))?;
        self.note_answer(None);
        Ok(reply.is_some())
    }

    fn wait_command(&self, slot: usize, lacks_blmove: bool) -> redis::Cmd {
        let (queue, list) = (self.name(), self.processing_list(slot));
        let longest = self.longest_wait();
        if lacks_blmove {
            let mut command = redis::cmd("BRPOPLPUSH");
            // Before Redis 6 it knows whole seconds only.
            command.arg(queue).arg(list).arg(longest.as_secs().max(1));
            return command;
        }
        let mut command = redis::cmd("BLMOVE");
        command
            .arg(queue)
            .arg(list)
            .arg("RIGHT")
            .arg("LEFT")
            .arg(longest.as_secs_f64());
        command
    }

    /// The answer to a command that moves an entry into the list of a slot; none, after a pause, if Redis is away.
    ///
    /// The entry may have been moved all the same: the next claim of the slot begins with it.
    async fn answered<T>(
        &self,
        operation: &'static str,
        reply: RedisResult<T>,
    ) -> Result<Option<T>, Error> {
        self.note_answer(reply.as_ref().err());
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if is_transient(&error) => {
                warn!(
                    error = words(&error),
                    "redis does not answer a claim; trying again"
                );
                let longest = self.inner.settings.server.reconnect_pause.min(LONGEST_WAIT);
                tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
                Ok(None)
            }
            Err(error) => Err(Error::refused(operation)(error)),
        }
    }

    /// Keeps in mind, for the probes, what Redis has said to a claim.
    fn note_answer(&self, error: Option<&RedisError>) {
        match error {
            None => {
                self.inner.metrics.last_claim.touch();
                *self.refused() = None;
            }
            Some(error) if is_refusal(error) => *self.refused() = Some(words(error)),
            // It is away.
            Some(_) => {}
        }
    }

    /// Whether the next job has to be waited for, as the last one had. A server that may not know this consumer is told of it
    /// first, by a claim.
    fn is_idle(&self) -> bool {
        self.inner.is_idle.load(Ordering::Relaxed) && !self.was_lost()
    }

    /// Whether a call that moves an entry may still be carried out, long after it was given up.
    fn was_lost(&self) -> bool {
        self.inner.commands.was_lost() || self.inner.blocking.was_lost()
    }

    /// Lets a moment of a pause pass. An entry that was waited for would be one more that has to go back.
    async fn sit_out_pause(&self, stop: &CancellationToken) {
        let moment = tokio::time::sleep(self.longest_wait());
        stop.run_until_cancelled(moment).await;
    }

    fn longest_wait(&self) -> Duration {
        self.inner
            .settings
            .idle_wait
            .min(LONGEST_WAIT)
            .max(SHORTEST_WAIT)
    }
}

/// Takes the next job of the first of these queues that has one into a slot, as [`Queue::claim`] does. What one of them refuses
/// keeps no job of the others.
pub(super) async fn claim_first(
    queues: &[Queue],
    slot: usize,
    stop: &CancellationToken,
) -> Result<Option<(Lease, RawFields)>, Error> {
    if let [queue] = queues
        && queue.is_idle()
    {
        let turn = stop.run_until_cancelled(queue.inner.idle_turn.lock());
        return match turn.await {
            Some(_turn) => queue.claim_after_wait(slot, stop).await,
            None => Ok(None),
        };
    }
    claim_or_wait(queues, slot, stop).await
}

/// Asks one queue after the other, and waits at one that has nothing.
async fn claim_or_wait(
    queues: &[Queue],
    slot: usize,
    stop: &CancellationToken,
) -> Result<Option<(Lease, RawFields)>, Error> {
    let (mut empty, mut refused, mut unanswered) = (Vec::new(), None, false);
    for queue in queues {
        match queue.try_claim(slot).await {
            Ok(Attempt::Claimed(claimed)) => return Ok(Some(claimed)),
            Ok(Attempt::Nothing) => empty.push(queue),
            Ok(Attempt::Unanswered) => {
                unanswered = true;
                empty.push(queue);
            }
            Ok(Attempt::Paused) => {}
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    let are_paused = empty.is_empty();
    if are_paused {
        empty.extend(queues);
    }
    // One slot at a time waits at each queue, so that Redis has less to do.
    let Some((queue, _turn)) = stop.run_until_cancelled(turn(&empty)).await else {
        return Ok(None);
    };
    if are_paused {
        queue.sit_out_pause(stop).await;
        return Ok(None);
    }
    if unanswered {
        // No claim has made this consumer known to the server, which has to know whom it gives an entry.
        queue.register(&queue.inner.blocking, stop).await?;
    }
    queue.claim_after_wait(slot, stop).await
}

/// The first queue at which no other slot waits, and the turn to wait there.
async fn turn<'q>(queues: &[&'q Queue]) -> (&'q Queue, MutexGuard<'q, ()>) {
    let turns = queues.iter().map(|queue| {
        let turn = queue.inner.idle_turn.lock();
        Box::pin(turn.map(|turn| (*queue, turn)))
    });
    let (first, _, _) = select_all(turns).await;
    first
}

/// Key, token, crashes and fields.
pub(super) type Claimed = (Vec<u8>, String, u64, RawFields);

/// What a claim has come to.
enum Attempt {
    Claimed((Lease, RawFields)),
    /// There is no job.
    Nothing,
    /// Redis is away, or lets nothing be written now.
    Unanswered,
    /// An operator has paused the queue.
    Paused,
}

/// Entries that were dropped with the reason for each, those that the slot had abandoned, and the job that was claimed.
#[derive(Default)]
struct Reply {
    is_paused: bool,
    dropped: Vec<Vec<u8>>,
    requeued: Vec<Vec<u8>>,
    claimed: Option<Claimed>,
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        let redis::Value::Array(mut parts) = value else {
            return Ok(Self::default());
        };
        let is_paused = parts.len() == 3;
        let claimed = match parts.len() {
            3 => {
                parts.truncate(2);
                None
            }
            6 => Some(Claimed::from_redis_value(redis::Value::Array(
                parts.split_off(2),
            ))?),
            _ => None,
        };
        let (dropped, requeued) = FromRedisValue::from_redis_value(redis::Value::Array(parts))?;
        Ok(Self {
            is_paused,
            dropped,
            requeued,
            claimed,
        })
    }
}
