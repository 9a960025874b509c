//! How expired leases are found, and their jobs requeued.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};
use tracing::info;

use super::connection::Connection;
use super::error::Error;
use super::outcome::Reclaimed;
use super::settings::MOST_SLOTS;
use crate::wire::{Keys, millis};

/// The delay after a second crash; it doubles with each further one.
const CRASH_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_CRASH_BACKOFF: Duration = Duration::from_secs(120);
/// Leases, and silent consumers, that one round looks at.
const ROUND_LIMIT: usize = 50;

static RECLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/turn.lua"),
        include_str!("scripts/rights.lua"),
        include_str!("scripts/lists.lua"),
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/clocks.lua"),
        include_str!("scripts/reclaim.lua")
    ))
});

/// Requeued jobs as a flat list of key, cause, crashes; dropped ones; 1 if there is more; and milliseconds to wait.
type Reply = (Vec<Vec<u8>>, Vec<Vec<u8>>, u8, u64);

/// What one round has found, and whether the next one would find more at once.
pub(super) struct Round {
    pub(super) found: Reclaimed,
    has_more: bool,
    /// How long consumers are given to renew their leases before anything is reclaimed; zero but after a pause.
    wait: Duration,
}

/// Rounds over the leases and the silent consumers of a queue, until there is nothing more to do now.
pub(super) async fn reclaim_all(
    connection: &Connection,
    keys: &Keys,
    lease: Duration,
) -> Result<Reclaimed, Error> {
    let mut all = Reclaimed::default();
    loop {
        let round = reclaim(connection, keys, lease, &[]).await?;
        all.merge(round.found);
        if !round.wait.is_zero() {
            let wait_s = round.wait.as_secs_f64();
            info!(
                wait_s,
                "nobody has looked for expired leases for a while: consumers that live may renew theirs first"
            );
            tokio::time::sleep(round.wait).await;
        } else if !round.has_more {
            return Ok(all);
        }
    }
}

/// One round over the leases, the silent and the orphaned consumers of a queue. It holds up Redis for some 20 ms.
pub(super) async fn reclaim(
    connection: &Connection,
    keys: &Keys,
    lease: Duration,
    orphaned: &[String],
) -> Result<Round, Error> {
    let mut call = RECLAIM.key(keys.queue());
    call.key(keys.leases())
        .key(keys.delayed())
        .key(keys.workers())
        .key(keys.reclaim_lock())
        .key(keys.clock())
        .key(keys.gone());
    push_backoff(&mut call);
    call.arg(millis(lease / 6).max(1))
        .arg(ROUND_LIMIT)
        .arg(millis(lease))
        .arg(keys.processing_prefix())
        .arg(MOST_SLOTS);
    for consumer in orphaned {
        call.arg(consumer);
    }
    let operation = "reclaim";
    let reply: RedisResult<Reply> = connection.attempt(operation, &call).await;
    let (requeued, dropped, more, wait_ms) = reply.map_err(Error::refused(operation))?;
    Ok(Round {
        found: Reclaimed::of(requeued, dropped),
        has_more: more == 1,
        wait: Duration::from_millis(wait_ms),
    })
}

/// The first arguments of every script that `requeue.lua` stands above.
pub(super) fn push_backoff(call: &mut ScriptInvocation<'_>) {
    call.arg(millis(CRASH_BACKOFF))
        .arg(millis(LONGEST_CRASH_BACKOFF));
}
