//! Parents and children of two makes: Python's with ours, ours with Python's; and children that go astray.

use std::collections::HashMap;
use std::time::Duration;

use bioimage::{Limits, encode_tiff, npy};
use ndarray::{Array2, Axis, array};
use serde_json::Value;

use crate::peers::cluster::{Cluster, FIELDS, IMAGE, PodSettings};
use crate::peers::python_kiosk::{PythonConsumer, PythonParent};
use crate::peers::results::{labels, zipped};
use crate::peers::synthetic_images::{archive, movie, spots_and_cells};

/// A consumer that takes jobs of its kind from the queue of the same name, and looks after children often.
fn pod(cluster: &Cluster, kind: &str) -> PodSettings {
    let pod = cluster
        .pod(&format!("pod-{kind}"))
        .set("CONSUMER_TYPE", kind)
        .set("LEASE_TIME", "2");
    let pod = pod.set("SEGMENTATION_QUEUE", "segmentation");
    if kind == "zip" {
        pod
    } else {
        pod.set("QUEUE", kind)
    }
}

/// The entries of the result that a key names.
fn result(cluster: &Cluster, key: &str) -> Vec<(String, Vec<u8>)> {
    cluster.result(&HashMap::from([(
        "output_file_name".to_owned(),
        key.to_owned(),
    )]))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_a_python_parent_has_queued_are_segmented() {
    let cluster = Cluster::with_models_of_children().await;
    let frames = bioimage::decode(&movie(3), "movie.tif", &Limits::default()).expect("a movie");
    let mut parent = PythonParent::new(cluster.redis.connection());
    // As the newest parents do, and as those up to 0.8.4 did.
    let newest = [("channels", "0,,"), ("dimension_order", "XY")];
    let oldest = [
        ("model_name", "NuclearSegmentation"),
        ("model_version", "6"),
        ("scale", "1"),
    ];
    let oldest = [&oldest[..], &[("postprocess_function", "deep_watershed")]].concat();
    for fields in [&newest[..], &oldest] {
        for (frame, image) in frames.outer_iter().enumerate() {
            let file =
                format!("0123456789abcdef0123456789abcdef-movie.tif-tracking-frame-{frame}.tif");
            cluster.put(&format!("output/{file}"), &encode_tiff(image));
            parent.create("segmentation", &file, fields);
        }
    }
    let _images = pod(&cluster, "segmentation").start();
    for key in parent.wait().expect("all are done") {
        let entries = result(&cluster, &key);
        assert_eq!(entries.len(), 1, "{key} has exactly one file");
        let labels = bioimage::squeeze(labels(&entries[0].1));
        assert_eq!(labels.shape(), [96, 96]);
        let squares = [labels[&[31, 30][..]], labels[&[59, 66][..]]];
        assert!(
            squares[0] > 0.0 && squares[1] > 0.0 && squares[0] != squares[1],
            "{squares:?}"
        );
    }

    cluster.put("output/broken.tif", b"II*\0no image");
    parent.create("segmentation", "broken.tif", &newest);
    let reason = parent.wait().expect_err("it cannot be read");
    assert!(
        reason
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("ValueError: ")),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_a_python_polaris_has_queued_are_worked() {
    let cluster = Cluster::with_models_of_children().await;
    let image =
        bioimage::decode(&spots_and_cells(2), "image.tif", &Limits::default()).expect("an image");
    let plane = |channel| image.index_axis(Axis(2), channel).to_owned();
    let mut parent = PythonParent::new(cluster.redis.connection());
    let of_all = [("scale", "1"), ("dimension_order", "BXY")];
    let parts = [
        ("spot", "", plane(0)),
        ("segmentation", "0,", plane(1).insert_axis(Axis(0))),
    ];
    for (queue, channels, image) in parts {
        let file = format!("0123456789abcdef0123456789abcdef-image.tif-{queue}-image.tif");
        cluster.put(&format!("output/{file}"), &encode_tiff(image.view()));
        parent.create(
            queue,
            &file,
            &[&of_all[..], &[("channels", channels)]].concat(),
        );
    }
    let _spot = pod(&cluster, "spot")
        .set("POLARIS_THRESHOLD", "0.2")
        .start();
    let _images = pod(&cluster, "segmentation").start();
    let results = parent.wait().expect("both are done");
    let names: Vec<_> = results
        .iter()
        .flat_map(|key| result(&cluster, key))
        .map(|(name, _)| name)
        .collect();
    let start = "0123456789abcdef0123456789abcdef-image.tif";
    let endings = [
        "spot-image_0.tif",
        "spot-image_0.npy",
        "segmentation-image_batch_0_feature_0.tif",
    ];
    assert_eq!(names, endings.map(|ending| format!("{start}-{ending}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_is_tracked_from_frames_that_python_consumers_finish() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &movie(4));
    let labels = Array2::from_shape_fn((96, 96), |(row, column)| match (row / 16, column / 16) {
        (2, 1) => 1.0_f32,
        (3, 4) => 2.0,
        _ => 0.0,
    });
    let labels = encode_tiff(labels.view().into_dyn());
    let entries = vec![("frame_batch_0_feature_0.tif".to_owned(), labels)];
    cluster.put("output/python.zip", &zipped(entries));
    let _tracking = pod(&cluster, "tracking").start();
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::from_millis(20),
    );
    let hash = cluster.wait_done(&cluster.submit_to("tracking", "uploads/movie.tif", &[]));
    assert_eq!(python.stop().len(), 4);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("4", "100")
    );
    let lineage = cluster
        .result(&hash)
        .into_iter()
        .find(|(name, _)| name == "lineage.json")
        .expect("a lineage");
    let lineage: Value = serde_json::from_slice(&lineage.1).expect("JSON");
    let frames: Vec<_> = ["1", "2"]
        .iter()
        .map(|track| lineage[*track]["frames"].to_string())
        .collect();
    assert_eq!(frames, ["[0,1,2,3]", "[0,1,2,3]"], "{lineage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_a_python_archive_has_queued_come_with_what_it_sums_up() {
    let cluster = Cluster::with_models_of_children().await;
    let mut parent = PythonParent::new(cluster.redis.connection());
    // A Python archive hands all of its own fields down, also those that say how it fares itself.
    let own = [
        ("children_upload_time", "0.5"),
        ("progress", "0"),
        ("updated_by", "pod-python"),
    ];
    let fields = [&own[..], &FIELDS].concat();
    for name in ["a.png", "folder/b.png"] {
        cluster.put(&format!("output/{name}"), IMAGE);
        parent.create("segmentation", name, &fields);
    }
    let _images = pod(&cluster, "segmentation").start();
    assert_eq!(parent.wait().expect("both are done").len(), 2);
    for key in cluster.redis.keys("segmentation:*") {
        let hash = cluster.redis.hash(&key);
        for field in ["download_time", "upload_time", "total_time"] {
            assert!(
                hash[field]
                    .parse::<f64>()
                    .is_ok_and(|seconds| seconds >= 0.0),
                "{field} in {hash:?}"
            );
        }
        assert_eq!(
            (
                hash["total_jobs"].as_str(),
                hash["children_upload_time"].as_str()
            ),
            ("1", "0.5")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spots_are_counted_by_cells_that_python_consumers_find() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/image.tif", &spots_and_cells(2));
    let points = npy::write(&array![[30.5, 31.25], [80.0, 10.0]].view().into_dyn());
    cluster.put(
        "output/spots.zip",
        &zipped([("image_0.npy".to_owned(), points)]),
    );
    let cell = Array2::from_shape_fn((96, 96), |(row, column)| {
        f32::from(row.abs_diff(30) < 9 && column.abs_diff(30) < 9)
    });
    let cell = encode_tiff(cell.view().into_dyn());
    let cell = zipped([("image_batch_0_feature_0.tif".to_owned(), cell)]);
    cluster.put("output/cells.zip", &cell);
    let _polaris = pod(&cluster, "polaris").start();
    let _spots =
        PythonConsumer::start_with_result(cluster.redis.connection(), "spot", "output/spots.zip");
    let _cells = PythonConsumer::start_with_result(
        cluster.redis.connection(),
        "segmentation",
        "output/cells.zip",
    );
    let fields = [
        ("segmentation_type", "cell culture"),
        ("channels", "0,1,"),
        ("original_name", "image.tif"),
    ];
    let hash = cluster.wait_done(&cluster.submit_to("polaris", "uploads/image.tif", &fields));
    let table = cluster
        .result(&hash)
        .into_iter()
        .find(|(name, _)| name == "image_0.csv")
        .expect("a table")
        .1;
    assert_eq!(
        String::from_utf8(table).expect("text"),
        "x,y,cellID0\r\n31.25,30.5,1\r\n10.0,80.0,0\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_has_vanished_has_failed() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    cluster.put("uploads/movie.tif", &movie(4));
    let vanish = |child: &str| {
        let _: u32 = cluster.redis.ask(&["LREM", "segmentation", "1", child]);
        let _: u32 = cluster.redis.ask(&["DEL", child]);
    };
    let _zip = pod(&cluster, "zip").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let images = cluster.children(&key);
    vanish(&images[0]);
    let segmentation = pod(&cluster, "segmentation").start();
    let hash = cluster.wait_done(&key);
    let failures: Vec<(String, String)> = url::form_urlencoded::parse(hash["failures"].as_bytes())
        .into_owned()
        .collect();
    assert_eq!(
        failures,
        [(
            images[0].clone(),
            "it has vanished (expired or deleted)".to_owned()
        )]
    );
    assert_eq!(cluster.result(&hash).len(), 1, "the other is in the result");
    drop(segmentation);

    let _tracking = pod(&cluster, "tracking").start();
    let key = cluster.submit_to("tracking", "uploads/movie.tif", &[]);
    vanish(&cluster.children(&key)[2]);
    let reason = cluster.wait_failed(&key);
    let start = "RuntimeError: Tracking failed during segmentation on frame 2. Segmentation Error: it has vanished";
    assert!(reason.starts_with(start), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_nobody_knows_holds_nothing_up() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/some.zip", &archive(&["a.png"]));
    cluster.put("output/python.zip", &archive(&["result.png"]));
    let _zip = pod(&cluster, "zip").start();
    // An archive begins anew, whatever its status was.
    let key = cluster.submit_to(
        "segmentation-zip",
        "uploads/some.zip",
        &[("status", "on-hold")],
    );
    let [child] = &cluster.children(&key)[..] else {
        panic!("one image, one child")
    };
    // Old consumers write words of their own while they work.
    let word = "retry-predicting - 3 - UNAVAILABLE";
    let _: u32 = cluster.redis.ask(&["LREM", "segmentation", "1", child]);
    let _: u32 = cluster.redis.ask(&["HSET", child, "status", word]);
    let mut monitor = cluster.redis.monitor();
    for _ in 0..2 {
        monitor.until(|line| {
            line.contains("HGET") && line.contains(child.as_str()) && line.contains("lua")
        });
    }
    assert_eq!(
        cluster.redis.hash(&key)["status"],
        "waiting",
        "the child is not final"
    );
    let _: u32 = cluster.redis.ask(&[
        "HSET",
        child,
        "output_file_name",
        "output/python.zip",
        "status",
        "done",
    ]);
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["failures"].as_str(), hash["total_jobs"].as_str()),
        ("", "1")
    );
}
