//! Batches on pages: plans that run, and what is changed about them, against the commands that do the same.

use std::fs;

use super::actions::Twins;
use crate::peers::cluster::Cluster;

/// Two stages, the second of which a person starts.
const PLAN: &str = r#"
plan: 1
name: night
stages:
  - name: first
    queue: ingest
    items: {range: {x: 6, y: 5}}
    fields: {x: "{{ x }}", y: "{{ y }}"}
    limit: {queue: 10}
  - name: second
    queue: gather
    after: {stage: first, all: true}
    trigger: manual
    items: {list: [all]}
    fields: {what: "{{ item }}"}
"#;

/// Twins with such a batch.
pub(super) async fn with_batch() -> Twins {
    let twins = Twins::new().await;
    for cluster in [&twins.page, &twins.shell] {
        submit(cluster, PLAN);
    }
    twins
}

/// Has a plan run.
pub(super) fn submit(cluster: &Cluster, plan: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.yaml");
    fs::write(&file, plan).expect("a file");
    let file = file.to_str().expect("a path");
    crate::operators::run(cluster, 0, &["submit", "--plan", file]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_shown_stage_by_stage() {
    let twins = with_batch().await;
    let page = twins.browser.get("/batches").body;
    assert!(
        page.contains(">night</a>") && page.contains("running"),
        "{page}"
    );
    let before = twins.page.redis.dump();
    let page = twins.browser.get("/batches/night").body;
    for text in [
        "30 items",
        "It waits until somebody starts it",
        "<span class=\"legend out\">out</span> <b>10</b>",
        "<span class=\"legend new\">new</span> <b>20</b>",
        "no worker serves its queues",
    ] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    assert_eq!(twins.page.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_changed_as_the_commands_do_it() {
    let twins = with_batch().await;
    let act = |action: &str, fields, inputs| {
        twins.act(&format!("/batches/night/{action}"), fields, inputs)
    };
    let (asked, done) = act("pause", &[], &[]);
    assert!(asked.body.contains("10 items under way"), "{}", asked.body);
    assert!(done.body.contains("night: paused"), "{}", done.body);
    let page = twins.browser.get("/batches/night").body;
    assert!(
        page.contains("Resume …") && !page.contains("Pause …"),
        "{page}"
    );
    act("resume", &[], &[]);
    let (_, done) = act("cancel", &[], &[("name", "night")]);
    assert!(done.body.contains("10 waited, 0 ran"), "{}", done.body);
    assert_eq!(twins.page.redis.list("ingest").len(), 0);
    act("resume", &[], &[]);
    assert_eq!(
        twins.page.redis.list("ingest").len(),
        10,
        "what was ended is fed again"
    );
    // A purge takes items back, and pauses what would fill the queue again.
    let (_, done) = twins.act("/queues/ingest/purge", &[], &[("name", "ingest")]);
    assert!(done.body.contains("10 items of batches"), "{}", done.body);
    assert!(done.body.contains("Batch night is paused"), "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_started_before_its_time_only_if_that_is_wanted() {
    let twins = with_batch().await;
    let stage = [("stage", "second")];
    let before = twins.page.redis.dump();
    let confirmed = [("stage", "second"), ("confirmed", "yes")];
    let answer = twins.browser.post("/batches/night/start", &confirmed);
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(
        answer.body.contains("first: 0 of 30 done"),
        "{}",
        answer.body
    );
    let none = [("stage", "third"), ("confirmed", "yes")];
    assert_eq!(
        twins.browser.post("/batches/night/start", &none).status,
        400
    );
    let name = [("name", "nigh"), ("confirmed", "yes")];
    assert_eq!(
        twins.browser.post("/batches/night/cancel", &name).status,
        400
    );
    assert_eq!(twins.page.redis.dump(), before);
    let forced = [("force", "yes")];
    let (asked, done) = twins.act("/batches/night/start", &stage, &forced);
    assert!(
        asked.body.contains("Start it with what is there"),
        "{}",
        asked.body
    );
    assert!(done.body.contains("night: started"), "{}", done.body);
    assert_eq!(twins.page.redis.list("gather").len(), 1);
}
