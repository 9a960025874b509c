//! Plan (c) of the documents: images of movies are uploaded and segmented, and the movies tracked when their frames are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::peers::cluster::Cluster;
use crate::peers::folders::files_below;
use crate::peers::outcome::outcome;

const PLAN: &str = r#"
plan: 1
name: hela
stages:
  - name: seg
    queue: segmentation
    items: {files: {path: ./hela, match: "*/t*.tif", to: "uploads/{{ batch }}/", capture: '(?P<movie>[^/]+)/t(?P<t>\d+)\.tif$'}}
    fields: {original_name: "{{ name }}", channels: "0,", dimension_order: XY, scale: "1"}
    expect: [result]
    on_failure: go_on
  - name: track
    queue: tracking
    after: {stage: seg, group: "{{ movie }}"}
    manifest: true
    sort: "{{ t | int }}"
    fields: {original_name: "{{ group }}.json"}
    expect: [result]
"#;

/// A bright square that moves.
fn frame(t: usize) -> Vec<u8> {
    let pixels = ndarray::Array2::from_shape_fn((64, 64), |(row, column)| {
        let is_inside = row.abs_diff(20 + t) < 8 && column.abs_diff(30) < 8;
        if is_inside { 200.0_f32 } else { 20.0 }
    });
    bioimage::encode_tiff(pixels.view().into_dyn())
}

/// Three movies of five frames, one of which cannot be read.
fn write_movies(folder: &Path) {
    for movie in ["m1", "m2", "m3"] {
        let movie = folder.join("hela").join(movie);
        fs::create_dir_all(&movie).expect("a folder");
        for t in [1, 2, 3, 9, 10] {
            fs::write(movie.join(format!("t{t}.tif")), frame(t)).expect("a file");
        }
    }
    fs::write(folder.join("hela/m2/t3.tif"), "no image").expect("a file");
}

/// The names of the files in each folder of results, but for what says whose it is.
fn files_by_folder(results: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for path in files_below(results) {
        let file = path.file_name().expect("a name").to_string_lossy();
        let folder = path.parent().and_then(|it| it.strip_prefix(results).ok());
        let folder = folder.expect("it lies there").display().to_string();
        if !file.starts_with('.') {
            all.entry(folder).or_default().push(file.into_owned());
        }
    }
    all
}

/// What the command prints; one frame has failed.
fn submit(cluster: &Cluster, folder: &Path) -> String {
    let arguments = [
        "submit",
        "--plan",
        "hela.yaml",
        "--wait",
        "--download",
        "results",
    ];
    let mut command = cluster.command(&arguments, &[]);
    let output = command.current_dir(folder).output();
    outcome(&output.expect("the program starts"), 4).0
}

/// The frames of a movie are told in their order, and that one has failed.
fn assert_manifest(cluster: &Cluster) {
    let manifest = cluster.object("plans/hela/track/m/m2.json");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let items = manifest["items"].as_array().expect("items");
    let inputs = items.iter().map(|item| item["input"].as_str());
    let inputs: Vec<_> = inputs.map(|input| input.expect("a key")).collect();
    let in_order = ["t1", "t2", "t3", "t9", "t10"];
    assert_eq!(inputs, in_order.map(|t| format!("uploads/hela/m2/{t}.tif")));
    assert_eq!(items[2]["state"], "failed");
}

/// Each result lies in the folder of its item.
fn assert_results(results: &Path) {
    let all = files_by_folder(results);
    assert_eq!(all.len(), 17, "{all:?}");
    for movie in ["m1", "m2", "m3"] {
        let tracks = &all[&format!("track/{movie}")];
        assert!(tracks.contains(&"lineage.json".to_owned()), "{tracks:?}");
    }
    assert!(
        all.contains_key("seg/m1/t10") && !all.contains_key("seg/m2/t3"),
        "{all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_are_uploaded_segmented_tracked_and_fetched_by_one_command() {
    let cluster = Cluster::with_models_of_children().await;
    let folder = tempfile::tempdir().expect("a folder");
    write_movies(folder.path());
    fs::write(folder.path().join("hela.yaml"), PLAN).expect("a file");
    let _seg = cluster.pod("seg-1").start();
    let _track = cluster
        .pod("track-1")
        .set("QUEUE", "tracking")
        .set("CONSUMER_TYPE", "tracking")
        .set("MAX_GAPS", "1")
        .start();
    let printed = submit(&cluster, folder.path());
    for said in [
        "batch hela: 15 files uploaded",
        "batch hela: 18 items in 2 stages",
        "done 17  failed 1  running 0  waiting 0",
        "17 results fetched",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
    assert_manifest(&cluster);
    assert_results(&folder.path().join("results"));

    let printed = submit(&cluster, folder.path());
    assert!(
        printed.contains("0 results fetched, 17 there already"),
        "{printed}"
    );
}
