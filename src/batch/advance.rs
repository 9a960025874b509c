//! Whether a batch gets further by itself, or stands still until a person does something.

use batch_plan::Resolved;

use crate::queue::control::{BatchState, StageState};
use crate::wire::batch;

/// Whether something of a batch is under way, or may become a job now. The rest follows from that, or from nothing.
pub(crate) fn goes_on(plan: &Resolved, state: &BatchState) -> bool {
    let mut stages = state.stages.iter().enumerate();
    stages.any(|(number, stage)| {
        stage.out > 0 || (state.state == batch::RUNNING && has_more(plan, state, number, stage))
    })
}

/// Whether items of a stage may become jobs now.
fn has_more(plan: &Resolved, state: &BatchState, number: usize, stage: &StageState) -> bool {
    if stage.held.is_some() || stage.is_over() {
        return false;
    }
    let has_own = match plan.is_gathered(number) {
        true => stage.ready > 0,
        // A list that has not been read will be.
        false => !stage.is_read || stage.next < stage.total,
    };
    let has_own = has_own && stage.is_started;
    (stage.again > 0 || has_own) && is_open(plan, state, number)
}

/// Whether the stages below, all of whose items are waited for, have ended well enough, or are not waited for any more.
pub(crate) fn is_open(plan: &Resolved, state: &BatchState, stage: usize) -> bool {
    if state.stages[stage].is_forced {
        return true;
    }
    let allowed = plan.stages()[stage].work.allow_failed;
    let below = plan.barriers(stage).iter();
    below
        .map(|&below| &state.stages[below])
        .all(|below| below.is_over() && below.failed <= allowed.of(below.total))
}

#[cfg(test)]
mod tests {
    use batch_plan::{Overrides, Plan};

    use super::*;

    const PLAN: &str = r"
plan: 1
name: chain
stages:
  - {name: a, queue: q, items: {range: {x: 4}}}
  - {name: b, queue: q, after: a}
  - {name: c, queue: q, after: {stage: b, all: true}, items: {range: {y: 1}}, trigger: manual}
";

    /// The batch after its first stage is done, all of whose items are fed.
    fn half() -> (Resolved, BatchState) {
        let plan = Plan::parse(PLAN.as_bytes()).expect("a plan");
        let plan = plan.resolve(&Overrides::default()).expect("it fits");
        let stage = |total| StageState {
            total,
            is_started: true,
            is_read: true,
            ..StageState::default()
        };
        let mut state = BatchState {
            state: batch::RUNNING.to_owned(),
            stages: vec![stage(4), stage(4), stage(1)],
            ..BatchState::default()
        };
        (state.stages[0].next, state.stages[0].done) = (4, 3);
        state.stages[0].failed = 1;
        state.stages[1].done = 3;
        state.stages[2].is_started = false;
        (plan, state)
    }

    type Change = fn(&mut BatchState);

    #[test]
    fn a_batch_goes_on_while_something_is_or_becomes_a_job() {
        let cases: [(&str, bool, Change); 10] = [
            ("blocked", false, |_| {}),
            ("under way", true, |it| it.stages[0].out = 1),
            ("to be fed again", true, |it| {
                (it.stages[0].failed, it.stages[0].again) = (0, 1);
            }),
            ("ready", true, |it| it.stages[1].ready = 1),
            ("ready and held", false, |it| {
                it.stages[1].ready = 1;
                it.stages[1].held = Some("3 have failed".to_owned());
            }),
            ("ready and paused", false, |it| {
                it.stages[1].ready = 1;
                it.state = batch::PAUSED.to_owned();
            }),
            ("paused while some run", true, |it| {
                it.stages[1].out = 1;
                it.state = batch::PAUSED.to_owned();
            }),
            ("waits to be started", false, |it| it.stages[1].done = 4),
            ("was started, and its list is not read", true, |it| {
                it.stages[1].done = 4;
                it.stages[2] = StageState {
                    is_started: true,
                    ..StageState::default()
                };
            }),
            ("was started", true, |it| {
                it.stages[1].done = 4;
                it.stages[2].is_started = true;
            }),
        ];
        for (name, expected, change) in cases {
            let (plan, mut state) = half();
            change(&mut state);
            assert_eq!(goes_on(&plan, &state), expected, "{name}");
        }
    }
}
