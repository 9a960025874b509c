//! `GET events`: what changes, as the objects that other calls answer.

use std::collections::HashSet;

use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::live::hub::MOST_STREAMS;
use super::super::super::live::stream::{follow, topics};
use super::super::super::live::topic::{Telling, Topic};
use super::super::super::visit::Visit;
use super::super::answer::Refusal;

/// `GET events?t=TOPIC&t=TOPIC`
pub(super) async fn events(visit: Visit) -> Result<Response, Refusal> {
    let topics = topics(&visit.form).filter(all_have_objects);
    let topics = topics.ok_or_else(|| Refusal::mistake(WRONG))?;
    follow(&visit.site.hub, topics, Telling::Object).ok_or_else(|| {
        let text = format!("{MOST_STREAMS} pages and scripts are told what changes already: ask again later, or for the state alone");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

fn all_have_objects(topics: &HashSet<Topic>) -> bool {
    topics.iter().all(Topic::has_object)
}

const WRONG: &str = "name 1 to 64 topics as t=…: queues, queue:NAME, job:KEY with the key in URL-safe Base64, batches, batch:NAME or \
    workers";
