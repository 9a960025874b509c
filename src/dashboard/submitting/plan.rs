//! The plan of a batch of files, as somebody would write it.

use std::fmt::Write as _;

use batch_plan::{Overrides, Plan, Resolved};
use serde_json::Value;

use super::files::Files;
use super::request::Request;
use crate::queue::control::queue_for;
use crate::refusal::Misuse;
use crate::wire::field;

/// The plan of a batch of these files: its text.
pub(super) fn text(request: &Request, files: &Files, has_result: bool) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let name = files.name(&files.first);
    let queue = queue_for(&request.queue, name);
    let mut fields = format!("{}: {}", field::ORIGINAL_NAME, quoted("{{ name }}"));
    for (name, value) in request.wishes.asked() {
        // Writing to a string cannot fail.
        let _ = write!(fields, ", {name}: {}", quoted(&value));
    }
    let rules = match files.images == files.count {
        true => "[exists, {image: {}}, workers]",
        false => "[exists, workers]",
    };
    let expect = if has_result {
        "\n    expect: [result]"
    } else {
        ""
    };
    format!(
        "plan: 1\nname: {}\nstages:\n  - name: files\n    queue: {}\n    items: {{objects: {{prefix: {}}}}}\n    \
         fields: {{{fields}}}\n    verify: {rules}{expect}\n",
        quoted(&request.name),
        quoted(&queue),
        quoted(&files.folder),
    )
}

/// The plan itself.
pub(super) fn resolved(text: &str) -> anyhow::Result<Resolved> {
    let wrong = |error: &dyn std::fmt::Display| Misuse(error.to_string());
    let plan = Plan::parse(text.as_bytes()).map_err(|error| wrong(&error))?;
    let plan = plan.resolve(&Overrides::default());
    Ok(plan.map_err(|error| wrong(&error))?)
}
