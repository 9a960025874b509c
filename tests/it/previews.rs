//! Previews of results and numbers of their quality (`PREVIEWS`), with the real program.

use std::collections::HashMap;

use bioimage::{Limits, encode_tiff};
use ndarray::Axis;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::peers::cluster::{Cluster, FIELDS, IMAGE, NUCLEI, PodSettings};
use crate::peers::redis::Redis;
use crate::peers::results::{cell_count, hex};
use crate::peers::synthetic_images::{movie, spots_and_cells};

/// Where the preview of a job lies.
fn preview_key(hash: &HashMap<String, String>) -> String {
    let result = &hash["output_file_name"];
    let name = result.strip_suffix(".zip").expect("an archive");
    format!("{name}.preview.png")
}

/// Rows and columns of the preview of a job; a picture that lists can show.
pub(crate) fn size_of_preview(cluster: &Cluster, hash: &HashMap<String, String>) -> (usize, usize) {
    let file = cluster.object(&preview_key(hash));
    assert!(file.len() <= 60_000, "{} bytes", file.len());
    let picture = bioimage::decode(&file, "preview.png", &Limits::default()).expect("a PNG");
    let (rows, columns) = (picture.shape()[0], picture.shape()[1]);
    assert!(rows.max(columns) <= 384);
    let first = picture.first().copied();
    assert!(
        picture.iter().any(|pixel| Some(*pixel) != first),
        "it shows something"
    );
    (rows, columns)
}

/// What a job's hash says of its quality.
pub(crate) fn quality(hash: &HashMap<String, String>) -> Value {
    let text = &hash["rc_quality"];
    assert!(text.len() <= 300, "{text}");
    serde_json::from_str(text).expect("JSON")
}

fn with_previews(pod: PodSettings) -> PodSettings {
    pod.set("PREVIEWS", "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_lies_beside_the_result_and_the_quality_comes_with_the_end() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let _pod = with_previews(cluster.pod("pod-1")).start();
    let monitor = cluster.redis.monitor();
    let hash = cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert_eq!(size_of_preview(&cluster, &hash), (360, 360));
    let quality = quality(&hash);
    let cells = cell_count(&cluster.result(&hash)[0].1);
    assert_eq!(quality["cells"], cells);
    assert!(
        quality["contrast"]
            .as_f64()
            .is_some_and(|contrast| contrast > 1.5),
        "{quality}"
    );
    assert!(
        quality["cover"]
            .as_f64()
            .is_some_and(|cover| (0.05..0.8).contains(&cover)),
        "{quality}"
    );
    assert_eq!(
        quality["sat"], 0.0,
        "the file's pixels have 8 bits, and none is 255"
    );
    let lines = monitor.lines(&cluster.redis);
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("rc_quality"))
        .collect();
    assert!(
        !told.is_empty() && told.iter().all(|line| line.contains("output_url")),
        "{told:#?}"
    );

    // A job that runs again has the same preview.
    let before = cluster.object(&preview_key(&hash));
    cluster.remove(&preview_key(&hash));
    let again = cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert_eq!(cluster.object(&preview_key(&again)), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_unless_previews_are_on() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let _pod = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    assert!(!hash.contains_key("rc_quality") && !cluster.has(&preview_key(&hash)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_cannot_be_stored_fails_no_job() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let key = cluster.submit(NUCLEI, &FIELDS);
    let digest = Sha256::digest(key.as_bytes());
    let id = hex(&digest[..16]);
    // A folder is where the object is to be.
    cluster.put(&format!("output/{id}.preview.png/x"), b"");
    let pod = with_previews(cluster.pod("pod-1"))
        .set("STORAGE_MAX_BACKOFF", "1")
        .start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["output_file_name"], format!("output/{id}.zip"));
    assert!(quality(&hash)["cells"].as_u64() > Some(10));
    let log = pod.log();
    assert!(log.contains("the preview could not be stored"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_jobs_have_previews_too() {
    let cluster = Cluster::open().await;
    let nuclei = bioimage::decode(IMAGE, NUCLEI, &Limits::default()).expect("a picture");
    let gray = nuclei.slice_axis(Axis(2), (0..1).into());
    cluster.put("uploads/gray.tif", &encode_tiff(gray));
    let _pod = with_previews(cluster.pod("pod-1")).start();
    let fields = [
        ("channels", ""),
        ("dimension_order", ""),
        ("model_name", "NuclearSegmentation"),
        ("model_version", "6"),
        ("preprocess_function", "normalize"),
        ("postprocess_function", "deep_watershed"),
    ];
    let hash = cluster.wait_done(&cluster.submit("uploads/gray.tif", &fields));
    assert_eq!(size_of_preview(&cluster, &hash), (360, 360));
    assert!(quality(&hash)["cells"].as_u64() > Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_show_their_first_frame_and_spots_their_disks() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &movie(3));
    cluster.put("uploads/spots.tif", &spots_and_cells(1));
    let pod = |kind: &str| {
        let pod = with_previews(cluster.pod(&format!("pod-{kind}")));
        pod.set("CONSUMER_TYPE", kind).set("QUEUE", kind)
    };
    let _track = pod("tracking")
        .set("SEGMENTATION_QUEUE", "segmentation")
        .start();
    let _spots = pod("spot").set("POLARIS_THRESHOLD", "0.2").start();
    let _images = cluster.pod("pod-1").start();
    let movie = cluster.wait_done(&cluster.submit_to("tracking", "uploads/movie.tif", &[]));
    assert_eq!(size_of_preview(&cluster, &movie), (96, 96));
    assert!(quality(&movie)["cells"].as_u64() > Some(0));
    let spots =
        cluster.wait_done(&cluster.submit_to("spot", "uploads/spots.tif", &[("channels", "")]));
    size_of_preview(&cluster, &spots);
    assert!(
        !spots.contains_key("rc_quality"),
        "there are no cells to judge"
    );
}
