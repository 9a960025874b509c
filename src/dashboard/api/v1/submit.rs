//! Jobs for files that were uploaded with `PUT /upload/…`.

use axum::Extension;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::actions::finished;
use super::super::super::fault::Fault;
use super::super::super::form::Form;
use super::super::super::submitting::act::{Looked, Queued, look, queue, read};
use super::super::super::visit::Visit;
use super::super::answer::{Refusal, done};
use super::gate::Said;

/// What is wanted: the fields of the page's form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    upload: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    channels: Vec<u32>,
    #[serde(default)]
    scale: Option<f64>,
    #[serde(default)]
    diameter: Option<f64>,
    #[serde(default)]
    dimension_order: String,
    #[serde(default)]
    compartment: String,
    #[serde(default)]
    segmentation_type: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    skip_verify: bool,
    #[serde(default)]
    dry_run: bool,
}

/// `POST submit`
pub(super) async fn submit(
    visit: Visit,
    Extension(said): Extension<Said>,
) -> Result<Response, Refusal> {
    let wanted: Submission = said.read()?;
    let told = finished(do_submit(visit, wanted)).await?;
    Ok(done(&told))
}

async fn do_submit(visit: Visit, wanted: Submission) -> Result<Value, Fault> {
    let site = &visit.site;
    let request = read(site, &wanted.form()).await?;
    if wanted.dry_run {
        return Ok(checked(&look(site, &request).await?));
    }
    Ok(queued(queue(site, &visit.user.name, &request).await?))
}

/// What would be queued, and what is wrong with it.
fn checked(looked: &Looked) -> Value {
    json!({
        "event": "checked", "files": looked.count, "bytes": looked.bytes, "queue": looked.queue, "problems": looked.problems,
        "problem_count": looked.problem_count, "command": looked.command,
    })
}

fn queued(queued: Queued) -> Value {
    match queued {
        Queued::Job(key, status) => json!({
            "event": "submitted", "key": key.to_json(), "known": status.is_some(), "status": status,
        }),
        Queued::Batch(name, items) => json!({
            "event": "submitted", "batch": name, "known": items.is_none(), "items": items,
        }),
    }
}

impl Submission {
    /// As the page sends it.
    fn form(&self) -> Form {
        let number = |number: Option<f64>| number.map(|it| it.to_string()).unwrap_or_default();
        let channels: Vec<_> = self.channels.iter().map(u32::to_string).collect();
        let skip = if self.skip_verify { "yes" } else { "" };
        let fields = [
            ("upload", self.upload.clone()),
            ("type", self.kind.clone()),
            ("name", self.name.clone()),
            ("channels", channels.join(",")),
            ("scale", number(self.scale)),
            ("diameter", number(self.diameter)),
            ("dimension_order", self.dimension_order.clone()),
            ("compartment", self.compartment.clone()),
            ("segmentation_type", self.segmentation_type.clone()),
            ("label", self.label.clone()),
            ("model", self.model.clone()),
            ("skip", skip.to_owned()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let parts = channels.into_iter().enumerate();
        let parts = parts.map(|(part, channel)| (format!("channel-{part}"), channel));
        fields.into_iter().chain(parts).collect()
    }
}
