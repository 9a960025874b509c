//! Batches: start a stage, pause, resume, cancel.

use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::Fault;
use super::super::shown::{Link, message};
use super::super::visit::Visit;
use super::confirmation::{Confirmation, Input, Kind, Outcome, ask_or_act, words};
use crate::batch::{self, Operator, Pausing, Repair, Scope};
use crate::figures::{counted, grouped};
use crate::queue::control::BatchState;
use crate::refusal::{Misuse, Refused};
use crate::untrusted;

/// `POST /batches/B/pause`
pub(in super::super) async fn pause_batch(visit: Visit, Path(name): Path<String>) -> Response {
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        batch::check_pause(&name, &state, Pausing::Feeding)?;
        Ok(Confirmation {
            title: format!("Pause {shown}"),
            question: format!(
                "Turn no more items of {shown} into jobs? {} under way.",
                out(&state)
            ),
            notes: vec!["What is queued already is worked.".to_owned()],
            verb: "Pause",
            words: words(["batch", "pause", &name]),
            back: Link::to_batch(&name),
            ..Confirmation::default()
        })
    };
    let act = do_pause(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "pause"), ask, act).await
}

async fn do_pause(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, _) = known(&visit, &name).await?;
    let text = operator(&visit)
        .pause(&name, &state, Pausing::Feeding)
        .await?;
    Ok(outcome(&name, &text))
}

/// `POST /batches/B/resume`
pub(in super::super) async fn resume_batch(visit: Visit, Path(name): Path<String>) -> Response {
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        Ok(Confirmation {
            title: format!("Resume {shown}"),
            question: format!("Let {shown} go on, which is {}?", message(&state.state)),
            notes: vec!["Stages that are held go on, too.".to_owned()],
            verb: "Resume",
            words: words(["batch", "resume", &name]),
            back: Link::to_batch(&name),
            ..Confirmation::default()
        })
    };
    let act = do_resume(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "resume"), ask, act).await
}

async fn do_resume(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, _) = known(&visit, &name).await?;
    let operator = operator(&visit);
    if !operator.resume(&name, &state, None).await? {
        return Ok(outcome(&name, "nothing of it is paused or held"));
    }
    let fed = operator.feed_first(&name).await;
    Ok(with_feeding(outcome(&name, "resumed"), fed))
}

/// `POST /batches/B/cancel`
pub(in super::super) async fn cancel_batch(visit: Visit, Path(name): Path<String>) -> Response {
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        Ok(Confirmation {
            title: format!("Cancel {shown}"),
            question: format!("End {shown}? {} under way.", out(&state)),
            notes: vec!["What waits and what runs of it is ended. It can be resumed, and what was ended is worked then.".to_owned()],
            inputs: vec![
                Input::text("name", "The name of the batch", "Type it, so that it is the right one.").of(Kind::Needed),
            ],
            verb: "Cancel the batch",
            is_grave: true,
            words: words(["batch", "cancel", &name, "--yes"]),
            back: Link::to_batch(&name),
        })
    };
    let act = do_cancel(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "cancel"), ask, act).await
}

async fn do_cancel(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, shown) = known(&visit, &name).await?;
    if visit.form.text("name") != name {
        let text = format!("the name that was typed is not {shown}: nothing was ended");
        return Err(Fault::Misuse(text));
    }
    let text = operator(&visit).cancel(&name, &state, None).await?;
    Ok(outcome(&name, &text))
}

