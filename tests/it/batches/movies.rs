//! Plan (c) of the documents: images of movies are segmented, and the movies tracked when their frames are there.

use std::fs;

use crate::operators::run;
use crate::peers::cluster::{Cluster, eventually};

const PLAN: &str = r#"
plan: 1
name: movies
stages:
  - name: seg
    queue: segmentation
    items: {objects: {prefix: "frames/", match: "*/t*.tif", capture: '(?P<movie>[^/]+)/t(?P<t>\d+)\.tif$'}}
    fields: {channels: "0,", dimension_order: XY, scale: "1"}
    on_failure: go_on
  - name: track
    queue: tracking
    after: {stage: seg, group: "{{ movie }}"}
    manifest: true
    sort: "{{ t | int }}"
    fields: {original_name: "{{ group }}.tif"}
"#;

/// A bright square that moves.
fn frame(t: usize) -> Vec<u8> {
    let pixels = ndarray::Array2::from_shape_fn((64, 64), |(row, column)| {
        let is_inside = row.abs_diff(20 + t) < 8 && column.abs_diff(30) < 8;
        if is_inside { 200.0_f32 } else { 20.0 }
    });
    bioimage::encode_tiff(pixels.view().into_dyn())
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_are_tracked_when_their_frames_are_segmented() {
    let cluster = Cluster::with_models_of_children().await;
    for movie in ["m1", "m2"] {
        for t in [1, 2, 10] {
            cluster.put(&format!("frames/{movie}/t{t}.tif"), &frame(t));
        }
    }
    // One frame of the second movie cannot be read.
    cluster.put("frames/m2/t3.tif", b"no image");
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("plan.yaml");
    fs::write(&plan, PLAN).expect("a file");
    let said = run(
        &cluster,
        0,
        &["submit", "--plan", plan.to_str().expect("a path")],
    );
    assert!(said.contains("batch movies: 9 items in 2 stages"), "{said}");
    let _seg = cluster.pod("seg-1").start();
    let _track = cluster
        .pod("track-1")
        .set("QUEUE", "tracking")
        .set("CONSUMER_TYPE", "tracking")
        .set("MAX_GAPS", "1")
        .start();
    eventually("the batch has finished", || {
        let batch = cluster.redis.hash("rc:batch:movies");
        batch.get("state").is_some_and(|state| state == "finished")
    });
    let batch = cluster.redis.hash("rc:batch:movies");
    assert_eq!(
        (batch["0:done"].as_str(), batch["0:failed"].as_str()),
        ("6", "1")
    );
    assert_eq!(batch["1:done"], "2");
    let manifest = cluster.object("plans/movies/track/m/m2.json");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let items = manifest["items"].as_array().expect("items");
    let inputs: Vec<_> = items
        .iter()
        .map(|item| item["input"].as_str().expect("a key"))
        .collect();
    assert_eq!(
        inputs,
        ["t1", "t2", "t3", "t10"].map(|t| format!("frames/m2/{t}.tif"))
    );
    assert_eq!(items[2]["state"], "failed");
    for key in cluster.redis.keys("tracking:*") {
        let hash = cluster.redis.hash(&key);
        let names = cluster.result_names(&hash);
        assert!(names.contains(&"lineage.json".to_owned()), "{names:?}");
    }
}
