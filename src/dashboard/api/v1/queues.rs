//! One queue: how it fares, and what is done with the whole of it.

use axum::Extension;
use axum::response::Response;
use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::json;

use super::super::super::actions::{Outcome, finished, queues};
use super::super::super::fault::Fault;
use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::gate::Said;
use super::named::Named;
use crate::queue::control::Overview;
use crate::untrusted;

/// What a pause may be.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Pausing {
    #[serde(rename = "for")]
    limit: String,
    why: String,
}

/// Where jobs go, and which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moving {
    to: String,
    #[serde(default)]
    field: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    force: bool,
}

/// Nothing more than the name in the address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `GET queues/Q`
pub(super) async fn queue(visit: Visit, Named(name): Named) -> Result<Response, Refusal> {
    Ok(done(&overview(&visit, &name).await?.to_json()))
}

/// Who asks, the queue in the address, and what is said of it.
type Asked = (Visit, Named, Extension<Said>);

/// `POST queues/Q/pause`
pub(super) async fn pause(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let Pausing { limit, why } = said.read()?;
    let act = queues::do_pause(visit.clone(), name.clone(), (limit, why));
    told(&visit, &name, act).await
}

/// `POST queues/Q/resume`
pub(super) async fn resume(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let Nothing {} = said.read()?;
    known(&visit, &name).await?;
    let act = queues::do_resume(visit.clone(), name.clone());
    told(&visit, &name, act).await
}

/// `POST queues/Q/purge`
pub(super) async fn purge(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let Nothing {} = said.read()?;
    known(&visit, &name).await?;
    let act = queues::do_purge(visit.clone(), name.clone());
    told(&visit, &name, act).await
}

/// `POST queues/Q/untrash`, of a queue that need not be known any more.
pub(super) async fn untrash(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let Nothing {} = said.read()?;
    let act = queues::do_untrash(visit.clone(), name.clone());
    told(&visit, &name, act).await
}

/// `POST queues/Q/move`
pub(super) async fn move_jobs(
    (visit, Named(name), Extension(said)): Asked,
) -> Result<Response, Refusal> {
    let Moving { to, field, force } = said.read()?;
    known(&visit, &name).await?;
    let pattern = |(name, text): (String, String)| match Regex::new(&text) {
        Ok(regex) => Ok((name, regex)),
        Err(error) => Err(Refusal::mistake(format!("`field`: {error}"))),
    };
    let wanted: Vec<_> = field.into_iter().map(pattern).collect::<Result<_, _>>()?;
    let act = queues::do_move(visit.clone(), (name.clone(), to), (wanted, force));
    told(&visit, &name, act).await
}

/// Does it, whoever waits for it, and tells what was done and how the queue fares since then.
async fn told(
    visit: &Visit,
    name: &str,
    act: impl Future<Output = Result<Outcome, Fault>> + Send + 'static,
) -> Result<Response, Refusal> {
    let outcome = finished(act).await?;
    let mut told = look(visit, name).await?.to_json();
    told["result"] = outcome.text.into();
    told["notes"] = json!(outcome.notes);
    Ok(done(&told))
}

async fn look(visit: &Visit, name: &str) -> Result<Overview, Refusal> {
    let names = [name.to_owned()];
    let overviews = visit.site.admin.overviews_of(&names, false).await?;
    Ok(overviews.into_iter().next().unwrap_or_default())
}

/// Refuses the name of a queue that nobody knows: it was mistyped.
async fn known(visit: &Visit, name: &str) -> Result<(), Refusal> {
    overview(visit, name).await.map(drop)
}

/// How a queue fares that somebody has heard of.
async fn overview(visit: &Visit, name: &str) -> Result<Overview, Refusal> {
    let overview = look(visit, name).await?;
    let is_known = !overview.is_blank() || visit.site.admin.survey().await?.queues.contains(name);
    match is_known {
        true => Ok(overview),
        false => {
            let name = untrusted::name(name);
            let text = format!("no queue `{name}` is known here; GET queues lists those that are");
            Err(Fault::Absent(text).into())
        }
    }
}
