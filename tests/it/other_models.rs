//! Models of other makers, run in the process or on a server: StarDist, Cellpose, models that answer labels, packages.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bioimage::{Limits, encode_tiff};
use ndarray::{Array2, Array4, ArrayD, Axis};
use redis_consumer::serving::{Input, Model, ModelId};

use crate::peers::cluster::{Cluster, IMAGE, PodSettings};
use crate::peers::redis::Redis;
use crate::peers::results::{cell_count, labels, unzipped};
use crate::previews::{quality, size_of_preview};

const INPUT: &str = "uploads/nuclei.png";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A consumer of this type that runs the project's models itself.
fn pod(cluster: &Cluster, kind: &str) -> PodSettings {
    let models = project("models");
    cluster
        .pod("pod-1")
        .unset("TF_HOST")
        .unset("TF_PORT")
        .set("CONSUMER_TYPE", kind)
        .set("MODEL_SERVER", "onnx")
        .set("MODEL_DIR", models.to_str().expect("a plain path"))
}

async fn cluster(models: Vec<Model>) -> Cluster {
    let cluster = Cluster::with(Redis::start_in_memory(), models).await;
    cluster.put(INPUT, IMAGE);
    cluster
}

/// Cells that both label images have, by an IoU above one half.
fn matched(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> usize {
    let mut pairs = std::collections::BTreeMap::<(u32, u32), usize>::new();
    let mut sizes = [
        std::collections::BTreeMap::new(),
        std::collections::BTreeMap::new(),
    ];
    for (found, expected) in found.iter().zip(expected) {
        let (found, expected) = (*found as u32, *expected as u32);
        *pairs.entry((found, expected)).or_default() += 1;
        *sizes[0].entry(found).or_insert(0_usize) += 1;
        *sizes[1].entry(expected).or_insert(0_usize) += 1;
    }
    let pairs = pairs.iter().filter(|((a, b), shared)| {
        let union = sizes[0][a] + sizes[1][b] - *shared;
        *a > 0 && *b > 0 && 2 * *shared > union
    });
    pairs.count()
}

/// A job has a preview of this size, and so many cells by its hash.
fn assert_shown(
    cluster: &Cluster,
    hash: &HashMap<String, String>,
    size: (usize, usize),
    cells: usize,
) {
    assert_eq!(size_of_preview(cluster, hash), size);
    assert_eq!(quality(hash)["cells"], cells);
}

fn truth() -> ArrayD<f32> {
    let file = project("tests/fixtures/nuclei/dsb2018_777f7c42_labels.tif");
    let bytes = std::fs::read(file).expect("a fixture");
    bioimage::decode(&bytes, "labels.tif", &Limits::default()).expect("a label image")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_stardist_runs_in_the_process_and_its_polygons_can_be_opened_elsewhere() {
    let cluster = cluster(Vec::new()).await;
    let _pod = pod(&cluster, "stardist")
        .set("STARDIST_EXPORT", "geojson,imagej")
        .set("PREVIEWS", "true")
        .start();
    let hash =
        cluster.wait_done(&cluster.submit(INPUT, &[("channels", "0"), ("dimension_order", "")]));
    let entries = cluster.result(&hash);
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "uploads/nuclei_batch_0_feature_0.tif",
            "uploads/nuclei_0.geojson",
            "uploads/nuclei_0.rois.zip"
        ]
    );
    let found = labels(&entries[0].1);
    let cells = cell_count(&entries[0].1);
    assert!((35..60).contains(&cells), "{cells}");
    assert!(matched(&found, &truth()) > 30, "of 43 nuclei");
    assert_shown(&cluster, &hash, (360, 360), cells);
    let geojson: serde_json::Value = serde_json::from_slice(&entries[1].1).expect("JSON");
    assert_eq!(geojson["features"].as_array().map(Vec::len), Some(cells));
    let rois = unzipped(entries[2].1.clone());
    assert_eq!((rois.len(), &rois[0].1[..4]), (cells, &b"Iout"[..]));

    // Scaled up, the network sees larger nuclei; labels and polygons are those of the image as it came.
    let hash = cluster.wait_done(&cluster.submit(
        INPUT,
        &[
            ("channels", "0"),
            ("scale", "1.25"),
            ("dimension_order", ""),
        ],
    ));
    let scaled = labels(&cluster.result(&hash)[0].1);
    assert_eq!(scaled.shape(), found.shape());
    assert!(matched(&scaled, &found) > 25, "much the same cells");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_image_consumer_may_name_a_model_of_stardist() {
    let cluster = cluster(Vec::new()).await;
    let _pod = pod(&cluster, "image").set("PREVIEWS", "true").start();
    let named = |more: (&str, &str)| {
        let fields = [
            ("channels", ""),
            ("dimension_order", ""),
            ("model_name", "StarNuclei"),
            ("model_version", "1"),
            ("postprocess_function", "stardist"),
            more,
        ];
        cluster.submit(INPUT, &fields)
    };
    let hash = cluster.wait_done(&named(("preprocess_function", "none")));
    let entries = cluster.result(&hash);
    assert_eq!(entries[0].0, "uploads/nuclei_feature_0.tif");
    assert_shown(&cluster, &hash, (360, 360), cell_count(&entries[0].1));
    assert!(matched(&labels(&entries[0].1), &truth()) > 30);
    let reason = cluster.wait_failed(&named(("preprocess_function", "normalize")));
    assert!(reason.contains("name no other function"), "{reason}");
}

/// A model of StarDist by a formula: pixels above one half are inside a disk that is as wide as they are bright.
pub(crate) fn disks(shape: [i64; 4]) -> Model {
    let [_, rows, columns, _] = shape;
    Model {
        id: ModelId::new("Disks", 1),
        inputs: vec![Input::float("image", &shape)],
        outputs: vec![
            Input::float("dist", &[-1, rows, columns, 16]),
            Input::float("prob", &[-1, rows, columns, 1]),
        ],
        run: Arc::new(|inputs| {
            let image = &inputs[0].1;
            let image = image.view().into_dimensionality::<ndarray::Ix4>();
            let image = image.map_err(|error| error.to_string())?;
            let (count, rows, columns, _) = image.dim();
            let distances = Array4::from_shape_fn((count, rows, columns, 16), |(n, y, x, _)| {
                image[[n, y, x, 0]] * 6.0
            });
            let named = |name: &str, array: ArrayD<f32>| (name.to_owned(), array);
            Ok(vec![
                named("dist", distances.into_dyn()),
                named("prob", image.to_owned().into_dyn()),
            ])
        }),
    }
}

/// Single bright pixels.
pub(crate) fn stars() -> Array2<f32> {
    let mut image = Array2::zeros((300, 420));
    for (place, (row, column)) in (0..).zip([
        (10, 10),
        (60, 60),
        (61, 63),
        (126, 130),
        (240, 399),
        (128, 200),
        (64, 255),
    ]) {
        image[[row, column]] = 1.0 - place as f32 / 100.0;
    }
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_of_stardist_leave_no_seams() {
    let mut results = Vec::new();
    for shape in [[-1, -1, -1, 1], [-1, 64, 64, 1], [-1, 128, 96, 1]] {
        let cluster = cluster(vec![disks(shape)]).await;
        cluster.put("uploads/stars.tif", &encode_tiff(stars().view().into_dyn()));
        let _pod = cluster
            .pod("pod-1")
            .set("CONSUMER_TYPE", "stardist")
            .set("STARDIST_MODEL", "Disks:1")
            .set("STARDIST_PERCENTILES", "0,100")
            .set("STARDIST_HALO", "16")
            .start();
        let hash = cluster.wait_done(&cluster.submit(
            "uploads/stars.tif",
            &[("channels", "0"), ("dimension_order", "")],
        ));
        results.push(labels(&cluster.result(&hash)[0].1));
    }
    let cells = results[0]
        .iter()
        .fold(0.0_f32, |most, label| most.max(*label));
    assert_eq!(cells, 6.0, "two of seven are one");
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

/// A model of Cellpose by a formula: the first channel says where the cell's middle is, as two numbers in one.
pub(crate) fn flows(side: i64) -> Model {
    let shape = [-1, side, side, 2];
    Model {
        id: ModelId::new("Flows", 1),
        inputs: vec![Input::float("image", &shape)],
        outputs: vec![
            Input::float("flows", &[-1, side, side, 3]),
            Input::float("style", &[-1, 256]),
        ],
        run: Arc::new(|inputs| {
            let image = inputs[0].1.view().into_dimensionality::<ndarray::Ix4>();
            let image = image.map_err(|error| error.to_string())?;
            let (count, rows, columns, _) = image.dim();
            // Flows lead uphill: brightness is highest in the middle of a cell.
            let heads = Array4::from_shape_fn((count, rows, columns, 3), |(n, y, x, head)| {
                let at = |y: usize, x: usize| image[[n, y.min(rows - 1), x.min(columns - 1), 0]];
                let here = at(y, x);
                if here <= 0.0 {
                    return if head == 2 { -5.0 } else { 0.0 };
                }
                let down = at(y + 1, x) - at(y.saturating_sub(1), x);
                let across = at(y, x + 1) - at(y, x.saturating_sub(1));
                let length = down.hypot(across).max(1e-6);
                [5.0 * down / length, 5.0 * across / length, 5.0][head]
            });
            Ok(vec![
                ("flows".to_owned(), heads.into_dyn()),
                ("style".to_owned(), ArrayD::zeros(vec![count, 256])),
            ])
        }),
    }
}

/// Round cells, brightest in the middle.
pub(crate) fn hills() -> Array2<f32> {
    Array2::from_shape_fn((260, 300), |(row, column)| {
        let hill = |y: f32, x: f32| 12.0 - (row as f32 - y).hypot(column as f32 - x);
        let places = [
            (30.0, 30.0),
            (30.0, 70.0),
            (120.0, 150.0),
            (200.0, 250.0),
            (222.0, 100.0),
        ];
        let hills = places.map(|(y, x)| hill(y, x));
        hills.into_iter().fold(0.0, f32::max)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_cellpose_makes_cells_of_flows() {
    let cluster = cluster(vec![flows(224)]).await;
    cluster.put("uploads/hills.tif", &encode_tiff(hills().view().into_dyn()));
    let _pod = cluster
        .pod("pod-1")
        .set("CONSUMER_TYPE", "cellpose")
        .set("CELLPOSE_MODEL", "Flows:1")
        .set("PREVIEWS", "true")
        .start();
    let hash = cluster.wait_done(&cluster.submit(
        "uploads/hills.tif",
        &[("channels", "0,"), ("dimension_order", "")],
    ));
    let entries = cluster.result(&hash);
    assert_eq!(entries[0].0, "uploads/hills_batch_0_feature_0.tif");
    let found = labels(&entries[0].1);
    assert_eq!(found.shape(), [260, 300]);
    assert_eq!(cell_count(&entries[0].1), 5);
    assert_shown(&cluster, &hash, (260, 300), 5);
    // A diameter scales the image for the network; labels have the image's size.
    let fields = [
        ("channels", "0,"),
        ("diameter", "20"),
        ("dimension_order", ""),
    ];
    let hash = cluster.wait_done(&cluster.submit("uploads/hills.tif", &fields));
    let entries = cluster.result(&hash);
    assert_eq!(labels(&entries[0].1).shape(), [260, 300]);
    let reason = |diameter: &str| {
        let fields = [
            ("channels", "0,"),
            ("diameter", diameter),
            ("dimension_order", ""),
        ];
        cluster.wait_failed(&cluster.submit("uploads/hills.tif", &fields))
    };
    assert_eq!(
        reason("wide"),
        "ValueError: diameter `wide` is not a number"
    );
    assert_eq!(
        reason("-3"),
        "ValueError: diameter -3 is not a number of pixels above 0"
    );
}

/// A model that labels what is bright, tile by tile.
pub(crate) fn labeler() -> Model {
    Model {
        id: ModelId::new("Labeler", 1),
        inputs: vec![Input::float("image", &[-1, 96, 96, 1])],
        outputs: vec![Input::float("labels", &[-1, 96, 96, 1])],
        run: Arc::new(|inputs| {
            let image = inputs[0].1.view().into_dimensionality::<ndarray::Ix4>();
            let image = image.map_err(|error| error.to_string())?;
            let mut labels = Array4::zeros(image.dim());
            for (image, mut labels) in image.outer_iter().zip(labels.outer_iter_mut()) {
                let bright = image
                    .index_axis(Axis(2), 0)
                    .mapv(|value| u8::from(value > 0.0));
                let found = cell_analysis::segmentation::label(
                    bright.view(),
                    cell_analysis::segmentation::Connectivity::Four,
                );
                labels
                    .index_axis_mut(Axis(2), 0)
                    .assign(&found.mapv(|label| label as f32));
            }
            Ok(vec![("labels".to_owned(), labels.into_dyn())])
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_tiles_are_joined_object_by_object() {
    let cluster = cluster(vec![labeler()]).await;
    cluster.put("uploads/hills.tif", &encode_tiff(hills().view().into_dyn()));
    let _pod = cluster
        .pod("pod-1")
        .set("CONSUMER_TYPE", "labels")
        .set("LABELS_MODEL", "Labeler:1")
        .set("LABELS_PERCENTILES", "0,100")
        .set("LABELS_HALO", "32")
        .set("PREVIEWS", "true")
        .start();
    let hash = cluster.wait_done(&cluster.submit(
        "uploads/hills.tif",
        &[("channels", "0"), ("dimension_order", "")],
    ));
    let entries = cluster.result(&hash);
    assert_eq!(cell_count(&entries[0].1), 5);
    assert_shown(&cluster, &hash, (260, 300), 5);
    let found = labels(&entries[0].1);
    let bright = hills().mapv(|value| value > 0.0).into_dyn();
    let same = found
        .iter()
        .zip(&bright)
        .all(|(label, bright)| (*label > 0.0) == *bright);
    assert!(same, "no pixel of a cell is lost, and none is added");
}

/// A package with the weights beside its description, in a folder of models.
fn packages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("nuclei-watershed");
    std::fs::create_dir(&package).expect("a folder");
    for file in
        std::fs::read_dir(project("tests/fixtures/bioimageio/nuclei-watershed")).expect("a fixture")
    {
        let file = file.expect("a file").path();
        std::fs::copy(&file, package.join(file.file_name().expect("a name"))).expect("a copy");
    }
    let weights = project("models/RealNuclei/1/model.onnx");
    std::fs::copy(weights, package.join("weights.onnx")).expect("a copy");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_passes_its_own_test_and_segments_a_job() {
    let cluster = cluster(Vec::new()).await;
    let models = project("models");
    let models = models.to_str().expect("a plain path");
    let variables = [
        ("CONSUMER_TYPE", "bioimageio"),
        ("MODEL_SERVER", "onnx"),
        ("MODEL_DIR", models),
        ("BIOIMAGEIO_MODEL", "nuclei-stars:1"),
    ];
    let output = cluster.run(&["check"], &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("its own test passes: labels"), "{text}");
    let _pod = pod(&cluster, "bioimageio")
        .set("BIOIMAGEIO_MODEL", "nuclei-stars:1")
        .set("PREVIEWS", "true")
        .start();
    let hash =
        cluster.wait_done(&cluster.submit(INPUT, &[("channels", "0"), ("dimension_order", "")]));
    let entries = cluster.result(&hash);
    assert_eq!(entries[0].0, "uploads/nuclei_batch_0_feature_0.tif");
    assert!(matched(&labels(&entries[0].1), &truth()) > 30);
    assert_shown(&cluster, &hash, (360, 360), cell_count(&entries[0].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_without_labels_gives_what_its_network_gives() {
    let cluster = cluster(Vec::new()).await;
    let folder = packages();
    let models = folder.path().to_str().expect("a plain path");
    let variables = [
        ("CONSUMER_TYPE", "bioimageio"),
        ("MODEL_SERVER", "onnx"),
        ("MODEL_DIR", models),
        ("BIOIMAGEIO_MODEL", "nuclei-watershed:1"),
    ];
    let output = cluster.run(&["check"], &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("its own test passes: inner, outer"), "{text}");
    let _pod = pod(&cluster, "bioimageio").set("MODEL_DIR", models).start();
    let fields = [
        ("channels", "0"),
        ("model_name", "nuclei-watershed"),
        ("model_version", "1"),
        ("dimension_order", ""),
    ];
    let hash = cluster.wait_done(&cluster.submit(INPUT, &fields));
    assert_eq!(cluster.result(&hash).len(), 2);
    let fields = [
        ("channels", "0"),
        ("model_name", "absent"),
        ("model_version", "1"),
        ("dimension_order", ""),
    ];
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &fields));
    assert!(reason.contains("it has nuclei-watershed"), "{reason}");

    // Weights that are others than the description says are not run.
    let weights = folder.path().join("nuclei-watershed/weights.onnx");
    let mut bytes = std::fs::read(&weights).expect("weights");
    bytes[1000] ^= 1;
    std::fs::write(&weights, bytes).expect("weights");
    let output = cluster.run(&["check"], &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("SHA-256"), "{text}");
    assert_eq!(output.status.code(), Some(4), "{text}");
}

/// A model of a folder as objects below this key.
fn put_folder(cluster: &Cluster, folder: &str, key: &str) {
    for file in std::fs::read_dir(project(folder)).expect("a folder") {
        let file = file.expect("a file").path();
        let name = file.file_name().and_then(|name| name.to_str());
        let body = std::fs::read(&file).expect("a file");
        cluster.put(&format!("{key}/{}", name.expect("a plain name")), &body);
    }
}

/// Files of a folder as a zip.
fn zipped(folder: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for file in std::fs::read_dir(project(folder)).expect("a folder") {
        let file = file.expect("a file").path();
        let name = file.file_name().and_then(|name| name.to_str());
        let options = zip::write::SimpleFileOptions::default();
        archive
            .start_file(name.expect("a plain name"), options)
            .expect("room");
        let body = std::fs::read(&file).expect("a file");
        std::io::Write::write_all(&mut archive, &body).expect("room");
    }
    archive.finish().expect("room").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_bucket_are_fetched_when_they_are_first_used() {
    let cluster = cluster(Vec::new()).await;
    put_folder(&cluster, "models/RealNuclei/1", "lab/models/RealNuclei/1");
    // One that only begins like it, and one in a form that nothing here runs.
    cluster.put("lab/models/RealNuclei10/1/model.onnx", b"none");
    cluster.put("lab/models/Panoptic/3/saved_model.pb", b"none");
    cluster.put("lab/models/stars.zip", &zipped("models/nuclei-stars"));
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().to_str().expect("a plain path");
    let named = |name: &str, version: &str| {
        let fields = [
            ("channels", "0"),
            ("model_name", name),
            ("model_version", version),
            ("dimension_order", ""),
        ];
        cluster.submit(INPUT, &fields)
    };
    {
        let _pod = pod(&cluster, "bioimageio")
            .set("MODEL_DIR", models)
            .set("MODEL_PREFIX", "lab/models/")
            .start();
        let hash = cluster.wait_done(&named("stars", "7"));
        assert!(matched(&labels(&cluster.result(&hash)[0].1), &truth()) > 30);
        for (name, version) in [("Panoptic", "3"), ("RealNuclei1", "1"), ("../models", "1")] {
            let reason = cluster.wait_failed(&named(name, version));
            assert!(
                reason.contains("nor has MODEL_PREFIX lab/models of the bucket"),
                "{reason}"
            );
        }
    }
    let _pod = pod(&cluster, "image")
        .set("MODEL_DIR", models)
        .set("MODEL_PREFIX", "lab/models")
        .set("NUCLEAR_MODEL", "RealNuclei:1")
        .start();
    let fields = [("channels", "0,"), ("dimension_order", "")];
    let hash = cluster.wait_done(&cluster.submit(INPUT, &fields));
    assert!(cell_count(&cluster.result(&hash)[0].1) > 30);
    let mut here: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name())
        .collect();
    here.sort();
    assert_eq!(
        here,
        ["RealNuclei", "stars.zip"],
        "and nothing half fetched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_beside_a_model_count_and_those_that_are_none_are_named() {
    let cluster = cluster(Vec::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("StarNuclei/1");
    std::fs::create_dir_all(&model).expect("a folder");
    std::fs::copy(
        project("models/StarNuclei/1/model.onnx"),
        model.join("model.onnx"),
    )
    .expect("a copy");
    let models = folder.path().to_str().expect("a plain path");
    let submit = || cluster.submit(INPUT, &[("channels", "0"), ("dimension_order", "")]);
    let mut cells = Vec::new();
    for (prob, nms) in [(0.5, 0.4), (0.9, 0.4)] {
        let text = serde_json::json!({"prob": prob, "nms": nms}).to_string();
        std::fs::write(folder.path().join("StarNuclei/thresholds.json"), text).expect("a file");
        let _pod = pod(&cluster, "stardist").set("MODEL_DIR", models).start();
        cells.push(cell_count(
            &cluster.result(&cluster.wait_done(&submit()))[0].1,
        ));
    }
    assert!(cells[1] < cells[0], "{cells:?}");
    for (text, expected) in [
        (r#"{"prob": 0.5}"#, "missing field `nms`"),
        (r#"{"prob": 5, "nms": 0.4}"#, "are not both from 0 to 1"),
        ("prob: 0.5", "expected value"),
    ] {
        std::fs::write(folder.path().join("StarNuclei/thresholds.json"), text).expect("a file");
        let _pod = pod(&cluster, "stardist").set("MODEL_DIR", models).start();
        let reason = cluster.wait_failed(&submit());
        assert!(
            reason.contains("`thresholds.json` of model `StarNuclei:1` cannot be used")
                && reason.contains(expected),
            "{reason}"
        );
    }
}
