//! What Redis is told of a batch before anything of it is worked.

use batch_plan::Resolved;
use batch_plan::work::{OnFailure, Trigger};

use crate::queue::control::{NewBatch, NewStage};
use crate::wire::millis_since_1970;

/// A batch for a plan whose lists have been read.
pub(crate) fn new_batch(plan: &Resolved, by: &str, is_paused: bool) -> anyhow::Result<NewBatch> {
    let stages = 0..plan.stages().len();
    Ok(NewBatch {
        name: plan.name().to_owned(),
        plan: plan.to_json()?,
        digest: plan.digest()?,
        by: by.to_owned(),
        priority: plan.priority(),
        created: millis_since_1970(),
        is_paused,
        stages: stages.map(|number| new_stage(plan, number)).collect(),
    })
}

fn new_stage(plan: &Resolved, number: usize) -> NewStage {
    let stage = &plan.stages()[number];
    let work = &stage.work;
    let total = plan.total(number);
    NewStage {
        name: stage.name.clone(),
        queue: stage.queue.clone(),
        total,
        bits: plan.counter_bits(number).unwrap_or(32),
        keep: work.keep.done,
        goes_on: work.on_failure == OnFailure::GoOn,
        same: work.stop_after.same_cause,
        most: work
            .stop_after
            .failed
            .zip(total)
            .map(|(failed, total)| failed.of(total)),
        is_started: work.trigger == Trigger::Auto,
    }
}
