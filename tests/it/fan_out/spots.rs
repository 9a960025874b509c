//! Spots, alone and counted by the cells they lie in.

use bioimage::{Limits, encode_tiff};
use ndarray::Array2;

use crate::peers::cluster::{Cluster, eventually};
use crate::peers::results;
use crate::peers::synthetic_images::spots_and_cells;

#[tokio::test(flavor = "multi_thread")]
async fn spots_are_listed_and_drawn() {
    let cluster = Cluster::with_models_of_children().await;
    let image = Array2::from_shape_fn((80, 80), |(row, column)| {
        match (row % 20).abs_diff(10).max((column % 20).abs_diff(10)) {
            0 => 1000.0_f32,
            1 => 800.0,
            _ => 10.0,
        }
    });
    cluster.put("uploads/spots.tif", &encode_tiff(image.view().into_dyn()));
    cluster.put(
        "uploads/flat.tif",
        &encode_tiff(Array2::<f32>::ones((80, 80)).view().into_dyn()),
    );
    let _pod = cluster
        .pod("pod-spot")
        .set("CONSUMER_TYPE", "spot")
        .set("QUEUE", "spot")
        .set("POLARIS_THRESHOLD", "0.2")
        .start();
    let spots = |name: &str| {
        let hash = cluster.wait_done(&cluster.submit_to(
            "spot",
            name,
            &[("original_name", "plate/spots.tif"), ("channels", "")],
        ));
        assert_eq!(hash["dim_order"], "YXC");
        let result = cluster.result(&hash);
        let names: Vec<_> = result.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["plate/spots_0.tif", "plate/spots_0.npy"]);
        bioimage::npy::read_f64(&result[1].1, &Limits::default())
            .expect("points")
            .shape()
            .to_vec()
    };
    assert_eq!(spots("uploads/spots.tif"), [16, 2]);
    assert_eq!(
        spots("uploads/flat.tif"),
        [0, 2],
        "an image without spots is a result"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spots_are_counted_by_the_cells_they_lie_in() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/spot cells.tif", &spots_and_cells(2));
    let pod = |name: &str, kind: &str, queue: &str| {
        cluster
            .pod(name)
            .set("CONSUMER_TYPE", kind)
            .set("QUEUE", queue)
    };
    let _polaris = pod("pod-polaris", "polaris", "polaris")
        .set("POLARIS_SCALE", "1")
        .start();
    let _spot = pod("pod-spot", "spot", "spot")
        .set("POLARIS_THRESHOLD", "0.2")
        .start();
    let _images = cluster.pod("pod-1").start();
    let run = |kind: &str, channels: &str| {
        let fields = [
            ("segmentation_type", kind),
            ("channels", channels),
            ("original_name", "plate/spot cells.tif"),
        ];
        cluster.submit_to("polaris", "uploads/spot cells.tif", &fields)
    };
    let result = cluster.result(&cluster.wait_done(&run("cell culture", "0,1,")));
    let names: Vec<_> = result.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "plate/spot cells_batch_0_feature_0.tif",
            "plate/spot cells_0.csv"
        ]
    );
    let table = String::from_utf8(result[1].1.clone()).expect("text");
    let rows: Vec<_> = table.lines().collect();
    assert_eq!((rows[0], rows.len()), ("x,y,cellID0", 26));
    assert!(
        rows[1..].iter().any(|row| row.ends_with(",1"))
            && rows[1..].iter().any(|row| row.ends_with(",0")),
        "{table}"
    );

    let result = cluster.result(&cluster.wait_done(&run("none", "0,,")));
    assert!(
        result.len() == 1 && result[0].1.starts_with(b"x,y\r\n"),
        "{result:?}"
    );
    let reason = cluster.wait_failed(&run("tissue", "0,1,"));
    assert!(
        reason.starts_with("ValueError: tissue needs a nuclear and a membrane channel"),
        "{reason}"
    );
    let reason = cluster.wait_failed(&run("cell culture", "0,1,2"));
    assert!(
        reason.contains("Input image has 2 channels but 3 channels were specified"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spots_in_tissue_are_counted_by_cells_and_nuclei() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/tissue.tif", &spots_and_cells(3));
    let pod = |kind: &str| {
        cluster
            .pod(&format!("pod-{kind}"))
            .set("CONSUMER_TYPE", kind)
            .set("QUEUE", kind)
    };
    let _polaris = pod("polaris").set("POLARIS_SCALE", "1").start();
    let _spot = pod("spot").set("POLARIS_THRESHOLD", "0.2").start();
    let fields = [
        ("segmentation_type", "tissue"),
        ("channels", "0,1,2"),
        ("original_name", "plate/tissue.tif"),
    ];
    let key = cluster.submit_to("polaris", "uploads/tissue.tif", &fields);
    eventually("there is a job for the cells", || {
        !cluster.redis.list("mesmer").is_empty()
    });
    let child = cluster.redis.hash(&cluster.redis.list("mesmer")[0]);
    assert_eq!(
        (child["channels"].as_str(), child["scale"].as_str()),
        ("", "1")
    );
    let image = bioimage::decode(
        &cluster.object(&child["input_file_name"]),
        "tissue.tif",
        &Limits::default(),
    );
    assert_eq!(
        image.expect("an image").shape(),
        [96, 96, 2],
        "nuclei and membranes, stacked last"
    );

    let _mesmer = pod("mesmer").set("MESMER_COMPARTMENT", "both").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["total_jobs"], "2");
    let result = cluster.result(&hash);
    let names: Vec<_> = result.iter().map(|(name, _)| name.as_str()).collect();
    let labels = [0, 1].map(|kind| format!("plate/tissue_batch_0_feature_{kind}.tif"));
    assert_eq!(names, [&labels[0], &labels[1], "plate/tissue_0.csv"]);
    let labels = [0, 1].map(|kind| results::labels(&result[kind].1));
    let table = String::from_utf8(result[2].1.clone()).expect("text");
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("x,y,cellID0,cellID1"));
    let mut inside = 0;
    for row in rows {
        let values: Vec<f32> = row
            .split(',')
            .map(|value| value.parse().expect("a number"))
            .collect();
        let [x, y, cell, nucleus] = values[..] else {
            panic!("{row}")
        };
        let at = [y as usize, x as usize];
        assert_eq!(
            [cell, nucleus],
            [labels[0][&at[..]], labels[1][&at[..]]],
            "{row}"
        );
        inside += usize::from(cell > 0.0);
    }
    assert!(
        inside > 0 && table.lines().count() > inside + 1,
        "some spots lie in cells, some do not"
    );
}
