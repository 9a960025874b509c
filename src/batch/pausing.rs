//! Single stages that are held by a person.

use super::operator::Operator;
use crate::queue::control::BatchState;
use crate::refusal::Refused;
use crate::untrusted;
use crate::wire::batch;

/// Whether a stage can be paused.
pub(crate) fn check_pause_of_stage(
    name: &str,
    state: &BatchState,
    number: usize,
) -> Result<(), Refused> {
    let stage = &state.stages[number];
    let Some(why) = &stage.held else {
        return Ok(());
    };
    let (stage, why) = (&stage.name, untrusted::message(why));
    Err(Refused(format!("{stage} of {name} is held already: {why}")))
}

impl Operator<'_> {
    /// Holds a stage, as its breaker would.
    pub(crate) async fn pause_stage(
        &self,
        name: &str,
        state: &BatchState,
        number: usize,
    ) -> anyhow::Result<()> {
        check_pause_of_stage(name, state, number)?;
        let field = batch::stage_field(number, batch::HELD);
        let held = (field, format!("paused by {}", self.who));
        self.admin.set_batch(name, &[held]).await?;
        let about = format!("{name} {}", state.stages[number].name);
        self.record("batch pause", &about, "paused").await
    }
}
