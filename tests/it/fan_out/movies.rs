//! Movies, whose frames are segmented by jobs of their own and then tracked.

use std::collections::HashMap;
use std::time::Duration;

use bioimage::encode_tiff;
use ndarray::Array2;
use redis_consumer::serving::Method;
use serde_json::Value;

use crate::peers::cluster::{Cluster, PodSettings, eventually};
use crate::peers::results::labels;
use crate::peers::synthetic_images::movie;

fn tracking_pod(cluster: &Cluster) -> PodSettings {
    let pod = cluster
        .pod("pod-track")
        .set("CONSUMER_TYPE", "caliban")
        .set("QUEUE", "caliban");
    pod.set("SEGMENTATION_QUEUE", "segmentation")
        .set("LEASE_TIME", "2")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_is_segmented_by_jobs_of_its_frames_and_tracked() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &movie(5));
    let _track = tracking_pod(&cluster).set("ISBI_OUTPUT", "true").start();
    let key = cluster.submit_to(
        "caliban",
        "uploads/movie.tif",
        &[("original_name", "some folder/movie.tif")],
    );
    let frames = cluster.children(&key);
    assert_eq!(frames.len(), 5);
    let frame = cluster.redis.hash(&frames[4]);
    assert!(
        frame["original_name"].ends_with("-some folder_movie.tif-tracking-frame-4.tif"),
        "{frame:?}"
    );
    assert_eq!(
        (
            frame["channels"].as_str(),
            frame["dimension_order"].as_str()
        ),
        ("0,,", "XY")
    );
    assert_eq!(
        (
            frame["model_name"].as_str(),
            frame["identity_upload"].as_str()
        ),
        ("", "pod-track")
    );

    let _images = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("5", "100")
    );
    let seconds =
        |hash: &HashMap<String, String>| hash["total_time"].parse::<f64>().expect("seconds");
    assert!(
        frames
            .iter()
            .all(|frame| seconds(&hash) > seconds(&cluster.redis.hash(frame))),
        "the frames' time counts"
    );
    let result: HashMap<String, Vec<u8>> = cluster.result(&hash).into_iter().collect();
    let labels = labels(&result["some folder/movie_feature_0.tif"]);
    assert_eq!(labels.shape(), [5, 96, 96]);
    let lineage: Value = serde_json::from_slice(&result["lineage.json"]).expect("a lineage");
    assert!(
        lineage["1"]["frames"]
            .as_array()
            .is_some_and(|frames| frames.len() == 5),
        "{lineage}"
    );
    let rows = String::from_utf8(result["isbi/res_track.txt"].clone()).expect("text");
    assert!(rows.starts_with("1 0 4 0\n"), "{rows}");
    assert!(result.contains_key("isbi/mask004.tif"));
    eventually("the frames expire", || {
        frames
            .iter()
            .all(|frame| cluster.redis.ask::<i64>(&["TTL", frame]) > 0)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_movie_counts_every_frame_twice_and_never_goes_back() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &movie(8));
    cluster.models.faults().delay(Duration::from_millis(250));
    let _track = tracking_pod(&cluster).start();
    let _images = cluster.pod("pod-1").start();
    let key = cluster.submit_to("caliban", "uploads/movie.tif", &[]);
    let mut seen = vec![0];
    eventually("it is done", || {
        let hash = cluster.redis.hash(&key);
        let now: u32 = hash
            .get("progress")
            .map_or(0, |progress| progress.parse().expect("a whole number"));
        let before = *seen.last().expect("it begins with 0");
        assert!(now >= before, "progress goes back from {before} to {now}");
        if now > before {
            seen.push(now);
        }
        hash["status"] == "done"
    });
    assert_eq!(seen.last(), Some(&100));
    assert!(
        seen.iter().any(|progress| (1..50).contains(progress)),
        "frames are segmented: {seen:?}"
    );
    assert!(
        seen.iter().any(|progress| (51..100).contains(progress)),
        "frames are tracked: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_fails_with_its_first_frame_that_does() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &movie(20));
    cluster.models.faults().delay(Duration::from_millis(150));
    cluster
        .models
        .faults()
        .fail(Method::Predict, tonic::Code::InvalidArgument, 1);
    let _track = tracking_pod(&cluster).start();
    let key = cluster.submit_to("caliban", "uploads/movie.tif", &[]);
    let frames = cluster.children(&key);
    let images = cluster.pod("pod-1").start();
    let reason = cluster.wait_failed(&key);
    let start = "RuntimeError: Tracking failed during segmentation on frame 0. Segmentation Error: ModelServerError: ";
    assert!(reason.starts_with(start), "{reason}");
    drop(images);
    eventually("no frame that has not begun is worked any more", || {
        let hashes = frames.iter().map(|frame| cluster.redis.hash(frame));
        hashes
            .filter(|hash| hash["status"] == "new" && !hash.contains_key("rc_token"))
            .count()
            == 0
    });
    let reasons = frames
        .iter()
        .filter_map(|frame| cluster.redis.hash(frame).remove("reason"));
    let cancelled = reasons
        .filter(|reason| reason.contains("has ended"))
        .count();
    assert!(cancelled >= 10, "{cancelled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_movie_is_refused() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put(
        "uploads/image.tif",
        &encode_tiff(Array2::<f32>::zeros((40, 40)).view().into_dyn()),
    );
    cluster.put("uploads/long.TIF", &movie(7));
    let _track = tracking_pod(&cluster).set("MAX_IMAGE_FRAMES", "6").start();
    let reason = |name: &str| cluster.wait_failed(&cluster.submit_to("caliban", name, &[]));
    assert_eq!(
        reason("uploads/a.png"),
        "Invalid filetype for \"caliban\" job."
    );
    assert!(reason("uploads/image.tif").contains("(40, 40), which is not 3 dimensions"));
    assert!(
        reason("uploads/long.TIF")
            .contains("7 frames but the maximum number of allowed frames is 6")
    );
}