/// `POST /batches/B/start`
pub(in super::super) async fn start_stage(visit: Visit, Path(name): Path<String>) -> Response {
    let stage = visit.form.text("stage").to_owned();
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        let number = batch::stage_of(&state, &stage)?;
        let start = operator(&visit)
            .check_start((&name, number), &state)
            .await?;
        let incomplete = start.incomplete(&state).map(|refused| refused.to_string());
        let force = incomplete.is_some().then(|| {
            let label = "Start it with what is there";
            Input::text("force", label, "Stages below have not ended.").of(Kind::Box)
        });
        Ok(Confirmation {
            title: format!("Start a stage of {shown}"),
            question: format!("Start {} of {shown}?", untrusted::name(&stage)),
            notes: incomplete.into_iter().collect(),
            inputs: force.into_iter().collect(),
            verb: "Start",
            words: words(["batch", "start", &name, "--stage", &stage]),
            back: Link::to_batch(&name),
            ..Confirmation::default()
        })
    };
    let act = do_start(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "start"), ask, act).await
}

async fn do_start(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, _) = known(&visit, &name).await?;
    let number = batch::stage_of(&state, visit.form.text("stage"))?;
    let operator = operator(&visit);
    let start = operator.check_start((&name, number), &state).await?;
    if let Some(refusal) = start.refusal_of(&state, visit.form.has("force")) {
        return Err(refusal.into());
    }
    operator.start(&name, &start).await?;
    let fed = operator.feed_first(&name).await;
    Ok(with_feeding(outcome(&name, "started"), fed))
}

/// `POST /batches/B/set`
pub(in super::super) async fn set_limits(visit: Visit, Path(name): Path<String>) -> Response {
    let stage = visit.form.text("stage").to_owned();
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        batch::stage_of(&state, &stage)?;
        Ok(Confirmation {
            title: format!("Limits of {shown}"),
            question: format!(
                "What is to change of {} of {shown}?",
                untrusted::name(&stage)
            ),
            notes: vec![LIMITS.to_owned()],
            inputs: vec![
                Input::text(
                    "change",
                    "Change",
                    "As it stands in the plan: limit.at_once=200",
                )
                .of(Kind::Needed),
            ],
            verb: "Change",
            words: words(["batch", "set", &name, "--stage", &stage, "PATH=VALUE"]),
            back: Link::to_batch(&name),
            ..Confirmation::default()
        })
    };
    let act = do_set(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "set"), ask, act).await
}

async fn do_set(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, _) = known(&visit, &name).await?;
    let stage = visit.form.text("stage");
    batch::stage_of(&state, stage)?;
    let change = visit.form.text("change").trim().split_once('=');
    let change = change.ok_or_else(|| Misuse("a change has to be PATH=VALUE".to_owned()))?;
    let changes = [(change.0.trim().to_owned(), change.1.trim().to_owned())];
    let operator = operator(&visit);
    let (plan, lines) = operator.with_limits(&name, stage, &changes).await?;
    if lines.is_empty() {
        return Ok(outcome(&name, "nothing differs"));
    }
    let kept = operator.update(&plan, &lines).await?;
    let mut outcome = outcome(&name, &format!("changed {}", message(&lines)));
    outcome.notes.extend(kept.map(|error| {
        let error = message(&format!("{error:#}"));
        format!("The change is not kept in the bucket, from which batches are restored: {error}")
    }));
    Ok(outcome)
}

/// `POST /batches/B/repair`
pub(in super::super) async fn repair_batch(visit: Visit, Path(name): Path<String>) -> Response {
    let ask = async {
        let (state, shown) = known(&visit, &name).await?;
        let operator = operator(&visit);
        let compared = operator.compare(&name, &state, repair(&visit));
        let compared = tokio::time::timeout(PATIENCE, compared).await;
        let mending = compared.map_err(|_| Refused(SLOW.to_owned()))??;
        let stages = mending.comparison.to_json(&mending.todo);
        let what = match mending.describe() {
            none if none.is_empty() => "nothing".to_owned(),
            what => what,
        };
        Ok(Confirmation {
            title: format!("Repair {shown}"),
            question: format!("Make {shown} agree with what lies in the bucket? Now {what}."),
            notes: stages.iter().map(in_words).collect(),
            inputs: vec![
                Input::text(
                    "adopt",
                    "Count outputs that are there",
                    "Items become done whatever was known of them (--adopt).",
                )
                .of(Kind::Box),
                Input::text(
                    "failed",
                    "Failed items, too",
                    "Those without outputs are worked once more (--failed).",
                )
                .of(Kind::Box),
            ],
            verb: "Repair",
            words: words(["repair", "--batch", &name, "--apply"]),
            back: Link::to_batch(&name),
            ..Confirmation::default()
        })
    };
    let act = do_repair(visit.clone(), name.clone());
    ask_or_act(&visit, &path(&name, "repair"), ask, act).await
}

