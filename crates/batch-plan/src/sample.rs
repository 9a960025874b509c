//! A part of a plan that runs like the whole.

mod center;
mod choice;
mod chooser;
mod shorten;

use std::sync::Arc;

use serde_json::Value;

use crate::layout::Units;
use crate::list::{List, Lists};
use crate::problem::PlanError;
use crate::resolved::{Items, Resolved};

pub use choice::{Choice, MAX_SAMPLE, SampleError};
use chooser::{Chooser, Chosen};
use shorten::shorten;

impl Resolved {
    /// Leaves only the items of a sample, in a plan that was resolved as one and whose lists were read.
    ///
    /// Stages of grids keep the numbers of their items and know which are [`chosen`](crate::Stage::chosen); lists become shorter.
    /// Stages above keep those items that gather at least one; how many they wait for is counted in the sample, so that every
    /// stage runs.
    ///
    /// # Errors
    ///
    /// The plan is not resolved as a sample; more than [`MAX_SAMPLE`] items are asked for; there is no such group.
    pub fn choose(&mut self, lists: &mut Lists, choice: &Choice) -> Result<(), SampleError> {
        if !self.sample || self.stages.iter().any(|stage| stage.chosen.is_some()) {
            let message = "the plan was not resolved as a sample, or is one already";
            return Err(SampleError::Choice(message.to_owned()));
        }
        let plan = Arc::new(self.clone());
        let chosen = Chooser { plan: &plan, lists }.choose(choice)?;
        lists.lists = shorten(&plan, lists, &chosen);
        self.keep(&chosen, lists)?;
        // Groups of groups may come in another order when they are made of fewer items.
        lists.lists.extend(self.inline_lists()?.lists);
        self.note(&lists.lists);
        Ok(())
    }

    /// Makes the stages again, with the chosen items.
    fn keep(&mut self, chosen: &Chosen, lists: &Lists) -> Result<(), PlanError> {
        let stages = std::mem::take(&mut self.stages);
        let layouts = std::mem::take(&mut self.layouts);
        for (k, (mut stage, layout)) in stages.into_iter().zip(layouts).enumerate() {
            if let Some(Items::List(values)) = &mut stage.items {
                // Feeders without a bucket read the list in the plan, so only the sample may be in it.
                *values = lists.get(k).map(values_of).unwrap_or_default();
                stage.shuffle = None;
            } else if matches!(layout.units, Units::Grid(_)) {
                stage.chosen.clone_from(&chosen[k]);
            }
            self.push(stage)
                .map_err(|problems| PlanError { problems })?;
        }
        Ok(())
    }
}

/// The elements of which a list in the plan was made.
fn values_of(list: &List) -> Vec<Value> {
    (0..list.len())
        .filter_map(|item| list.row(item))
        .map(|mut row| match row.vars.len() {
            1 => row.vars.remove("item").unwrap_or(row.vars.into()),
            _ => row.vars.into(),
        })
        .collect()
}
