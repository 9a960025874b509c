//! What is seen of a job: its picture, its quality, and its cells.

use bioimage::{Limits, encode_tiff};
use cell_analysis::regions::{CellColumns, CellRows, CellTable, measure_regions};
use ndarray::{Array2, ArrayD, Axis};

use super::pages::visitor;
use super::{empty, encoded};
use crate::peers::browser::{Dashboard, unescaped};
use crate::peers::chromium::Chromium;
use crate::peers::cluster::{Cluster, IMAGE};
use crate::peers::results::zipped;

const KEY: &str = "segmentation:seen:1";
const INPUT: &str = "uploads/field.tif";
const RESULT: &str = "output/field.zip";

/// Rows and columns of the image.
const SHAPE: (usize, usize) = (60, 80);

/// Two channels, `[channel, row, column]`: a bright square on something uneven, and a slope.
fn image() -> ArrayD<f32> {
    let light = |at: &[usize]| match (at[0], at[1], at[2]) {
        (0, 20..40, 30..50) => 200.0 + at[1] as f32,
        (0, row, column) => ((row * 7 + column * 3) % 11) as f32,
        (_, row, column) => (row + column) as f32,
    };
    ArrayD::from_shape_fn(vec![2, SHAPE.0, SHAPE.1], |at| {
        light(&[at[0], at[1], at[2]])
    })
}

/// The square, and a cell at the border.
fn cells() -> Array2<f32> {
    Array2::from_shape_fn(SHAPE, |at| match at {
        (20..40, 30..50) => 7.0,
        (0..5, 0..9) => 2.0,
        _ => 0.0,
    })
}

pub(super) fn job(cluster: &Cluster, key: &str, fields: &[(&str, &str)]) -> String {
    for (name, value) in fields {
        let _: i64 = cluster.redis.ask(&["HSET", key, name, value]);
    }
    format!("/jobs/{}", encoded(key.as_bytes()))
}

/// A job that is done, and its files.
fn furnish(cluster: &Cluster) -> String {
    cluster.put(INPUT, &encode_tiff(image().view()));
    let labels = encode_tiff(cells().view().into_dyn());
    let entries = [("field_feature_0.tif".to_owned(), labels)];
    cluster.put(RESULT, &zipped(entries));
    let fields = [
        ("status", "done"),
        ("input_file_name", INPUT),
        ("output_file_name", RESULT),
        ("channels", "0"),
        ("finished_at", "2026-01-01T00:00:00.000000+00:00"),
    ];
    job(cluster, KEY, &fields)
}

/// The picture, `[row, column, channel]`, which shows something.
fn picture(file: &[u8]) -> ArrayD<f32> {
    let picture = bioimage::decode(file, "preview.png", &Limits::default()).expect("a PNG");
    let first = picture.first().copied();
    assert!(picture.iter().any(|value| Some(*value) != first));
    picture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_made_of_input_and_labels() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let body = browser.get(&page).body;
    let path = body.split_once("<img class=\"preview\" src=\"");
    let path = path.expect("a picture").1;
    let path = path.split_once('"').expect("its end").0.to_owned();
    assert!(
        path.starts_with(&format!("{page}/preview.png?v=")),
        "{path}"
    );
    assert!(
        body.contains("alt=\"uploads/field.tif, with what was found in it\""),
        "{body}"
    );

    let before = cluster.redis.dump();
    let answer = browser.get_bytes(&path);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "image/png");
    assert_eq!(
        answer.headers["cache-control"],
        "private, max-age=86400, immutable"
    );
    let outlined = picture(&answer.body);
    assert_eq!(outlined.shape()[..2], [SHAPE.0, SHAPE.1]);
    let tag = &answer.headers["etag"];
    let known = browser.clone().with("if-none-match", tag);
    assert_eq!(known.get_bytes(&path).status, 304);
    assert_eq!(cluster.redis.dump(), before, "looking changes nothing");

    // Of a job that has failed, the input alone is shown.
    let failed = [
        ("status", "failed"),
        ("input_file_name", INPUT),
        ("channels", "0"),
        ("output_file_name", RESULT),
    ];
    let failed = job(&cluster, "segmentation:bad:1", &failed);
    let plain = browser.get_bytes(&format!("{failed}/preview.png"));
    let plain = picture(&plain.body);
    assert_eq!(plain.shape()[..2], outlined.shape()[..2]);
    assert_ne!(plain, outlined);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_stored_is_shown() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let stored = cell_picture();
    cluster.put(&preview_key(KEY), &stored);
    let dashboard = Dashboard::start(&cluster, &[]);
    let answer = dashboard
        .browser()
        .get_bytes(&format!("{page}/preview.png"));
    assert_eq!((answer.status, answer.body == stored), (200, true));
    // What is no picture is not handed on.
    cluster.put(
        &preview_key("segmentation:seen:2"),
        b"<script>alert(1)</script>",
    );
    let fields = [
        ("status", "done"),
        ("input_file_name", INPUT),
        ("output_file_name", RESULT),
    ];
    let other = job(&cluster, "segmentation:seen:2", &fields);
    let answer = dashboard
        .browser()
        .get_bytes(&format!("{other}/preview.png"));
    assert_eq!(answer.status, 200);
    picture(&answer.body);
}

