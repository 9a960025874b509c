//! Jobs: requeue and cancel.

use axum::Extension;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::warn;

use super::super::super::actions::{Tally, cancel_selected, finished, operator, requeue_selected};
use super::super::super::fault::Fault;
use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::gate::Said;
use crate::batch::Items;
use crate::queue::control::{Cancel, End, Scope, What, how};
use crate::refusal::Misuse;
use crate::selection::Selector;

/// What `requeue` takes beside a selector.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Requeuing {
    item: Vec<String>,
    again: bool,
    front: bool,
    force: bool,
    all_children: bool,
    dry_run: bool,
}

/// What `cancel` takes beside a selector.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Cancelling {
    because: String,
    dry_run: bool,
}

/// `POST requeue`
pub(super) async fn requeue(
    visit: Visit,
    Extension(Said(said)): Extension<Said>,
) -> Result<Response, Refusal> {
    let (selector, beside) = split(said)?;
    let wanted: Requeuing = beside.read()?;
    let told = finished(do_requeue(visit, selector, wanted)).await?;
    Ok(done(&told))
}

/// `POST cancel`
pub(super) async fn cancel(
    visit: Visit,
    Extension(Said(said)): Extension<Said>,
) -> Result<Response, Refusal> {
    let (selector, beside) = split(said)?;
    let wanted: Cancelling = beside.read()?;
    let told = finished(do_cancel(visit, selector, wanted)).await?;
    Ok(done(&told))
}

/// The selector of a body, which has to say something, and the rest of it.
fn split(said: Map<String, Value>) -> Result<(Selector, Said), Refusal> {
    let (of_selector, beside): (Map<_, _>, Map<_, _>) = said
        .into_iter()
        .partition(|(name, _)| Selector::MEMBERS.contains(&name.as_str()));
    let selector = Selector::from_json(of_selector)?;
    match selector.is_bounded() {
        true => Ok((selector, Said(beside))),
        false => Err(Refusal::mistake(UNBOUNDED)),
    }
}

async fn do_requeue(visit: Visit, selector: Selector, wanted: Requeuing) -> Result<Value, Fault> {
    let operator = operator(&visit);
    let mut tally = Tally::new("requeued");
    let mut items = None;
    if wanted.item.is_empty() {
        let selected = selector.failed(operator.admin).await?;
        if let Some(of) = selector.whole_batch() {
            items = Items::without_jobs(&operator, of, selected.len()).await?;
        }
        let wish = (wanted.how(), wanted.dry_run);
        requeue_selected(operator.admin, selected, wish, &mut tally).await?;
    } else {
        let place = selector.batch_stage();
        let place = place.ok_or_else(|| Misuse(NO_STAGE.to_owned()))?;
        items = Some(Items::named(&operator, place, &wanted.item, wanted.again).await?);
    }
    if let Some(mut items) = items {
        tally.changes.changed += items.count;
        if !wanted.dry_run {
            items.work(&operator).await?;
            // Workers feed the batch as well, if this does not.
            if let Err(error) = operator.feed_first(items.batch()).await {
                warn!(
                    error = format!("{error:#}"),
                    "no item was queued, which is left to workers"
                );
            }
        }
    }
    if !wanted.dry_run {
        let summary = tally.changes.summary();
        visit.record("requeue", "", &summary).await?;
    }
    Ok(tally.to_json(wanted.dry_run))
}

async fn do_cancel(visit: Visit, selector: Selector, wanted: Cancelling) -> Result<Value, Fault> {
    let admin = &visit.site.admin;
    let selected = selector.active(admin).await?;
    let mut tally = Tally::new("cancelled");
    let by = Cancel::by(&visit.user.name, &wanted.because);
    cancel_selected(admin, &selected, (&by, wanted.dry_run), &mut tally).await?;
    if !wanted.dry_run {
        let summary = tally.changes.summary();
        visit.record("cancel", &wanted.because, &summary).await?;
    }
    Ok(tally.to_json(wanted.dry_run))
}

impl Requeuing {
    /// Where to, which, and how much of a job.
    fn how(&self) -> (End, Scope, What) {
        how([self.front, self.force, self.all_children])
    }
}

const UNBOUNDED: &str = "say which jobs: `jobs`, `queue`, `batch`, or `all_queues`: true";
const NO_STAGE: &str = "`item` names items of a stage: add `batch` and `stage`";
