//! Rules of plans, which are held against what is there before a batch is written.

mod command;
mod fault;
mod header;
mod image;
mod inputs;
mod mistakes;
mod models;
mod peers;
mod report;
mod room;
mod rules;
mod stage;
mod subjects;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use batch_plan::{Lists, RenderError, Renderer, Resolved};
use bioimage::Header;

use crate::storage::Storage;

pub(crate) use self::image::{axes_of, length};
pub(super) use self::mistakes::mistakes;
pub(crate) use self::models::ModelPeer;
pub(crate) use self::peers::Peers;
pub(crate) use self::report::Verified;
pub(super) use self::rules::need_bucket;

/// Holds the rules of a plan against what is there.
///
/// # Errors
///
/// A peer does not answer; what it says that is wrong is in the report.
pub(super) async fn verify(
    plan: &Arc<Resolved>,
    lists: &Lists,
    peers: &Peers,
) -> anyhow::Result<Verified> {
    let mut verified = Verified::default();
    for number in 0..plan.stages().len() {
        verified
            .stages
            .push(stage::look(plan, lists, number, peers).await?);
    }
    name_gatherers(plan, lists, &mut verified)?;
    Ok(verified)
}

/// The header of an image in the bucket, of which as little as possible is read; or why there is none.
pub(crate) async fn header_of(storage: &Storage, key: &str) -> Result<Header, String> {
    let place = subjects::Place::Object(key.to_owned());
    header::read(&place, key, Some(storage)).await
}

/// Says in the stages above which of their items gather some with problems.
fn name_gatherers(
    plan: &Arc<Resolved>,
    lists: &Lists,
    verified: &mut Verified,
) -> Result<(), RenderError> {
    let mut all: BTreeMap<(usize, u64), (u64, u64)> = BTreeMap::new();
    for stage in &mut verified.stages {
        for (gatherer, (wrong, children)) in std::mem::take(&mut stage.gatherers) {
            all.entry(gatherer).or_insert((0, children)).0 += wrong;
        }
    }
    for ((stage, item), (wrong, children)) in all {
        let renderer = Renderer::new(Arc::clone(plan), stage)?;
        let rows = plan.rows_of(stage).and_then(|base| lists.get(base));
        let row = rows.and_then(|list| list.row(item));
        let id = renderer.item_id(item, row.as_ref())?;
        let sound = children.saturating_sub(wrong);
        verified.stages[stage]
            .uses
            .push(format!("{id} ({sound} of {children})"));
    }
    Ok(())
}
