//! The stages of one entry, which may be repeated.

use super::Maker;
use super::stage::Entry;
use crate::form::{AfterForm, HowForm, Repeat, StageForm};
use crate::names;
use crate::problem::shown;
use crate::resolved::Resolved;

/// Grids of 2³¹ items have become one item long before.
const MAX_REPEATS: u64 = 256;

impl Maker<'_> {
    /// Makes the stages of one entry. Nothing if what follows makes no sense.
    pub(super) fn stages(
        &mut self,
        form: &StageForm,
        path: &str,
        resolved: &mut Resolved,
    ) -> Option<()> {
        let once = Entry {
            form,
            path,
            layer: None,
        };
        let Some(repeat) = &form.repeat else {
            return self.stage(&once, resolved);
        };
        self.check_variable(&repeat.variable, &once.at("repeat"), resolved);
        let Some(last) = repeat.to else {
            return self.repeat_to_one_item(repeat, &once, resolved);
        };
        for number in repeat.from..=last {
            self.stage(&once.layer(repeat, number), resolved)?;
        }
        Some(())
    }

    fn check_variable(&mut self, variable: &str, path: &str, resolved: &Resolved) {
        if let Some(why) = names::refuse_variable(variable) {
            self.wrong(path, format!("`{}` {why}", shown(variable)));
        }
        if resolved.set.contains_key(variable) {
            self.wrong(path, format!("`{variable}` is a value of the plan already"));
        }
    }

    /// Repeats a stage until its grid has one item.
    fn repeat_to_one_item(
        &mut self,
        repeat: &Repeat,
        once: &Entry<'_>,
        resolved: &mut Resolved,
    ) -> Option<()> {
        let path = once.at("repeat");
        if !once.form.after.iter().any(is_coarser) {
            let message = "`auto` needs `after: {stage: previous, group: …}` over a grid";
            self.wrong(&path, message);
            return None;
        }
        for number in repeat.from..=u64::MAX {
            let below = resolved.stages.len().checked_sub(1);
            let below = below.and_then(|k| resolved.grid(k)).cloned();
            self.stage(&once.layer(repeat, number), resolved)?;
            let k = resolved.stages.len() - 1;
            if resolved.size(k) == Some(1) {
                break;
            }
            let shrinks = below.as_ref() != resolved.grid(k);
            if !shrinks || number - repeat.from > MAX_REPEATS {
                let message = "never ends: the factors of `group` leave more than one item";
                self.wrong(&path, message);
                return None;
            }
        }
        Some(())
    }
}

/// Whether a stage divides the grid of the one before.
fn is_coarser(after: &AfterForm) -> bool {
    after.stage == "previous" && matches!(after.how, HowForm::Grid(_))
}