/// Any picture.
fn cell_picture() -> Vec<u8> {
    let image = image();
    let channel = image.index_axis(Axis(0), 1);
    let channel = channel.into_dimensionality().expect("two axes");
    cell_pictures::Thumbnail::new(&[channel])
        .expect("pixels")
        .preview()
}

fn preview_key(job: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(job.as_bytes());
    format!(
        "output/{}.preview.png",
        crate::peers::results::hex(&digest[..16])
    )
}

/// The table of the job's cells as it is computed from the label image in its result.
fn expected_csv(cluster: &Cluster) -> String {
    let entries = crate::peers::results::unzipped(cluster.object(RESULT));
    let labels = crate::peers::results::labels(&entries[0].1).mapv(|label| label as u32);
    let labels = labels.into_dimensionality().expect("two axes");
    let image = image();
    let channels = image.axis_iter(Axis(0));
    let channels: Vec<_> = channels
        .map(|channel| channel.into_dimensionality().expect("two axes"))
        .collect();
    let regions = measure_regions(labels.view(), &channels);
    let columns = CellColumns {
        channels: vec!["channel_0".to_owned(), "channel_1".to_owned()],
        ..CellColumns::default()
    };
    let mut table = CellTable::begin(Vec::new(), columns).expect("memory takes all");
    let rows = CellRows {
        item: "",
        frame: 0,
        tracks: &[],
        pixel_area_um2: None,
        regions: &regions,
    };
    table.add(&rows).expect("memory takes all");
    String::from_utf8(table.into_inner()).expect("text")
}

