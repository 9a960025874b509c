//! Files that pages hand out: the same as those of commands, and as the parts that they are made of.

use bioimage::encode_tiff;
use ndarray::{Array2, ArrayD};

use super::actions::Twins;
use super::batches::{submit, with_batch};
use super::{empty, encoded};
use crate::peers::browser::{Browser, Dashboard};
use crate::peers::cluster::Cluster;
use crate::peers::results::zipped;

/// What a command prints.
fn printed(cluster: &Cluster, arguments: &[&str]) -> String {
    crate::operators::run(cluster, 0, arguments)
}

/// A file, and what it is called.
fn file(browser: &Browser, path: &str) -> (String, String) {
    let answer = browser.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    (
        body(&answer.body),
        answer.headers["content-disposition"].clone(),
    )
}

/// What came in pieces, as one.
fn body(text: &str) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else {
            return text.to_owned();
        };
        whole.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
        if length == 0 {
            return whole;
        }
    }
    text.to_owned()
}

/// Without the time at which it was saved.
fn without_time(text: &str) -> String {
    let stamp = regex::Regex::new("\"saved_at\":\"[^\"]*\"").expect("a pattern");
    stamp.replace(text, "").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_saved_as_the_command_does_it_and_comes_back() {
    let twins = Twins::new().await;
    let before = twins.page.redis.dump();
    for (query, with) in [
        ("", &[][..]),
        (
            "?with=failed,delayed,parked",
            &["--with", "failed,delayed,parked"],
        ),
        ("?with=failed&with=parked", &["--with", "failed,parked"]),
    ] {
        let path = format!("/queues/segmentation/save{query}");
        let (saved, name) = file(&twins.browser, &path);
        assert_eq!(name, "attachment; filename*=UTF-8''segmentation%2Ejsonl");
        let command = [&["queue", "save", "segmentation", "-"][..], with].concat();
        let expected = printed(&twins.page, &command);
        assert_eq!(without_time(&saved), without_time(&expected), "{query}");
    }
    let (saved, _) = file(&twins.browser, "/queues/segmentation/save");
    assert_eq!(saved.lines().count(), 4, "{saved}");
    assert_eq!(twins.page.redis.dump(), before);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("saved.jsonl");
    std::fs::write(&path, saved).expect("a file");
    let path = path.to_str().expect("a path");
    let other = empty().await;
    printed(&other, &["queue", "restore", path, "--yes"]);
    assert_eq!(
        other.redis.list("segmentation"),
        twins.page.redis.list("segmentation")
    );
    for (path, status) in [
        ("/queues/none/save", 404),
        ("/queues/segmentation/save?with=odd", 400),
    ] {
        assert_eq!(twins.browser.get(path).status, status, "{path}");
    }
    let page = twins.browser.get("/queues/segmentation").body;
    assert!(
        page.contains("/queues/segmentation/save\" download"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_those_that_the_command_prints() {
    let twins = Twins::new().await;
    for (query, of) in [
        ("", &[][..]),
        (
            "?queue=segmentation&why=ValueError",
            &["--queue", "segmentation", "--why", "ValueError"],
        ),
        ("?queue=tracking", &["--queue", "tracking"]),
    ] {
        let (found, name) = file(&twins.browser, &format!("/failed.jsonl{query}"));
        assert_eq!(name, "attachment; filename*=UTF-8''failed%2Ejsonl");
        let command = [&["failed", "--json"][..], of].concat();
        assert_eq!(found, printed(&twins.page, &command), "{query}");
    }
    let page = twins
        .browser
        .get("/failed?queue=segmentation&why=ValueError")
        .body;
    let link = "/failed.jsonl?queue=segmentation&#38;why=ValueError\" download";
    assert!(page.contains(link), "{page}");
}

/// A batch of six images, which Redis remembers in different ways.
const PLAN: &str = r#"
plan: 1
name: plate
stages:
  - name: seg
    queue: segmentation
    items: {list: [a, b, c, d, e, f]}
    input: "uploads/{{ item }}.tif"
    fields: {label: "{{ item }}"}
"#;

/// The job of an item, done with this result.
fn end(cluster: &Cluster, item: &str, more: &[(&str, &str)]) -> String {
    let keys = cluster.redis.list("segmentation").into_iter();
    let key = keys
        .into_iter()
        .find(|key| {
            cluster
                .redis
                .hash(key)
                .get("label")
                .is_some_and(|it| it == item)
        })
        .expect("a job of the item");
    let output = format!("output/{item}.zip");
    let done = [("status", "done"), ("output_file_name", output.as_str())];
    for (name, value) in done.iter().chain(more) {
        let _: i64 = cluster.redis.ask(&["HSET", &key, name, value]);
    }
    key
}

/// Says that all six items are done.
fn mark_all(cluster: &Cluster) {
    for item in 0..6 {
        let item = item.to_string();
        let _: i64 = cluster
            .redis
            .ask(&["SETBIT", "rc:batch:plate:0:done", &item, "1"]);
        let _: i64 = cluster
            .redis
            .ask(&["SETBIT", "rc:batch:plate:0:out", &item, "0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_of_a_batch_are_those_of_its_items_and_no_item_is_lost() {
    let cluster = empty().await;
    submit(&cluster, PLAN);
    let image = |channels: usize| {
        let light = ArrayD::from_shape_fn(vec![channels, 20, 30], |at| {
            (at[0] * 100 + at[1] + at[2]) as f32
        });
        encode_tiff(light.view())
    };
    let labels = Array2::from_shape_fn((20, 30), |(row, column)| {
        f32::from(u8::from(row < 5 && column < 6)) * 3.0 + f32::from(u8::from(row > 12)) * 4.0
    });
    let result = zipped([(
        "x_feature_0.tif".to_owned(),
        encode_tiff(labels.view().into_dyn()),
    )]);
    for (item, channels) in [("b", 2), ("c", 3), ("d", 2), ("e", 2)] {
        cluster.put(&format!("uploads/{item}.tif"), &image(channels));
        cluster.put(&format!("output/{item}.zip"), &result);
    }
    cluster.put("uploads/a.tif", b"no image");
    cluster.put("output/a.zip", &result);
    let keys = ["a", "b", "c", "d", "e"].map(|item| end(&cluster, item, &[("x_score", item)]));
    let gone = end(&cluster, "f", &[]);
    let _: i64 = cluster.redis.ask(&["DEL", &gone]);
    mark_all(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let (csv, name) = file(&browser, "/batches/plate/cells.csv");
    assert_eq!(name, "attachment; filename*=UTF-8''plate%2Dcells%2Ecsv");
    let own = body(
        &browser
            .get(&format!("/jobs/{}/cells.csv", encoded(keys[1].as_bytes())))
            .body,
    );
    let mut own = own.lines();
    let names = format!("item,{},note", own.next().expect("names"));
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), 2, "{own:?}");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some(names.as_str()));
    let lines: Vec<_> = lines.collect();
    let of = |item: &str| {
        let begin = format!("{item},");
        let lines = lines.iter().filter(|line| line.starts_with(&begin));
        lines.copied().collect::<Vec<_>>()
    };
    for item in ["b", "d", "e"] {
        let expected: Vec<_> = own.iter().map(|line| format!("{item},{line},")).collect();
        assert_eq!(of(item), expected);
    }
    for (item, why) in [
        ("a", ""),
        ("c", "3 channels"),
        ("f", "Redis has forgotten its job"),
    ] {
        let lines = of(item);
        assert_eq!(lines.len(), 1, "{item}: {lines:?}");
        let fields = lines[0].split(',').count();
        assert!(fields >= names.split(',').count(), "{item}: {lines:?}");
        assert!(lines[0].contains(why), "{item}: {lines:?}");
    }
    assert_eq!(lines.len(), 9, "{csv}");
    assert_eq!(browser.get("/batches/none/cells.csv").status, 404);
    // What items say of themselves is on the page of the batch.
    let page = browser.get("/batches/plate").body;
    assert!(page.contains("<th scope=\"col\">score</th>"), "{page}");
    assert!(page.contains("<td data-label=\"score\">d</td>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_shown_by_flag() {
    let cluster = empty().await;
    submit(&cluster, PLAN);
    let quality = |cells: usize, sat: f64| {
        format!(
            "{{\"cells\":{cells},\"area\":[1,2,3],\"cover\":0.3,\"largest\":0.01,\"border\":0.1,\"tiny\":0,\"huge\":0,\"contrast\":5.0,\"sat\":{sat},\"focus\":0.4}}"
        )
    };
    for item in ["a", "b", "c", "d", "e", "f"] {
        let sat = if "ab".contains(item) { 0.5 } else { 0.0 };
        end(&cluster, item, &[("rc_quality", &quality(40, sat))]);
    }
    mark_all(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let page = |query: &str| {
        dashboard
            .browser()
            .get(&format!("/batches/plate{query}"))
            .body
    };
    let pictures = |page: &str| page.matches("<img class=\"preview\"").count();
    let all = page("");
    assert_eq!(pictures(&all), 6, "{all}");
    assert!(
        all.contains("?flag=saturated#sheet\">saturated (2)</a>"),
        "{all}"
    );
    let some = page("?flag=saturated");
    assert_eq!(pictures(&some), 2, "{some}");
    assert_eq!(pictures(&page("?flag=%3Codd%3E")), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_changed_and_batches_repaired_as_the_commands_do_it() {
    let twins = with_batch().await;
    let stage = [("stage", "first")];
    let change = [("change", "limit.at_once=7")];
    let (asked, done) = twins.act("/batches/night/set", &stage, &change);
    assert!(
        asked.command().ends_with("--stage first 'PATH=VALUE'"),
        "{}",
        asked.command()
    );
    assert!(done.body.contains("night: changed"), "{}", done.body);
    for change in ["queue=other", "limit.at_once=x", "odd", "name=a"] {
        let fields = [("stage", "first"), ("change", change), ("confirmed", "yes")];
        let answer = twins.browser.post("/batches/night/set", &fields);
        assert_eq!(answer.status, 400, "{change}: {}", answer.body);
    }
    let page = twins.browser.get("/batches/night").body;
    assert!(
        page.contains("aria-label=\"second begins when first has ended\""),
        "{page}"
    );
}

/// Items that leave something in the bucket, gathered by twos.
const EXPECTING: &str = r#"
plan: 1
name: pairs
stages:
  - name: low
    queue: segmentation
    items: {range: {x: 8}}
    fields: {x: "{{ x }}"}
    expect: ["made/{{ x }}.txt"]
  - name: high
    queue: tracking
    after: {stage: low, group: {x: 2}}
    fields: {x: "{{ x }}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_a_report_first_and_blocked_items_say_what_they_wait_for() {
    let twins = Twins::new().await;
    for cluster in [&twins.page, &twins.shell] {
        submit(cluster, EXPECTING);
        for item in ["0", "2", "3"] {
            cluster.put(&format!("made/{item}.txt"), b"made");
        }
        let bit = |mark: &str, item: &str, value: &str| {
            let key = format!("rc:batch:pairs:0:{mark}");
            let _: i64 = cluster.redis.ask(&["SETBIT", &key, item, value]);
        };
        // 0 and 1 are done, but nothing is there of 1; 5 has failed; 2 and 3 are there, and nobody knows.
        for (item, mark) in [("0", "done"), ("1", "done"), ("5", "failed")] {
            bit("out", item, "0");
            bit(mark, item, "1");
        }
        let counts = ["HINCRBY", "rc:batch:pairs", "0:out", "-3"];
        let _: i64 = cluster.redis.ask(&counts);
        let _: i64 = cluster
            .redis
            .ask(&["HSET", "rc:batch:pairs", "0:done", "2", "0:failed", "1"]);
    }
    let page = twins.browser.get("/batches/pairs").body;
    assert!(
        page.contains(">low 5</a>") && page.contains("Blocked</h2>"),
        "{page}"
    );
    let (asked, done) = twins.act("/batches/pairs/repair", &[], &[]);
    assert!(
        asked.body.contains("to be worked again: low 1"),
        "{}",
        asked.body
    );
    assert!(
        asked
            .body
            .contains("low: of 8 items outputs of 3 are there"),
        "{}",
        asked.body
    );
    assert!(done.body.contains("done"), "{}", done.body);
    let (_, done) = twins.act(
        "/batches/pairs/repair",
        &[],
        &[("adopt", "yes"), ("failed", "yes")],
    );
    assert!(
        done.body.contains("to be worked again: low 1"),
        "{}",
        done.body
    );
}
