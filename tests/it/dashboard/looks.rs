//! What is seen of a job: its picture.

use bioimage::{Limits, encode_tiff};
use ndarray::{Array2, ArrayD, Axis};

use super::pages::visitor;
use super::{empty, encoded};
use crate::peers::browser::Dashboard;
use crate::peers::cluster::Cluster;
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

fn job(cluster: &Cluster, key: &str, fields: &[(&str, &str)]) -> String {
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
    let path = body.split_once("src=\"").expect("a picture").1;
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
    assert_eq!(plain.ndim(), 2, "the input is gray: {:?}", plain.shape());
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
    for path in ["preview.png"] {
        let path = format!("{page}/{path}");
        assert_eq!(nobody.get_bytes(&path).status, 401, "{path}");
        assert_eq!(viewer.get_bytes(&path).status, 200, "{path}");
    }
}
