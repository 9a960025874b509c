//! One batch: how it fares, and what is done with it.

use axum::Extension;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::actions::{finished, operator};
use super::super::super::fault::Fault;
use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::gate::Said;
use super::named::Named;
use crate::batch::{self, Pausing, Repair, Scope, Standing};
use crate::refusal::Misuse;

/// What part of a batch is meant, and how.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Part {
    stage: Option<String>,
    /// `pause`: what waits is taken out of the queues, too.
    now: bool,
    /// `start`: whatever is below.
    force: bool,
}

/// What is repaired.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Repairing {
    stage: Option<String>,
    apply: bool,
    adopt: bool,
    failed: bool,
    limit: Option<usize>,
    orphans: bool,
}

/// `GET batches/B`
pub(super) async fn batch(visit: Visit, Named(name): Named) -> Result<Response, Refusal> {
    Ok(done(&standing(&visit, &name).await?))
}

/// Who asks, the batch in the address, and what is said of it.
type Asked = (Visit, Named, Extension<Said>);

/// `POST batches/B/start`
pub(super) async fn start(asked: Asked) -> Result<Response, Refusal> {
    told(asked, do_start).await
}

/// `POST batches/B/pause`
pub(super) async fn pause(asked: Asked) -> Result<Response, Refusal> {
    told(asked, do_pause).await
}

/// `POST batches/B/resume`
pub(super) async fn resume(asked: Asked) -> Result<Response, Refusal> {
    told(asked, do_resume).await
}

/// `POST batches/B/cancel`
pub(super) async fn cancel(asked: Asked) -> Result<Response, Refusal> {
    told(asked, do_cancel).await
}

/// `POST batches/B/repair`
pub(super) async fn repair(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let wanted: Repairing = said.read()?;
    known(&visit, &name).await?;
    let told = finished(do_repair(visit, name, wanted)).await?;
    Ok(done(&told))
}

async fn do_start(visit: Visit, name: String, part: Part) -> Result<String, Fault> {
    let state = batch::known(&visit.site.admin, &name).await?;
    let stage = part.stage.ok_or_else(|| Misuse(NO_STAGE.to_owned()))?;
    let number = batch::stage_of(&state, &stage)?;
    let operator = operator(&visit);
    let start = operator.check_start((&name, number), &state).await?;
    if let Some(refusal) = start.refusal_of(&state, part.force) {
        return Err(refusal.into());
    }
    operator.start(&name, &start).await?;
    Ok(with_feeding("started", operator.feed_first(&name).await))
}

async fn do_pause(visit: Visit, name: String, part: Part) -> Result<String, Fault> {
    let state = batch::known(&visit.site.admin, &name).await?;
    let operator = operator(&visit);
    let Some(stage) = part.stage else {
        let what = match part.now {
            true => Pausing::Waiting,
            false => Pausing::Feeding,
        };
        return Ok(operator.pause(&name, &state, what).await?);
    };
    if part.now {
        let text = "`now` is for whole batches: leave out `stage`";
        return Err(Misuse(text.to_owned()).into());
    }
    let number = batch::stage_of(&state, &stage)?;
    operator.pause_stage(&name, &state, number).await?;
    Ok("paused".to_owned())
}

async fn do_resume(visit: Visit, name: String, part: Part) -> Result<String, Fault> {
    let state = batch::known(&visit.site.admin, &name).await?;
    let only = part.stage.map(|stage| batch::stage_of(&state, &stage));
    let operator = operator(&visit);
    if !operator.resume(&name, &state, only.transpose()?).await? {
        return Ok("nothing of it is paused or held".to_owned());
    }
    Ok(with_feeding("resumed", operator.feed_first(&name).await))
}

async fn do_cancel(visit: Visit, name: String, part: Part) -> Result<String, Fault> {
    let state = batch::known(&visit.site.admin, &name).await?;
    let only = part.stage.map(|stage| batch::stage_of(&state, &stage));
    let text = operator(&visit)
        .cancel(&name, &state, only.transpose()?)
        .await?;
    Ok(text)
}

async fn do_repair(visit: Visit, name: String, wanted: Repairing) -> Result<Value, Fault> {
    let state = batch::known(&visit.site.admin, &name).await?;
    let stage = wanted.stage.map(|stage| batch::stage_of(&state, &stage));
    let scope = Scope {
        stage: stage.transpose()?,
        with_orphans: wanted.orphans,
        names_new: false,
    };
    let repair = Repair {
        adopts: wanted.adopt,
        with_failed: wanted.failed,
        most_again: wanted.limit.unwrap_or(usize::MAX),
    };
    let operator = operator(&visit);
    let mut mending = operator.compare(&name, &state, (scope, repair)).await?;
    let stages = mending.comparison.to_json(&mending.todo);
    let mut what = mending.describe();
    let is_applied = wanted.apply && !mending.todo.is_empty();
    if is_applied {
        operator.mend(&name, &mut mending).await?;
        what = with_feeding(&what, operator.feed_first(&name).await);
    }
    Ok(json!({ "batch": name, "stages": stages, "result": what, "applied": is_applied }))
}

/// Does it, whoever waits for it, and tells what was done and how the batch fares since then.
async fn told<A>(
    (visit, Named(name), Extension(said)): Asked,
    act: fn(Visit, String, Part) -> A,
) -> Result<Response, Refusal>
where
    A: Future<Output = Result<String, Fault>> + Send + 'static,
{
    let part = said.read()?;
    known(&visit, &name).await?;
    let result = finished(act(visit.clone(), name.clone(), part)).await?;
    let mut told = standing(&visit, &name).await?;
    told["result"] = result.into();
    Ok(done(&told))
}

async fn standing(visit: &Visit, name: &str) -> Result<Value, Refusal> {
    let standing = Standing::of(&visit.site.admin, name).await;
    Ok(standing.map_err(absent)?.to_json(name))
}

/// Refuses the name of a batch that is not there.
async fn known(visit: &Visit, name: &str) -> Result<(), Refusal> {
    let state = batch::known(&visit.site.admin, name).await;
    Ok(state.map(drop).map_err(absent)?)
}

/// Of what is named in an address, it is said that it is not there.
fn absent(error: anyhow::Error) -> Fault {
    match Fault::from(error) {
        Fault::Misuse(text) => Fault::Absent(text),
        fault => fault,
    }
}

/// Says so if no item was queued, which is left to workers then.
fn with_feeding(text: &str, fed: anyhow::Result<()>) -> String {
    match fed {
        Ok(()) => text.to_owned(),
        Err(error) => format!("{text}; no item was queued, which is left to workers: {error:#}"),
    }
}

const NO_STAGE: &str = "say which stage: {\"stage\": \"NAME\"}";
