//! What became of a job, and that nobody needs it any more.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::site::{Shared, Site};
use super::answer::{Refusal, answer, done, object};
use crate::queue::JobKey;
use crate::queue::control::Expiry;
use crate::wire::{self, field};

/// How long a hash stays if nothing else is said, in seconds.
const USUAL_STAY: u64 = 3600;

/// Fields in one request.
const MOST_FIELDS: usize = 200;

/// `POST /api/redis`: one field of a job, or several.
pub(super) async fn values(
    State(site): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = object(request.into_body()).await?;
    let job = job(&body)?;
    let value = match body.get("key") {
        Some(Value::String(name)) => {
            let values = look(&site, &job, &[name]).await?;
            values.into_iter().next().unwrap_or_default()
        }
        Some(Value::Array(names)) if names.len() <= MOST_FIELDS => {
            let names: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
            let names = names.ok_or_else(|| Refusal::mistake(NO_FIELD))?;
            look(&site, &job, &names).await?.into()
        }
        _ => return Err(Refusal::mistake(NO_FIELD)),
    };
    Ok(done(&json!({ "value": value })))
}

/// `POST /api/status`
pub(super) async fn status(
    State(site): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let job = job(&object(request.into_body()).await?)?;
    let status = look(&site, &job, &[field::STATUS]).await?;
    Ok(done(&json!({ "status": status[0] })))
}

/// `POST /api/redis/expire`
pub(super) async fn expire(
    State(site): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = object(request.into_body()).await?;
    let job = job(&body)?;
    let seconds = match body.get("expireIn") {
        None | Some(Value::Null) => Some(USUAL_STAY),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64(),
    };
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| Refusal::mistake(NO_TIME))?;
    let value = |value: u8| json!({ "value": value });
    match site.admin.expire_job(&job, seconds).await? {
        Expiry::Set | Expiry::Kept => Ok(done(&value(1))),
        Expiry::Gone => Ok(answer(StatusCode::NOT_FOUND, &value(0))),
        Expiry::Open => {
            let body = json!({ "value": 0, "error": OPEN });
            Err(Refusal::with(StatusCode::CONFLICT, body))
        }
    }
}

/// The job that a request is about.
fn job(body: &Map<String, Value>) -> Result<JobKey, Refusal> {
    match body.get("hash").and_then(Value::as_str) {
        Some(hash) if !hash.is_empty() => Ok(JobKey(hash.as_bytes().to_vec())),
        _ => Err(Refusal::mistake(NO_JOB)),
    }
}

/// Fields of a job as JSON has them: text, or nothing. What has no status is no job, and has none.
async fn look(site: &Site, job: &JobKey, names: &[&str]) -> Result<Vec<Value>, Refusal> {
    if let Some(name) = names.iter().find(|name| is_ours_alone(name)) {
        let text = format!("the field {name} is not for clients");
        return Err(Refusal::mistake(text));
    }
    let wanted: Vec<_> = [field::STATUS]
        .into_iter()
        .chain(names.iter().copied())
        .collect();
    let mut found = site.admin.fields_of(job, &wanted).await?.into_iter();
    let Some(status) = found.next().flatten() else {
        return Ok(vec![Value::Null; names.len()]);
    };
    let is_final = wire::is_final(Some(&status));
    let value = |(name, found): (&&str, Option<Vec<u8>>)| match found {
        Some(bytes) => String::from_utf8_lossy(&bytes).into(),
        // Clients take the length of it.
        None if is_final && *name == field::FAILURES => "".into(),
        None => Value::Null,
    };
    Ok(names.iter().zip(found).map(value).collect())
}

/// Whether a field is bookkeeping of our consumers.
fn is_ours_alone(name: &str) -> bool {
    name.starts_with("rc_") && name != field::QUALITY
}

const NO_JOB: &str = "the body needs `hash`: the key of a job, as /api/predict gave it";
const NO_FIELD: &str = "the body needs `key`: the name of a field, or a list of 200 names at most";
const NO_TIME: &str = "`expireIn` has to be a number of seconds, 1 or more";
const OPEN: &str = "this job has not ended; redis-consumer cancel ends it";
