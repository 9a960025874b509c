//! `GET /api/v1/events`: what changes, as the objects that other calls answer.

use serde_json::{Value, json};

use super::batches::with_batch;
use super::live::Events;
use super::pages::visitor;
use super::v1::{Script, still};
use super::{empty, encoded};
use crate::peers::browser::Browser;
use crate::peers::redis::Redis;

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";

/// A stream of these topics.
fn follow(browser: &Browser, topics: &[&str]) -> Events {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    topics
        .iter()
        .for_each(|topic| _ = query.append_pair("t", topic));
    Events::open(browser, &format!("/api/v1/events?{}", query.finish()))
}

/// The next object of a topic.
fn next(events: &mut Events, topic: &str) -> Value {
    loop {
        let (name, data) = events.next();
        assert_eq!(name, "", "{data}");
        let mut told: Value = serde_json::from_str(&data).expect("JSON");
        if told["topic"] == topic {
            return told["data"].take();
        }
    }
}

fn set(redis: &Redis, key: &str, field: &str, value: &str) {
    let _: u32 = redis.ask(&["HSET", key, field, value]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_those_of_other_calls_and_as_they_are_described() {
    let twins = with_batch().await;
    let (script, cluster) = (Script::of(&twins.browser), &twins.page);
    let before = cluster.redis.dump();
    let id = encoded(b"segmentation:wait:1");
    let job = format!("job:{id}");
    let mut whole = script.get("/queues");
    whole.as_object_mut().expect("members").remove("batches");
    let mut workers = script.get("/workers");
    workers.as_object_mut().expect("members").remove("python");
    for (topic, schema, expected) in [
        (
            "queue:segmentation",
            "Queue",
            script.get("/queues/segmentation"),
        ),
        ("batch:night", "Batch", script.get("/batches/night")),
        ("batches", "Batches", script.get("/batches")),
        ("queues", "", whole),
        ("workers", "", workers),
        (&job, "Job", script.get(&format!("/jobs/{id}"))),
    ] {
        let mut events = follow(&twins.browser, &[topic]);
        let told = next(&mut events, topic);
        if !schema.is_empty() {
            let schema = script.description.schema(schema);
            let found = script.description.check(schema, &told, topic);
            found.unwrap_or_else(|fault| panic!("{fault}"));
        }
        assert_eq!(still(told), still(expected), "{topic}");
    }
    let gone = encoded(b"segmentation:none");
    for topic in [&*format!("job:{gone}"), "batch:none", "queue:none"] {
        let mut events = follow(&twins.browser, &[topic]);
        assert_eq!(next(&mut events, topic), Value::Null, "{topic}");
    }
    assert_eq!(cluster.redis.dump(), before, "to follow changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_and_nothing_else() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let key = "segmentation:run:1";
    let job = format!("job:{}", encoded(key.as_bytes()));
    let mut events = follow(&browser, &[&job, "batches"]);
    assert_eq!(next(&mut events, &job)["fields"]["progress"], "40");
    set(&cluster.redis, key, "progress", "70");
    assert_eq!(next(&mut events, &job)["fields"]["progress"], "70");
    for (field, value) in [("output_file_name", "output/a.zip"), ("status", "done")] {
        set(&cluster.redis, key, field, value);
    }
    let done = loop {
        // The two may be told one after the other.
        let told = next(&mut events, &job);
        if told["fields"]["status"] == "done" {
            break told;
        }
    };
    assert_eq!(done["fields"]["output_file_name"], "output/a.zip");
    assert_eq!(done["key"], key);
    let _: u32 = cluster.redis.ask(&["DEL", key]);
    assert_eq!(next(&mut events, &job), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_and_what_is_no_topic_is_refused_with_json() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
    ];
    let (_dashboard, browser) = visitor(&cluster, &settings);
    let nobody = browser.get("/api/v1/events?t=workers");
    assert!(
        nobody.status == 401 && nobody.body.starts_with("{\"error\":"),
        "{nobody:?}"
    );
    let script = browser.with("authorization", &format!("Bearer {VIEW}"));
    let mut events = Events::open(&script, "/api/v1/events?t=workers");
    let head = events.head();
    for header in ["http/1.1 200", "text/event-stream", "x-accel-buffering: no"] {
        assert!(head.contains(header), "{head}");
    }
    let many: Vec<_> = (0..65).map(|at| format!("t=queue%3Aq{at}")).collect();
    for wrong in [
        "",
        "t=",
        "t=overview",
        "t=chart%3A2%3Aq",
        "t=job%3A!",
        &many.join("&"),
    ] {
        let answer = script.get(&format!("/api/v1/events?{wrong}"));
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer.status, 400, "{wrong}: {told}");
        let why = told["error"].as_str().unwrap_or_default();
        assert!(why.contains("1 to 64 topics"), "{wrong}: {told}");
    }
    assert_ne!(json!(null), next(&mut events, "workers"));
}
