//! The mesmer consumer as a Kiosk meets it: the real program, a real Redis, a bucket, and a gRPC model server.

use bioimage::{Limits, encode_tiff};
use ndarray::{Array3, ArrayD, Axis, stack};
use redis_consumer::serving::Method;

use crate::peers;
use crate::peers::cluster::{Cluster, IMAGE};
use crate::peers::redis::assert_stages_in_order;
use crate::peers::results::{cell_count, labels};
use crate::previews::{quality, size_of_preview};

const INPUT: &str = "uploads/tissue.tif";

/// Two channels `[row, column, channel]`: nuclei, and the same a little larger as membranes.
fn tissue() -> Array3<f32> {
    let nuclei = bioimage::decode(IMAGE, "nuclei.png", &Limits::default()).expect("a picture");
    let nuclei = nuclei.index_axis_move(Axis(2), 0);
    let rolled = stack(Axis(0), &[nuclei.view(), nuclei.view()]).expect("two copies");
    let membranes = rolled.fold_axis(Axis(0), 20.0, |most, &value| value.max(*most));
    stack(Axis(2), &[nuclei.view(), membranes.view()])
        .expect("two channels")
        .into_dimensionality()
        .expect("three axes")
}

async fn cluster(image: ArrayD<f32>) -> Cluster {
    let cluster = Cluster::open().await;
    cluster.put(INPUT, &encode_tiff(image.view()));
    cluster
}

fn pod(cluster: &Cluster) -> peers::cluster::PodSettings {
    cluster.pod("pod-1").set("CONSUMER_TYPE", "mesmer")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_compartments_come_as_two_features_with_the_statuses_of_the_contract() {
    let cluster = cluster(tissue().into_dyn()).await;
    cluster
        .models
        .faults()
        .delay(std::time::Duration::from_millis(700));
    let _pod = pod(&cluster)
        .set("MESMER_COMPARTMENT", "both")
        .set("PREVIEWS", "true")
        .start();
    let monitor = cluster.redis.monitor();
    let hash = cluster.wait_done(&cluster.submit(INPUT, &[("channels", "0,1")]));
    let lines = monitor.lines(&cluster.redis);
    assert_stages_in_order(&lines);
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("\"post-processing\"")),
        "{lines:#?}"
    );
    assert_eq!(hash["dim_order"], "YXC");

    let entries = cluster.result(&hash);
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "uploads/tissue_feature_0.tif",
            "uploads/tissue_feature_1.tif"
        ]
    );
    let (rows, columns, _) = tissue().dim();
    assert_eq!(labels(&entries[0].1).shape(), [1, rows, columns]);
    assert_eq!(size_of_preview(&cluster, &hash), (rows, columns));
    assert_eq!(quality(&hash)["cells"], cell_count(&entries[0].1));
    assert!(cell_count(&entries[0].1) > 10 && cell_count(&entries[1].1) > 10);
    assert_ne!(entries[0].1, entries[1].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_chooses_compartment_and_channels_over_the_environment() {
    let cluster = cluster(
        tissue()
            .permuted_axes([2, 0, 1])
            .as_standard_layout()
            .into_owned()
            .into_dyn(),
    )
    .await;
    let _pod = pod(&cluster).set("MESMER_COMPARTMENT", "both").start();
    let first =
        cluster.wait_done(&cluster.submit(INPUT, &[("channels", ""), ("compartment", "nuclear")]));
    let swapped = cluster
        .wait_done(&cluster.submit(INPUT, &[("channels", "1,0"), ("compartment", "nuclear")]));
    assert_eq!(first["dim_order"], "CYX");
    let (first, swapped) = (cluster.result(&first), cluster.result(&swapped));
    assert_eq!((first.len(), swapped.len()), (1, 1), "one compartment each");
    assert_ne!(
        first[0].1, swapped[0].1,
        "the nuclear channel is another one"
    );
    let seen = cluster.models.faults().seen();
    assert!(
        seen.iter()
            .filter(|seen| seen.method == Method::Predict)
            .all(|seen| seen.inputs[0].shape[3] == 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_resizes_for_the_model_and_back() {
    let cluster = cluster(tissue().into_dyn()).await;
    let _pod = pod(&cluster).set("CONSUMER_TYPE", "multiplex").start();
    let hash = cluster.wait_done(&cluster.submit(INPUT, &[("channels", ""), ("scale", "1.4")]));
    let entries = cluster.result(&hash);
    let (rows, columns, _) = tissue().dim();
    assert_eq!(labels(&entries[0].1).shape(), [1, rows, columns]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_worked_fails_with_a_reason_that_says_what_to_mend() {
    let cluster = cluster(tissue().into_dyn()).await;
    let _pod = pod(&cluster).set("MAX_IMAGE_WIDTH", "4096").start();
    let reason = |fields: &[(&str, &str)]| cluster.wait_failed(&cluster.submit(INPUT, fields));
    let wrong = reason(&[("channels", ""), ("compartment", "membrane")]);
    assert_eq!(
        wrong,
        "ValueError: compartment `membrane`: expected whole-cell, nuclear or both"
    );
    let wrong = reason(&[("channels", "0")]);
    assert_eq!(
        wrong,
        "ValueError: image has 1 channels but the model takes 2"
    );
    let wrong = reason(&[("channels", "0,7")]);
    assert!(
        wrong.contains("channel 7 was selected but the image has 2"),
        "{wrong}"
    );
    let wrong = reason(&[("channels", "0;1")]);
    assert!(wrong.contains("`0;1` is not a channel number"), "{wrong}");
    let wrong = reason(&[("channels", ""), ("scale", "100")]);
    assert!(wrong.contains("scale 100 is not between"), "{wrong}");

    cluster.put(
        "uploads/gray.tif",
        &encode_tiff(tissue().index_axis(Axis(2), 0).into_dyn()),
    );
    let wrong = cluster.wait_failed(&cluster.submit("uploads/gray.tif", &[("channels", "")]));
    assert_eq!(
        wrong,
        "ValueError: image has 3 axes, batch included, but the model takes 4"
    );
    cluster.put("uploads/tissue.zip", b"PK");
    let wrong = cluster.wait_failed(&cluster.submit("uploads/tissue.zip", &[]));
    assert!(
        wrong.contains("Invalid filetype for \"segmentation\" job."),
        "{wrong}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_other_outputs_is_refused() {
    let cluster = cluster(tissue().into_dyn()).await;
    cluster.put("uploads/gray.tif", &encode_tiff(tissue().into_dyn().view()));
    let _pod = pod(&cluster).set("MESMER_MODEL", "TwoHeads:1").start();
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &[("channels", "")]));
    assert!(
        reason.contains("answered 2 outputs, this analysis needs one with 4"),
        "{reason}"
    );
}