async fn do_repair(visit: Visit, name: String) -> Result<Outcome, Fault> {
    let (state, _) = known(&visit, &name).await?;
    let operator = operator(&visit);
    let mut mending = operator.compare(&name, &state, repair(&visit)).await?;
    if mending.todo.is_empty() {
        return Ok(outcome(&name, "nothing is to be done"));
    }
    let what = mending.describe();
    operator.mend(&name, &mut mending).await?;
    let fed = operator.feed_first(&name).await;
    Ok(with_feeding(outcome(&name, &format!("{what}: done")), fed))
}

/// What a form wants repaired.
fn repair(visit: &Visit) -> (Scope, Repair) {
    let repair = Repair {
        adopts: visit.form.has("adopt"),
        with_failed: visit.form.has("failed"),
        most_again: usize::MAX,
    };
    (Scope::default(), repair)
}

/// What was found of a stage.
fn in_words(stage: &Value) -> String {
    let name = message(stage["stage"].as_str().unwrap_or_default());
    if stage["compared"] != true {
        return format!("{name}: its plan does not say what items leave in the bucket");
    }
    let count = |what: &str| grouped(stage[what].as_u64().unwrap_or_default());
    let [items, present, missing, partial] = ["items", "present", "missing", "partial"].map(count);
    let [out, failed] = ["out", "failed"].map(count);
    format!(
        "{name}: of {items} items outputs of {present} are there, of {missing} missing, of {partial} in part; {out} under way, {failed} failed"
    )
}

/// How long a page waits for a comparison with the bucket.
const PATIENCE: Duration = Duration::from_secs(60);
const SLOW: &str =
    "the bucket has more than can be compared in a minute: use redis-consumer repair --batch";
const LIMITS: &str = "What may change while it runs: limit.queue, limit.at_once, timeout, memory, attempts, keep.done, allow_failed, \
    stop_after.failed and stop_after.same_cause. Nothing after the equals sign means the usual value.";

/// The user, where batches are changed.
pub(in super::super) fn operator(visit: &Visit) -> Operator<'_> {
    Operator {
        admin: &visit.site.admin,
        storage: visit.site.storage.clone(),
        who: &visit.user.name,
    }
}

/// A batch that is there, and its name for people.
async fn known(visit: &Visit, name: &str) -> Result<(BatchState, String), Fault> {
    let state = batch::known(&visit.site.admin, name).await?;
    Ok((state, untrusted::name(name).to_string()))
}

fn out(state: &BatchState) -> String {
    counted(state.sum(|stage| stage.out), "item")
}

fn path(name: &str, action: &str) -> String {
    format!("{}/{action}", Link::to_batch(name).path)
}

fn outcome(name: &str, text: &str) -> Outcome {
    let link = Link::to_batch(name);
    Outcome {
        title: format!("Batch {}", link.name),
        text: format!("{}: {text}", link.name),
        back: link,
        ..Outcome::default()
    }
}

/// Says so if no item was queued, which is left to workers then.
fn with_feeding(mut outcome: Outcome, fed: anyhow::Result<()>) -> Outcome {
    if let Err(error) = fed {
        let error = message(&format!("{error:#}"));
        outcome.notes.push(format!(
            "No item was queued, which is left to workers: {error}"
        ));
    }
    outcome
}
