//! What stages above know of their children, computed anew.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use batch_plan::work::OnFailure;
use tokio::time::sleep;

use super::loaded::Loaded;
use super::marks::{Mark, Marks, bit_of, is_set};
use crate::queue::Admin;
use crate::queue::control::NewCounters;
use crate::wire::batch;

/// How often counters are computed anew because items have ended meanwhile.
const TRIES: usize = 20;

/// How long a difference has to last that is not about to vanish.
const SETTLING: Duration = Duration::from_millis(300);

/// Children of one item.
#[derive(Clone, Copy, Default)]
struct Children {
    all: u32,
    ended: u32,
}

/// Stages whose counters of ended children, or marks of items that are ready, do not agree with the marks of the children.
pub(crate) async fn wrong_counters(
    admin: &Admin,
    loaded: &mut Loaded,
) -> anyhow::Result<Vec<usize>> {
    let mut wrong = Vec::new();
    for stage in 0..loaded.plan.stages().len() {
        if !loaded.plan.is_gathered(stage) {
            continue;
        }
        let first = difference(admin, loaded, stage).await?;
        if first.is_none() {
            continue;
        }
        // Items that end or are fed between two looks make a difference, too, but not the same one twice.
        sleep(SETTLING).await;
        if difference(admin, loaded, stage).await? == first {
            wrong.push(stage);
        }
    }
    Ok(wrong)
}

/// The counters that are there and those that should be, if they differ.
async fn difference(
    admin: &Admin,
    loaded: &mut Loaded,
    stage: usize,
) -> anyhow::Result<Option<[Vec<u8>; 4]>> {
    let new = computed(admin, loaded, stage).await?;
    let name = loaded.plan.name();
    let seen = admin.all_marks(name, stage, batch::SEEN).await?;
    let ready = admin.all_marks(name, stage, batch::READY).await?;
    let is_same = new.early.is_empty()
        && without_zeros(&seen) == without_zeros(&new.seen)
        && without_zeros(&ready) == without_zeros(&new.ready);
    Ok((!is_same).then_some([seen, ready, new.seen, new.ready]))
}

/// Redis fills up with zeros what it does not keep.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..end.map_or(0, |end| end + 1)]
}

/// Computes how many children of each item of a stage have ended, from their marks, and which items are ready.
pub(super) async fn count_anew(
    admin: &Admin,
    loaded: &mut Loaded,
    stage: usize,
) -> anyhow::Result<()> {
    let name = loaded.plan.name().to_owned();
    for _ in 0..TRIES {
        let new = computed(admin, loaded, stage).await?;
        if admin.swap_counters(&name, stage, &new).await? {
            return Ok(());
        }
    }
    bail!(
        "items of the stages below {} end too fast for its counters to be computed anew: pause the batch first",
        loaded.plan.stages()[stage].name
    )
}

async fn computed(admin: &Admin, loaded: &mut Loaded, stage: usize) -> anyhow::Result<NewCounters> {
    let name = loaded.plan.name().to_owned();
    let bytes_each = usize::from(loaded.plan.counter_bits(stage).unwrap_or(32)) / 8;
    let state = admin.batch(&name).await?;
    let state = state.context("the batch was deleted meanwhile")?;
    let ended = |below: usize| {
        let is = state.stages.get(below);
        (below, is.map_or(0, |is| is.done + is.failed))
    };
    let below: Vec<_> = loaded.plan.below(stage).map(ended).collect();
    let children = children_of(admin, loaded, stage).await?;
    // In this order: what is fed in between is under way.
    let again = admin.all_marks(&name, stage, batch::AGAIN).await?;
    let marks = Marks::read(admin, &name, stage).await?;
    let (ready, ready_count) = ready(&children, &marks, &again);
    let bytes = |it: &Children| it.ended.to_be_bytes().into_iter().skip(4 - bytes_each);
    Ok(NewCounters {
        seen: children.iter().flat_map(bytes).collect(),
        ready,
        ready_count,
        early: early(&children, &again),
        below,
    })
}

/// Items that are to be fed once more before all of their children have ended, which are worked once more themselves.
fn early(children: &[Children], again: &[u8]) -> Vec<u64> {
    let numbered = (0..).zip(children);
    let is_early = |(item, of): &(u64, &Children)| of.ended < of.all && is_set(again, *item);
    numbered.filter(is_early).map(|(item, _)| item).collect()
}

/// The children of each item of a stage, as far as they have a mark that counts.
async fn children_of(
    admin: &Admin,
    loaded: &mut Loaded,
    stage: usize,
) -> anyhow::Result<Vec<Children>> {
    let plan = Arc::clone(&loaded.plan);
    // The items of a sample have the numbers that they have in the whole.
    let size = plan.size(stage).unwrap_or(0);
    let mut all = vec![Children::default(); size as usize];
    for below in plan.below(stage) {
        let marks = Marks::read(admin, plan.name(), below).await?;
        let goes_on = plan.stages()[below].work.on_failure == OnFailure::GoOn;
        // One that has failed and is worked once more is not counted a second time.
        let counted = match goes_on {
            true => admin.all_marks(plan.name(), below, batch::COUNTED).await?,
            false => Vec::new(),
        };
        for item in loaded.items(below) {
            let mark = marks.of(item);
            let has_ended =
                mark == Mark::Done || (goes_on && (mark == Mark::Failed || is_set(&counted, item)));
            let row = loaded.row(below, item).await?;
            let ups = plan.ups(below, item, row.as_ref()).into_iter();
            for up in ups.filter(|up| up.stage == stage) {
                let children = all.get_mut(up.parent as usize);
                let children =
                    children.context("a row of its list names a group that is not there")?;
                children.all = up.children as u32;
                children.ended += u32::from(has_ended);
            }
        }
    }
    Ok(all)
}

/// A bit for each item that nobody has worked and all of whose children have ended, and how many these are.
fn ready(children: &[Children], marks: &Marks, again: &[u8]) -> (Vec<u8>, u64) {
    let mut bits = vec![0; children.len().div_ceil(8)];
    let mut count = 0;
    for (item, children) in (0..).zip(children) {
        let has_all = children.all > 0 && children.ended >= children.all;
        if has_all && marks.of(item) == Mark::New && !is_set(again, item) {
            bits[(item / 8) as usize] |= bit_of(item);
            count += 1;
        }
    }
    (bits, count)
}