/// What a file says that was sent in pieces.
pub(super) fn unchunked(answer: &crate::peers::browser::Answer<Vec<u8>>) -> String {
    let text = String::from_utf8(answer.body.clone()).expect("text");
    if answer.headers.get("transfer-encoding").map(String::as_str) != Some("chunked") {
        return text;
    }
    let (mut rest, mut whole) = (text.as_str(), String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            break;
        }
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_are_those_of_the_label_image() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let body = browser.get(&page).body;
    assert!(
        body.contains(&format!("href=\"{page}/cells.csv\"")),
        "{body}"
    );
    let answer = browser.get_bytes(&format!("{page}/cells.csv"));
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let expected = expected_csv(&cluster);
    assert_eq!(unchunked(&answer), expected);
    assert_eq!(expected.lines().count(), 3);

    let cells = |query: &str| {
        let page = browser.get(&format!("{page}/cells{query}"));
        assert_eq!(page.status, 200, "{}", page.body);
        let labels = page.body.split("<tr id=\"cell=0.0.").skip(1);
        let labels = labels.map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
        labels.collect::<Vec<_>>()
    };
    assert_eq!(cells(""), ["2", "7"]);
    assert_eq!(cells("?sort=area&order=down"), ["7", "2"]);
    assert_eq!(cells("?sort=channel1&order=up"), ["2", "7"]);
    assert_eq!(cells("?sort=%3Cimg%3E&from=x"), ["2", "7"]);
    assert_eq!(cells("?from=50"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_results_of_strangers_do_nothing() {
    let cluster = empty().await;
    cluster.put(INPUT, &encode_tiff(image().view()));
    let labels = encode_tiff(cells().view().into_dyn());
    let hostile = "=cmd|' /C calc'!A0<img src=x onerror=alert(1)>\",\r\n\u{1b}[2J";
    let names = [
        format!("{hostile}_feature_0.tif"),
        "b_feature_1.tif".to_owned(),
    ];
    cluster.put(RESULT, &zipped(names.map(|name| (name, labels.clone()))));
    let fields = [
        ("status", "done"),
        ("input_file_name", INPUT),
        ("output_file_name", RESULT),
    ];
    let page = job(&cluster, KEY, &fields);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let csv = unchunked(&browser.get_bytes(&format!("{page}/cells.csv")));
    assert_eq!(csv.matches("\r\n").count(), 5, "{csv}");
    assert!(csv.starts_with("item,label,"), "{csv}");
    let row = csv.lines().nth(1).expect("a cell");
    assert!(
        row.starts_with("\"'=cmd|") && !csv.contains('\u{1b}'),
        "{csv}"
    );
    let table = browser.get(&format!("{page}/cells")).body;
    assert!(
        table.contains("&#60;img src=x onerror=alert(1)&#62;"),
        "{table}"
    );
    assert!(
        table.matches("<img").count() == 1 && !table.contains('\u{1b}'),
        "{table}"
    );

    // The name of an input stands in the picture's words.
    let input = "uploads/\"><img src=x onerror=alert(1)>.tif";
    let page = job(
        &cluster,
        "segmentation:bad:9",
        &[("status", "failed"), ("input_file_name", input)],
    );
    let body = browser.get(&page).body;
    assert_eq!(body.matches("<img").count(), 1, "{body}");
    assert!(!body.contains("\"><img"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_measured_says_why() {
    let cluster = empty().await;
    furnish(&cluster);
    let other = encode_tiff(Array2::<f32>::ones((60, 79)).view().into_dyn());
    let noise = encode_tiff(Array2::from_elem(SHAPE, 0.5_f32).view().into_dyn());
    for (name, entries, why) in [
        ("other", vec![("a_feature_0.tif", other)], "(60, 79)"),
        (
            "noise",
            vec![("a_feature_0.tif", noise)],
            "something else than labels",
        ),
        (
            "none",
            vec![("a.csv", b"x".to_vec())],
            "no images of labels",
        ),
    ] {
        let result = format!("output/{name}.zip");
        let entries = entries
            .into_iter()
            .map(|(path, file)| (path.to_owned(), file));
        cluster.put(&result, &zipped(entries));
        let fields = [
            ("status", "done"),
            ("input_file_name", INPUT),
            ("output_file_name", &result),
        ];
        let page = job(&cluster, name, &fields);
        let dashboard = Dashboard::start(&cluster, &[]);
        for path in ["cells", "cells.csv"] {
            let answer = dashboard.browser().get(&format!("{page}/{path}"));
            assert_eq!(answer.status, 404, "{name}");
            assert!(answer.body.contains(why), "{name}: {}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quality_is_told_in_words() {
    let cluster = empty().await;
    let quality = r#"{"cells":43,"area":[5,90,300],"cover":0.31,"border":0.6,"tiny":2,"contrast":1.2,"sat":0.001}"#;
    let fields = [
        ("status", "done"),
        ("input_file_name", "uploads/a.zip"),
        ("rc_quality", quality),
    ];
    let page = job(&cluster, KEY, &fields);
    let dashboard = Dashboard::start(&cluster, &[("QUALITY_FLAGS", "cut=0.7")]);
    let body = dashboard.browser().get(&page).body;
    for text in ["43 cells", "31.0 %", "low contrast: 1.2", "never “wrong”"] {
        assert!(body.contains(text), "{text}: {body}");
    }
    assert!(!body.contains("cut cells"), "{body}");
    assert!(
        dashboard
            .browser()
            .get("/help")
            .body
            .contains("never “wrong”")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_picture_the_page_is_whole() {
    let cluster = empty().await;
    let huge = encode_tiff(ArrayD::<f32>::zeros(vec![200, 300]).view());
    cluster.put("uploads/huge.tif", &huge);
    cluster.put("uploads/broken.tif", b"II*\0 nothing");
    let dashboard = Dashboard::start(&cluster, &[("MAX_PREVIEW_PIXELS", "10000")]);
    let browser = dashboard.browser();
    for (name, why) in [
        ("uploads/gone.tif", "no picture can be made"),
        ("uploads/broken.tif", "no picture can be made"),
        ("uploads/huge.tif", "MAX_PREVIEW_PIXELS"),
        ("uploads/../../etc/x.tif", "no picture can be made"),
    ] {
        let page = job(
            &cluster,
            name,
            &[("status", "failed"), ("input_file_name", name)],
        );
        let whole = browser.get(&page);
        assert_eq!(whole.status, 200, "{name}");
        assert!(
            whole.body.contains("<img class=\"preview\"") && whole.body.contains("</html>"),
            "{}",
            whole.body
        );
        let answer = browser.get(&format!("{page}/preview.png"));
        assert_eq!(answer.status, 404, "{name}: {}", answer.body);
        assert!(answer.body.contains(why), "{name}: {}", answer.body);
    }
    assert!(dashboard.pod.log().contains("no picture can be made"));
    let archive = job(
        &cluster,
        "a.zip",
        &[("status", "failed"), ("input_file_name", "uploads/a.zip")],
    );
    assert!(!browser.get(&archive).body.contains("<img"));
    assert_eq!(browser.get(&format!("{archive}/preview.png")).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_shows_the_input_of_its_example_when_it_is_looked_at() {
    let cluster = empty().await;
    cluster.put("uploads/b.png", IMAGE);
    for (key, input, why) in [
        ("q:image", "uploads/b.png", "ValueError: a"),
        ("q:archive", "uploads/b.zip", "ValueError: b"),
    ] {
        let fields = [
            ("status", "failed"),
            ("reason", why),
            ("input_file_name", input),
        ];
        let fields = fields.iter().flat_map(|(name, value)| [*name, *value]);
        let command: Vec<_> = ["HSET", key].into_iter().chain(fields).collect();
        let _: u32 = cluster.redis.ask(&command);
        let _: u32 = cluster
            .redis
            .ask(&["ZADD", "rc:failed:q", "1790000000000", key]);
    }
    let _: u32 = cluster.redis.ask(&["SADD", "rc:queues", "q"]);
    let dashboard = Dashboard::start(&cluster, &[]);
    let page = dashboard.browser().get("/failed").body;
    let pictures: Vec<_> = page.split("<img ").skip(1).collect();
    assert_eq!(pictures.len(), 1, "an archive has none: {page}");
    assert!(pictures[0].contains("loading=\"lazy\""), "{}", pictures[0]);
    let address = pictures[0].split("src=\"").nth(1).expect("an address");
    let address = unescaped(address.split('"').next().expect("its end"));
    let of_job = format!("/jobs/{}/preview.png?list=yes&v=", encoded(b"q:image"));
    assert!(address.starts_with(&of_job), "{address}");
    let picture = dashboard.browser().get_bytes(&address);
    assert_eq!(
        (picture.status, &*picture.headers["content-type"]),
        (200, "image/png")
    );
    let archive = format!("/jobs/{}/preview.png", encoded(b"q:archive"));
    let statuses = ["?list=yes", ""].map(|it| {
        let answer = dashboard.browser().get(&format!("{archive}{it}"));
        answer.status
    });
    assert_eq!(statuses, [204, 404], "browsers complain of 404");
    let without = Dashboard::start(&cluster, &[("STORAGE_BUCKET", "")]);
    assert!(!without.browser().get("/failed").body.contains("<img"));
    // What cannot be shown leaves no frame.
    let chromium = Chromium::start().await;
    let address = format!("http://127.0.0.1:{}/failed", dashboard.port);
    let tab = chromium.open(&address).await;
    tab.until("document.images[0]?.naturalWidth > 0").await;
    cluster.put("uploads/b.png", b"no image");
    let _: u32 = cluster
        .redis
        .ask(&["HSET", "q:image", "finished_at", "2026-11-28T13:00:00Z"]);
    let _: u32 = cluster
        .redis
        .ask(&["ZADD", "rc:failed:q", "1790000009000", "q:image"]);
    tab.visit(&address).await;
    tab.until("document.readyState === 'complete' && document.images.length === 0")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bucket_pages_say_what_pictures_need() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[("STORAGE_BUCKET", "")]);
    let browser = dashboard.browser();
    let answer = browser.get(&page);
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("set STORAGE_BUCKET") && !answer.body.contains("<img"),
        "{}",
        answer.body
    );
    assert_eq!(browser.get(&format!("{page}/preview.png")).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_may_look_and_nobody_may_not() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let (operator, viewer) = ("0123456789-operator-token", "0123456789-viewers-token");
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", operator),
        ("DASHBOARD_VIEW_TOKEN", viewer),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let viewer = nobody.clone().log_in(viewer);
    for path in ["preview.png", "cells", "cells.csv"] {
        let path = format!("{page}/{path}");
        assert_eq!(nobody.get_bytes(&path).status, 401, "{path}");
        assert_eq!(viewer.get_bytes(&path).status, 200, "{path}");
    }
}

/// A batch of five images, the third of which has far more cells.
const PLAN: &str = r#"
plan: 1
name: plates
stages:
  - name: cells
    queue: segmentation
    items: {range: {n: 5}}
    input: "uploads/field.tif"
    fields: {n: "{{ n }}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_shows_what_should_be_looked_at_first() {
    let cluster = empty().await;
    furnish(&cluster);
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).expect("a file");
    let plan = plan.to_str().expect("a path");
    crate::operators::run(&cluster, 0, &["submit", "--plan", plan]);
    let jobs = cluster.redis.list("segmentation");
    assert_eq!(jobs.len(), 5, "{jobs:?}");
    let mut jobs: Vec<_> = jobs.into_iter().collect();
    jobs.sort();
    for (at, key) in jobs.iter().enumerate() {
        let cells = [50, 52, 400, 51, 60][at];
        let quality = format!("{{\"cells\":{cells},\"contrast\":5.0}}");
        let fields = [
            ("status", "done"),
            ("output_file_name", RESULT),
            ("rc_quality", &quality),
        ];
        job(&cluster, key, &fields);
        let _: i64 = cluster
            .redis
            .ask(&["SETBIT", "rc:batch:plates:0:done", &at.to_string(), "1"]);
    }
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let page = browser.get("/batches/plates").body;
    let sheet = page
        .split_once("class=\"sheet\"")
        .unwrap_or_else(|| panic!("{page}"))
        .1;
    let found: Vec<u32> = sheet
        .split("<br>")
        .filter_map(|part| part.split_once(" cells")?.0.parse().ok())
        .collect();
    assert_eq!(found, [400, 60, 50, 51, 52], "{sheet}");
    assert!(sheet.contains("very many cells: 400"), "{sheet}");
    let path = sheet.split_once("src=\"").expect("a picture").1;
    let path = path.split_once('"').expect("its end").0;
    picture(&browser.get_bytes(path).body);
}
