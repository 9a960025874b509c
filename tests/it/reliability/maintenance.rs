//! The janitor, `fsck`, and what else operators run.

use std::collections::HashSet;
use std::process::Output;

use super::{OLD, cluster};
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI};
use crate::peers::redis::Redis;
use crate::peers::scripted_http::{ScriptedHttp, answer};

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pods(names: &[&str]) -> String {
    let items: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"phase":"Running"}}}}"#))
        .collect();
    format!(
        r#"{{"kind":"PodList","metadata":{{"continue":""}},"items":[{}]}}"#,
        items.join(",")
    )
}

/// An entry in the list of a consumer, as a Python one leaves it.
fn strand(cluster: &Cluster, name: &str, pod: &str, fields: &[(&str, &str)]) -> String {
    let key = format!("segmentation:{name}:1");
    cluster.write_job(
        &key,
        NUCLEI,
        &[
            ("status", "predicting"),
            ("updated_at", OLD),
            ("updated_by", pod),
        ],
    );
    for (field, value) in fields {
        let _: u32 = cluster.redis.ask(&["HSET", &key, field, value]);
    }
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", &format!("processing-segmentation:{pod}"), &key]);
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn our_janitor_requeues_what_dead_pods_have_left_and_nothing_else() {
    let cluster = cluster().await;
    let young = jiff::Timestamp::now().to_string();
    let dead = strand(&cluster, "dead", "pod-dead", &[]);
    let alive = strand(&cluster, "alive", "pod-alive", &[]);
    let fresh = strand(&cluster, "fresh", "pod-dead-2", &[("updated_at", &young)]);
    let finished = strand(&cluster, "finished", "pod-dead-3", &[("status", "done")]);
    let leased = strand(&cluster, "leased", "pod-dead-4", &[]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "99999999999999", &leased]);
    let _: u32 = cluster.redis.ask(&[
        "LPUSH",
        "processing-segmentation:pod-dead-5",
        "segmentation:vanished:1",
    ]);

    let broken = ScriptedHttp::start(vec![answer("500 Internal Server Error", "", "")]).await;
    let variables = |api: &str| {
        [("QUEUES", "segmentation"), ("KUBERNETES_API", api)].map(|(a, b)| (a, b.to_owned()))
    };
    let janitor = |api: &str| {
        let variables = variables(api);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        cluster.run(&["janitor", "--once"], &variables)
    };
    let output = janitor(&broken.endpoint);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nothing is moved"),
        "{output:?}"
    );
    assert!(
        cluster.redis.list("segmentation").is_empty(),
        "an error is not an empty cluster"
    );

    let page = pods(&["another"]).replace(r#""continue":"""#, r#""continue":"more""#);
    let api = ScriptedHttp::start(vec![
        answer("200 OK", "", &page),
        answer("200 OK", "", &pods(&["pod-alive"])),
    ])
    .await;
    let output = janitor(&api.endpoint);
    assert_eq!(
        printed(&output),
        "1 requeued, 2 dropped, 3 left with their consumers\n",
        "{output:?}"
    );
    assert!(
        api.heads()[1].starts_with("GET /api/v1/pods?limit=500&continue=more "),
        "{:?}",
        api.heads()
    );
    assert_eq!(cluster.redis.list("segmentation"), [dead]);
    let lists = cluster
        .redis
        .keys("processing-*")
        .into_iter()
        .collect::<HashSet<_>>();
    let kept = ["pod-alive", "pod-dead-2", "pod-dead-4"]
        .map(|pod| format!("processing-segmentation:{pod}"));
    assert_eq!(lists, HashSet::from(kept));
    assert_eq!(cluster.redis.hash(&finished)["status"], "done");
    for key in [alive, fresh] {
        assert_eq!(cluster.redis.hash(&key)["status"], "predicting");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kubernetes_the_janitor_goes_by_leases() {
    let cluster = cluster().await;
    let python = strand(&cluster, "python", "pod-1", &[]);
    let ours = strand(
        &cluster,
        "ours",
        "pod-2",
        &[
            ("rc_owner", "processing-segmentation:pod-2"),
            ("rc_token", "t:1"),
        ],
    );
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "1", &ours]);
    let output = cluster.run(&["janitor", "--once"], &[("QUEUE", "segmentation")]);
    assert_eq!(
        printed(&output),
        "1 requeued, 0 dropped, 1 left with their consumers\n",
        "{output:?}"
    );
    assert_eq!(
        cluster.redis.list("segmentation"),
        std::slice::from_ref(&ours)
    );
    assert_eq!(cluster.redis.hash(&ours)["rc_crashes"], "1");
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-1"),
        [python]
    );

    let _: u32 = cluster.redis.ask(&["DEL", "segmentation"]);
    let stale = strand(
        &cluster,
        "stale",
        "pod-3",
        &[("rc_owner", "processing-segmentation:pod-3")],
    );
    let output = cluster.run(
        &["janitor", "--once"],
        &[("QUEUE", "segmentation"), ("STALE_TIME", "60")],
    );
    assert!(printed(&output).starts_with("1 requeued"), "{output:?}");
    assert_eq!(cluster.redis.list("segmentation"), [stale]);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_leaves_nothing_that_python_consumers_would_not_find() {
    let cluster = cluster().await;
    cluster.write_job("segmentation:later:1", NUCLEI, &FIELDS);
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        "99999999999999",
        "segmentation:later:1",
    ]);
    let output = cluster.run(&["promote-delayed"], &[("QUEUE", "segmentation")]);
    assert!(
        printed(&output)
            .contains("segmentation: 1 delayed and 0 waiting jobs are back in the queue"),
        "{output:?}"
    );
    assert_eq!(cluster.redis.list("segmentation"), ["segmentation:later:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_finds_what_is_wrong_and_mends_it() {
    let cluster = cluster().await;
    let good = cluster.submit(NUCLEI, &FIELDS);
    let output = cluster.run(&["fsck"], &[]);
    assert_eq!(
        (output.status.code(), printed(&output).as_str()),
        (Some(0), "clean\n")
    );

    cluster.write_job("segmentation:lost:1", NUCLEI, &[("status", "predicting")]);
    cluster.write_job(
        "segmentation:claimed:1",
        NUCLEI,
        &[("status", "done"), ("rc_token", "t:1")],
    );
    let over = strand(&cluster, "over", "pod-1", &[("status", "failed")]);
    let _: u32 = cluster.redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        "5",
        "segmentation:gone:1",
    ]);
    let forgotten = strand(
        &cluster,
        "forgotten",
        "pod-2",
        &[("rc_owner", "processing-segmentation:pod-2")],
    );
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:lease:segmentation", "5", &forgotten]);
    let _: u32 = cluster.redis.ask(&["HSET", "stub", "updated_at", OLD]);

    let output = cluster.run(&["fsck"], &[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    for line in [
        "I1 segmentation:lost:1: is predicting and in no list: it belongs to the queue `segmentation`",
        "I3 segmentation:claimed:1: is done and still claimed",
        &format!("I6 {over}: is over and still in `processing-segmentation:pod-1`"),
        "I6 segmentation:gone:1: is over and still in `rc:delayed:segmentation`",
        &format!("I5 {forgotten}: has a lease that expired more than a minute ago"),
        "I6 stub: has time stamps but no status (nobody's job)",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(&good));

    let output = cluster.run(&["fsck", "--repair"], &[]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "a stub is for a person to decide: {output:?}"
    );
    assert!(
        printed(&output).ends_with("6 found, 1 left\n"),
        "{output:?}"
    );
    let _: u32 = cluster.redis.ask(&["DEL", "stub"]);
    let output = cluster.run(&["fsck", "--json"], &[]);
    assert_eq!(
        (output.status.code(), printed(&output).as_str()),
        (Some(0), "")
    );
    let _pod = cluster.pod("pod-9").start();
    for key in [good.as_str(), "segmentation:lost:1", &forgotten] {
        cluster.wait_done(key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_repairs_by_the_ten_thousand_and_leaves_lists_of_others_alone() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let redis = &cluster.redis;
    let make = |script: &str| redis.ask::<Option<String>>(&["EVAL", script, "0"]);
    // Jobs without a place, entries without a job, and jobs that wait, all mixed.
    make(
        "for i = 1, 12000 do
            redis.call('LPUSH', 'segmentation', 'segmentation:expired:' .. i)
            if i % 4 == 0 then
                local job = 'segmentation:queued:' .. i
                redis.call('HSET', job, 'status', 'new', 'updated_at', 'x')
                redis.call('LPUSH', 'segmentation', job)
                redis.call('HSET', 'segmentation:lost:' .. i, 'status', 'started', 'updated_at', 'x')
            end
        end
        redis.call('ZADD', 'rc:workers:segmentation', 1, 'pod-1')",
    );
    let _: u32 = redis.ask(&["RPUSH", "celery", "{\"id\": 1}", "{\"id\": 2}"]);
    let _: u32 = redis.ask(&["RPUSH", "rc:trash:segmentation:1", "segmentation:gone:1"]);

    let output = cluster.run(&["fsck", "--repair"], &[]);
    let text = printed(&output);
    let end = text.lines().last().unwrap_or_default();
    assert_eq!(end, "15000 found, all repaired", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    let left: HashSet<String> = redis.list("segmentation").into_iter().collect();
    assert_eq!(
        left.len(),
        6000,
        "3,000 jobs that waited and 3,000 that were lost"
    );
    assert!(!left.iter().any(|job| job.contains("expired")));
    assert_eq!(redis.list("celery").len(), 2, "nobody's jobs");
    assert_eq!(redis.list("rc:trash:segmentation:1").len(), 1);
    assert_eq!(printed(&cluster.run(&["fsck"], &[])), "clean\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_of_the_queue_measures_and_leaves_nothing() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let output = cluster.run(&["bench", "queue", "--jobs", "2000", "--json"], &[]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        found["jobs_per_second"]
            .as_f64()
            .is_some_and(|rate| rate > 100.0),
        "{found}"
    );
    assert!(
        found["round_trips_per_job"]
            .as_f64()
            .is_some_and(|trips| trips < 2.2),
        "{found}"
    );
    assert!(
        cluster.redis.keys("*bench*").is_empty(),
        "{:?}",
        cluster.redis.keys("*bench*")
    );
}
