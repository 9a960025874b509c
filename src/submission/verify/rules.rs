//! What the rules of a stage need to be looked at.

use batch_plan::work::Verify;
use batch_plan::{Resolved, Stage};

use super::fault::Kind;

/// Whether a rule looks at inputs that have to be there.
pub(super) fn needs_input(rule: &Verify) -> bool {
    named(rule).is_some_and(|(_, kind)| kind.needs_input())
}

/// Whether a rule is held against each item.
pub(super) fn is_of_items(rule: &Verify) -> bool {
    named(rule).is_some_and(|(_, kind)| kind.is_of_items())
}

/// The word for a rule, and what is wrong where it is broken; nothing for what is no rule of its own.
pub(super) fn named(rule: &Verify) -> Option<(&'static str, Kind)> {
    Some(match rule {
        Verify::All(_) => return None,
        Verify::Exists => ("exists", Kind::Missing),
        Verify::Size(_) => ("size", Kind::Size),
        Verify::Suffix(_) => ("suffix", Kind::Suffix),
        Verify::Image(_) => ("image", Kind::Image),
        Verify::Command(_) => ("command", Kind::Command),
        Verify::Model(_) => ("model", Kind::Model),
        Verify::Workers => ("workers", Kind::Workers),
        Verify::Room => ("room", Kind::Room),
    })
}

/// Whether the bucket is needed to look at the rules of a plan.
pub(crate) fn need_bucket(plan: &Resolved) -> bool {
    let has_outputs = plan
        .stages()
        .iter()
        .any(|stage| !stage.work.expect.is_empty());
    any(plan, |rule| {
        needs_input(rule) || (has_outputs && matches!(rule, Verify::Room))
    })
}

/// Whether Redis is.
pub(super) fn need_redis(plan: &Resolved) -> bool {
    any(plan, |rule| matches!(rule, Verify::Workers | Verify::Room))
}

/// Whether the model server is.
pub(super) fn need_models(plan: &Resolved) -> bool {
    any(plan, |rule| matches!(rule, Verify::Model(_)))
}

/// Whether a stage has a rule like this.
pub(super) fn has(stage: &Stage, is: impl Fn(&Verify) -> bool) -> bool {
    stage.work.verify.iter().any(is)
}

fn any(plan: &Resolved, is: impl Fn(&Verify) -> bool) -> bool {
    plan.stages().iter().any(|stage| has(stage, &is))
}
