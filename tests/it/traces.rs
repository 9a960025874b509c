//! Traces of the real program, and its metrics of messages, as a collector gets them.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::peers;
use crate::peers::cluster::{Cluster, NUCLEI, eventually};
use crate::peers::collector::{Collector, texts};
use crate::peers::redis::Redis;
use crate::peers::results::hex;
use crate::peers::synthetic_images::archive;

const FIELDS: [(&str, &str); 3] = [
    ("dimension_order", "XYC"),
    ("channels", "0,"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SUBMITTER: &str = "b7ad6b7169203331";

fn attributes(span: &Span) -> HashMap<String, String> {
    texts(&span.attributes)
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(
        found.len(),
        1,
        "one `{name}` among {:?}",
        spans.iter().map(|span| &span.name).collect::<Vec<_>>()
    );
    found[0]
}

/// The span of a job says which job of which queue it is.
fn assert_tells_of_job(process: &Span, key: &str) {
    let about = attributes(process);
    let of = |name: &str| about.get(name).map(String::as_str);
    assert_eq!(
        (of("messaging.system"), of("messaging.operation.type")),
        (Some("redis"), Some("process"))
    );
    assert_eq!(
        (of("messaging.message.id"), of("messaging.client.id")),
        (Some(key), Some("pod-1"))
    );
    assert_eq!(of("messaging.consumer.group.name"), Some("image"));
}

/// Every step of a job is a span below that of the job. Those that take a moment only, as with a small image, may be part of the
/// next.
fn assert_steps_are_told(spans: &[Span], process: &Span) {
    let stages = [
        "download",
        "decode",
        "preprocess",
        "predict",
        "postprocess",
        "encode",
        "zip",
        "upload",
    ];
    let short = ["decode", "encode", "zip"];
    for name in ["receive segmentation", "settle segmentation"]
        .into_iter()
        .chain(stages)
    {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert!(
            !found.is_empty() || short.contains(&name),
            "{name} among {:?}",
            spans.iter().map(|span| &span.name).collect::<Vec<_>>()
        );
        for span in found {
            assert_eq!(span.parent_span_id, process.span_id, "{name}");
            assert!(
                span.start_time_unix_nano <= span.end_time_unix_nano,
                "{name}"
            );
        }
    }
}

/// Whatever is asked of Redis for a job says where Redis is.
fn assert_tells_of_redis(spans: &[Span], port: u16) {
    let settled = attributes(named(spans, "settle segmentation"));
    assert_eq!(settled["messaging.operation.name"], "ack");
    for about in [
        &attributes(named(spans, "process segmentation")),
        &settled,
        &attributes(named(spans, "receive segmentation")),
    ] {
        assert_eq!(about["server.address"], "127.0.0.1");
        assert!(
            about["server.port"].contains(&port.to_string()),
            "{about:?}"
        );
    }
}

/// Calls of the model server and requests of the bucket are spans of clients below that of the job.
fn assert_tells_of_calls(spans: &[Span], process: &Span) {
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("tensorflow.serving"))
        .collect();
    assert!(calls.len() >= 2, "the metadata and the prediction");
    for call in calls {
        let about = attributes(call);
        assert_eq!(
            (call.kind, &call.parent_span_id),
            (3, &process.span_id),
            "a client's"
        );
        assert_eq!(
            (
                about["ml.model.name"].as_str(),
                about["rpc.response.status_code"].as_str()
            ),
            ("NuclearSegmentation", "OK")
        );
    }
    for (name, key) in [("storage read", NUCLEI), ("storage write", "output/")] {
        let span = named(spans, name);
        assert_eq!(
            (span.kind, &span.parent_span_id),
            (3, &process.span_id),
            "{name}"
        );
        assert!(attributes(span)["storage.key"].starts_with(key), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_with_the_trace_of_its_submitter() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (collector, endpoint) = Collector::start().await;
    let mut pod = cluster
        .pod("pod-1")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .set("LOG_LEVEL", "INFO")
        .start();
    let key = cluster.submit(NUCLEI, &FIELDS);
    cluster.wait_done(&key);
    pod.terminate();
    assert!(pod.wait().success());
    let log = pod.log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("stage ended"))
        .collect();
    assert_eq!(told.len(), 4, "{log}");
    assert!(
        told.iter()
            .all(|line| line.contains(&key) && !line.contains("otel")),
        "{log}"
    );

    let spans = collector.spans();
    assert!(
        spans.iter().all(|span| hex(&span.trace_id) == TRACE),
        "{spans:#?}"
    );
    let process = named(&spans, "process segmentation");
    assert_eq!(
        (hex(&process.parent_span_id), process.kind),
        (SUBMITTER.to_owned(), 5),
        "a consumer's"
    );
    assert_tells_of_job(process, &key);
    assert_steps_are_told(&spans, process);
    assert_tells_of_redis(&spans, cluster.redis.port());
    assert_tells_of_calls(&spans, process);
    assert!(!collector.has_metrics(), "nobody asked for them");
    assert!(cluster.models.faults().seen().iter().all(|seen| {
        seen.traceparent
            .as_deref()
            .is_some_and(|it| it.contains(TRACE))
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_go_on_with_the_trace_of_their_parent() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (collector, endpoint) = Collector::start().await;
    cluster.put("uploads/one.zip", &archive(&["a.png"]));
    let traced =
        |pod: peers::cluster::PodSettings| pod.set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let mut pods = [
        traced(cluster.pod("images")).start(),
        traced(cluster.pod("archives").set("CONSUMER_TYPE", "zip")).start(),
    ];
    let key = "segmentation-zip:one:1";
    cluster.write_job(key, "uploads/one.zip", &FIELDS);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation-zip", key]);
    cluster.wait_done(key);
    pods.iter().for_each(peers::cluster::Pod::terminate);
    pods.iter_mut()
        .for_each(|pod| assert!(pod.wait().success()));

    let spans = collector.spans();
    let child = named(&spans, "process segmentation");
    assert_eq!(hex(&child.trace_id), TRACE);
    let parents = || {
        spans
            .iter()
            .filter(|span| span.name == "process segmentation-zip")
    };
    assert_eq!(parents().count(), 2, "once to unpack, once to collect");
    assert!(
        parents().any(|parent| parent.span_id == child.parent_span_id),
        "the child's span hangs on its parent's"
    );
    assert!(parents().all(|parent| hex(&parent.parent_span_id) == SUBMITTER));
    let linked: Vec<_> = parents()
        .flat_map(|parent| &parent.links)
        .map(|link| &link.span_id)
        .collect();
    assert_eq!(
        linked,
        [&child.span_id],
        "the parent that collects points to the child's work"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_messages_are_sent_if_asked_for() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (collector, endpoint) = Collector::start().await;
    let pod = cluster
        .pod("pod-1")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .set("OTEL_METRICS_EXPORTER", "otlp");
    let mut pod = pod.start();
    cluster.put("uploads/broken.png", b"broken");
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    cluster.wait_failed(&cluster.submit("uploads/broken.png", &FIELDS));
    pod.terminate();
    assert!(pod.wait().success());

    let consumed = collector.counts("messaging.client.consumed.messages");
    assert_eq!(consumed.iter().map(|(_, count)| count).sum::<u64>(), 2);
    let of = |name: &str| consumed[0].0[name].clone();
    assert_eq!(
        (of("messaging.system"), of("messaging.destination.name")),
        ("redis".into(), "segmentation".into())
    );
    assert_eq!(of("messaging.consumer.group.name"), "image");
    let processed = collector.counts("messaging.process.duration");
    let by_error = |error: Option<&str>| {
        let found = processed
            .iter()
            .find(|(about, _)| about.get("error.type").map(String::as_str) == error);
        found.map(|(_, count)| *count)
    };
    assert_eq!(
        (by_error(None), by_error(Some("invalid_input"))),
        (Some(1), Some(1)),
        "{processed:?}"
    );
    let operations = collector.counts("messaging.client.operation.duration");
    let count = |kind: &str| {
        operations
            .iter()
            .find(|(about, _)| about["messaging.operation.type"] == kind)
    };
    assert_eq!(
        (
            count("receive").map(|found| found.1),
            count("settle").map(|found| found.1)
        ),
        (Some(2), Some(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_show_and_links_are_to_be_had() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let (collector, endpoint) = Collector::start().await;
    let pod = cluster
        .pod("pod-1")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .set("TRACE_LINKS", "true");
    let mut pod = pod.start();
    cluster.put("uploads/broken.png", b"broken");
    cluster.wait_failed(&cluster.submit("uploads/broken.png", &FIELDS));
    pod.terminate();
    assert!(pod.wait().success());
    let spans = collector.spans();
    let process = named(&spans, "process segmentation");
    assert_ne!(hex(&process.trace_id), TRACE);
    assert_eq!(hex(&process.links[0].trace_id), TRACE);
    assert_eq!(attributes(process)["error.type"], "invalid_input");
    assert!(
        process
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2 && status.message.starts_with("ValueError: "))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_context_is_handed_on_and_an_absent_one_holds_up_nothing() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    cluster.put("uploads/one.zip", &archive(&["a.png"]));
    let _archives = cluster.pod("archives").set("CONSUMER_TYPE", "zip").start();
    let key = "segmentation-zip:one:1";
    cluster.write_job(key, "uploads/one.zip", &FIELDS);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation-zip", key]);
    eventually("the child is queued", || {
        cluster.redis.ask::<u32>(&["LLEN", "segmentation"]) == 1
    });
    let child: Vec<String> = cluster.redis.list("segmentation");
    assert_eq!(cluster.redis.hash(&child[0])["traceparent"], FIELDS[2].1);

    let mut images = cluster
        .pod("images")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .start();
    cluster.wait_done(key);
    images.terminate();
    assert!(images.wait().success());
}
