//! Whether Redis has room for a batch, and the bucket takes results.

use std::sync::Arc;

use batch_plan::{Lists, Resolved};

use super::super::probes::write_probe;
use super::fault::{Fault, Kind};
use super::peers::Peers;
use super::subjects::Subjects;
use crate::batch::MEMORY_FULL;
use crate::figures::size;

/// Bytes of a queued job beside its fields, and of one that has ended: its lease, history and cause.
const JOB: u64 = 400;
const ENDED: u64 = 2300;
/// Items whose fields are measured.
const MEASURED: usize = 100;

/// What has no room.
pub(super) async fn look(
    peers: &Peers,
    plan: &Arc<Resolved>,
    lists: &Lists,
) -> anyhow::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    if let Some(admin) = &peers.admin
        && let Some((used, most)) = admin.memory().await?
    {
        let (needed, limit) = (bytes(plan, lists)?, most / 100 * MEMORY_FULL);
        let free = limit.saturating_sub(used);
        if needed > free {
            let [needed, free] = [needed, free].map(|bytes| size(bytes as f64));
            let why = format!(
                "the batch takes up to {needed}, {free} are free below {MEMORY_FULL} % of maxmemory"
            );
            faults.push(Fault::new(Kind::Room, "Redis", why));
        }
    }
    if let Some(storage) = peers.storage.as_ref().filter(|_| peers.may_write)
        && let Err(why) = write_probe(storage).await
    {
        faults.push(Fault::new(
            Kind::Room,
            "the bucket",
            format!("cannot be written: {why}"),
        ));
    }
    Ok(faults)
}

/// What a batch takes in Redis at most: plan, marks and counters of all items, and the jobs that are there at a time.
fn bytes(plan: &Arc<Resolved>, lists: &Lists) -> anyhow::Result<u64> {
    let mut bytes = 2 * plan.to_json()?.len() as u64;
    for (number, stage) in plan.stages().iter().enumerate() {
        let items = plan.size(number).unwrap_or(0);
        // Done, out and failed; who gathers also knows what it has seen, and what is ready.
        let gathering = match plan.is_gathered(number) {
            true => 1 + u64::from(plan.counter_bits(number).unwrap_or(32)),
            false => 0,
        };
        let marks = (items / 8 + 1).saturating_mul(3 + gathering);
        let total = plan.total(number).unwrap_or(0);
        let queued = total.min(stage.work.limit.queue);
        let kept = total.min(stage.work.keep.done);
        let fields = fields(plan, lists, number)?;
        let jobs = queued.saturating_mul(JOB + fields) + kept.saturating_mul(ENDED + fields);
        bytes = bytes.saturating_add(marks).saturating_add(jobs);
    }
    Ok(bytes)
}

/// Bytes of the fields of a job, on average.
fn fields(plan: &Arc<Resolved>, lists: &Lists, stage: usize) -> anyhow::Result<u64> {
    let (mut count, mut bytes) = (0, 0);
    for found in Subjects::of(plan, lists, stage)?.jobs().take(MEASURED) {
        let (job, _) = found?;
        let hash = job.hash(plan.name());
        let fields = hash.iter().map(|(name, value)| name.len() + value.len());
        bytes += job.key.len() + fields.sum::<usize>();
        count += 1;
    }
    Ok((bytes / count.max(1)) as u64)
}
