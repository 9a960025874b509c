//! Jobs.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tracing::info;

use super::super::auth::random_digits;
use super::super::site::{Shared, Site};
use super::answer::{Refusal, done, object};
use super::lists::known_types;
use crate::queue::JobKey;
use crate::queue::control::{NewEntry, Submitted, host_name, queue_for};
use crate::wire::{field, timestamp};

/// The longest name of an image, in bytes: it is in the key of the job.
const LONGEST_NAME: usize = 1024;

/// What a request says, and the field that gets it.
const NAMES: [(&str, &str); 8] = [
    ("imageName", field::ORIGINAL_NAME),
    ("imageUrl", field::URL),
    ("modelName", field::MODEL_NAME),
    ("modelVersion", field::MODEL_VERSION),
    ("preprocessFunction", field::PREPROCESS_FUNCTION),
    ("postprocessFunction", field::POSTPROCESS_FUNCTION),
    ("cuts", field::CUTS),
    ("dataLabel", field::LABEL),
];

/// The same in the form of the job, and what older clients say in its place, if they do.
const FORM: [(&str, &str, &str); 4] = [
    ("scale", "dataRescale", field::SCALE),
    ("dimensionOrder", "", field::DIMENSION_ORDER),
    ("selectedChannels", "channels", field::CHANNELS),
    ("segmentationType", "", field::SEGMENTATION_TYPE),
];

/// `POST /api/predict`
pub(super) async fn predict(
    State(site): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = object(request.into_body()).await?;
    let asked = asked(&site, &body)?;
    let name = text(&body, "imageName")?;
    let queue = queue_for(&job_type(&site, &body).await?, &name);
    let digits = random_digits()
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let key = JobKey(format!("{queue}:{name}:{digits}").into_bytes());
    let (stamp, host) = (timestamp(), host_name());
    let job = NewEntry::new(key.clone(), asked, (&stamp, &host));
    let answers = site.admin.submit_jobs(&queue, &stamp, &[job]).await?;
    if answers != [Submitted::Queued] {
        let text = "a job of this key is there already";
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    info!(job = %key, queue, "a job was submitted through the API");
    Ok(done(&json!({ "hash": key.as_text() })))
}

/// The fields that are asked for.
fn asked(site: &Site, body: &Map<String, Value>) -> Result<Vec<(String, String)>, Refusal> {
    let name = text(body, "imageName")?;
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Refusal::mistake(NO_NAME));
    }
    let uploaded = Some(text(body, "uploadedName")?).filter(|text| !text.is_empty());
    let input = uploaded.unwrap_or(name);
    if let Some(storage) = &site.storage {
        let wrong = storage.key_of(&input).map(drop);
        wrong.map_err(|error| Refusal::mistake(format!("uploadedName: {error}")))?;
    }
    let mut asked = vec![(field::INPUT_FILE_NAME.to_owned(), input)];
    for (name, field) in NAMES {
        asked.push((field.to_owned(), text(body, name)?));
    }
    let none = Map::new();
    let form = match body.get("jobForm") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(form)) => form,
        Some(_) => return Err(Refusal::mistake("jobForm has to be an object")),
    };
    for (name, older, field) in FORM {
        let value = match text(form, name)? {
            empty if empty.is_empty() => text(body, older)?,
            value => value,
        };
        asked.push((field.to_owned(), value));
    }
    // What is empty has its default.
    asked.retain(|(_, value)| !value.is_empty());
    Ok(asked)
}

/// The job type, if it is known.
async fn job_type(site: &Site, body: &Map<String, Value>) -> Result<String, Refusal> {
    let asked = text(body, "jobType")?;
    let known = known_types(site).await?;
    if known.contains(&asked) {
        return Ok(asked);
    }
    let known = match known.is_empty() {
        true => "none, as no consumer runs and JOB_TYPES is not set".to_owned(),
        false => known.join(", "),
    };
    Err(Refusal::mistake(format!(
        "jobType `{asked}` is not known; known are: {known}"
    )))
}

/// A value as a field of a job has it: numbers as they were written, lists with commas, nothing as nothing.
fn text(body: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    let one = |value: &Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    };
    let found = match body.get(name) {
        None => Some(String::new()),
        Some(Value::Array(items)) => {
            let items: Option<Vec<_>> = items.iter().map(one).collect();
            items.map(|items| items.join(","))
        }
        Some(value) => one(value),
    };
    found.ok_or_else(|| Refusal::mistake(format!("{name} has to be a text or a number")))
}

const NO_NAME: &str = "the body needs `imageName`: the name of a file, 1024 bytes at most";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_whatever_clients_make_of_them() {
        let body =
            json!({ "a": 1.0, "b": "6", "c": null, "d": [0, 1], "e": {}, "f": 7, "g": ["0", ""] });
        let body = body.as_object().expect("an object");
        for (name, expected) in [
            ("a", Some("1.0")),
            ("b", Some("6")),
            ("c", Some("")),
            ("d", Some("0,1")),
            ("e", None),
            ("f", Some("7")),
            ("g", Some("0,")),
            ("absent", Some("")),
        ] {
            assert_eq!(text(body, name).ok().as_deref(), expected, "{name}");
        }
    }
}
