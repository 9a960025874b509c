//! What a job may ask for, and what comes of it.

use std::time::{Duration, Instant};

use bioimage::Limits;
use redis_consumer::serving::Method;

use super::cluster;
use crate::peers::cluster::{FIELDS, IMAGE, NUCLEI, eventually};
use crate::peers::redis::assert_stages_in_order;
use crate::peers::results::cell_count;

#[tokio::test(flavor = "multi_thread")]
async fn a_frontends_job_runs_with_the_names_and_directions_of_the_contract() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(700));
    let _pod = cluster.pod("pod-1").start();
    let monitor = cluster.redis.monitor();
    let key = cluster.submit(NUCLEI, &FIELDS);
    let hash = cluster.wait_done(&key);
    eventually("the processing list is gone", || cluster.is_quiet());
    let lines = monitor.lines(&cluster.redis);

    let has = |words: &[&str]| {
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        has(&["\"RPOPLPUSH\" \"segmentation\" \"processing-segmentation:pod-1\""]),
        "{lines:#?}"
    );
    assert!(
        has(&["\"LREM\" \"processing-segmentation:pod-1\" \"1\"", &key]),
        "{lines:#?}"
    );
    assert_stages_in_order(&lines);

    for field in [
        "output_url",
        "output_file_name",
        "created_at",
        "finished_at",
        "total_time",
        "upload_time",
        "download_time",
    ] {
        assert!(
            hash.get(field).is_some_and(|value| !value.is_empty()),
            "{field} in {hash:?}"
        );
    }
    assert_eq!(
        (
            hash["total_jobs"].as_str(),
            hash["identity_started"].as_str()
        ),
        ("1", "pod-1")
    );
    assert_eq!(
        (
            hash["updated_by"].as_str(),
            hash["identity_upload"].as_str()
        ),
        ("pod-1", "frontend-0")
    );
    assert!(hash["updated_at"].ends_with("+00:00") && hash["finished_at"].ends_with("+00:00"));
    assert!(!hash.contains_key("rc_token"), "{hash:?}");

    let entries = cluster.result(&hash);
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["uploads/nuclei_batch_0_feature_0.tif"]);
    assert!(
        cell_count(&entries[0].1) > 10,
        "{} cells",
        cell_count(&entries[0].1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_choose_models_and_image_channels_by_position_and_number() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let hash = cluster
        .wait_done(&cluster.submit(NUCLEI, &[("dimension_order", "XYC"), ("channels", "2,,1")]));
    let names = cluster.result_names(&hash);
    assert_eq!(
        names,
        [
            "uploads/nuclei_batch_0_feature_0.tif",
            "uploads/nuclei_batch_0_feature_1.tif"
        ]
    );
    let models: Vec<_> = cluster
        .models
        .faults()
        .seen()
        .into_iter()
        .filter(|seen| seen.method == Method::Predict)
        .collect();
    assert!(
        models
            .iter()
            .any(|seen| seen.model == "NuclearSegmentation" && seen.version == Some(6))
    );
    assert!(
        models
            .iter()
            .any(|seen| seen.model == "PhaseCytoSegmentation" && seen.version == Some(0)),
        "version 0 is explicit"
    );
    assert!(
        models
            .iter()
            .all(|seen| seen.model != "CytoplasmSegmentation")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_cache_holds_what_python_consumers_read() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    cluster.wait_done(&cluster.submit(NUCLEI, &FIELDS));
    let cached: String = cluster
        .redis
        .ask(&["HGET", "NuclearSegmentation:6", "metadata"]);
    let cached: serde_json::Value = serde_json::from_str(&cached).expect("it is JSON");
    assert_eq!(cached["image"]["dtype"], "DT_FLOAT");
    assert_eq!(cached["image"]["tensorShape"]["dim"][1]["size"], "64");
    let lifetime: i64 = cluster.redis.ask(&["TTL", "NuclearSegmentation:6"]);
    assert!((1..=30).contains(&lifetime), "{lifetime}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_names_its_model_runs_that_model_and_its_functions() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let older = |pre: &str, post: &str| {
        let fields = [
            ("channels", ""),
            ("dimension_order", ""),
            ("model_name", "NuclearSegmentation"),
            ("model_version", "0"),
            ("preprocess_function", pre),
            ("postprocess_function", post),
        ];
        cluster.put("uploads/gray.tif", &gray());
        cluster.submit("uploads/gray.tif", &fields)
    };
    let hash = cluster.wait_done(&older("histogram_normalization", "deep_watershed"));
    let entries = cluster.result(&hash);
    assert_eq!(
        entries
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["uploads/gray_feature_0.tif"]
    );
    assert!(cell_count(&entries[0].1) > 10);
    assert!(
        hash.contains_key("preprocess_time") && hash.contains_key("postprocess_time"),
        "{hash:?}"
    );

    let raw = cluster.result(&cluster.wait_done(&older("", "none")));
    assert_eq!(raw.len(), 2, "one feature for each output of the model");

    let reason = cluster.wait_failed(&older("", "retinanet"));
    assert!(
        reason.starts_with("ValueError: ") && reason.contains("`retinanet` is not offered"),
        "{reason}"
    );
}

/// A gray TIFF of the picture's first channel.
fn gray() -> Vec<u8> {
    let image =
        bioimage::decode(IMAGE, "nuclei.png", &Limits::default()).expect("the fixture is an image");
    let plane = image.index_axis(ndarray::Axis(2), 0).to_owned();
    bioimage::encode_tiff(plane.view().into_dyn())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_can_overrule_models_of_jobs() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").set("MODEL_SELECTION", "env").start();
    let named = [
        ("channels", ""),
        ("dimension_order", ""),
        ("model_name", "Missing"),
        ("model_version", "3"),
    ];
    cluster.wait_done(&cluster.submit(NUCLEI, &named));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_clients_job_without_channels_and_order_is_worked() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&cluster.submit(
        NUCLEI,
        &[("channels", ""), ("dimension_order", ""), ("scale", "")],
    ));
    assert_eq!(cluster.result(&hash).len(), 1);
    assert_eq!(hash["scale"], "1", "the scale that was used is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn detectors_are_asked_only_if_they_are_on() {
    let cluster = cluster().await;
    let _pod = cluster
        .pod("pod-1")
        .set("SCALE_DETECT_ENABLED", "true")
        .set("MIN_SCALE", "0.01")
        .start();
    let hash =
        cluster.wait_done(&cluster.submit(NUCLEI, &[("scale", ""), ("dimension_order", "XYC")]));
    let scale: f64 = hash["scale"].parse().expect("a number");
    assert!(scale > 0.0 && scale != 1.0, "{scale}");
    assert!(
        cluster
            .models
            .faults()
            .seen()
            .iter()
            .any(|seen| seen.model == "ScaleDetection")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_fails_with_a_reason_that_stands_alone() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    cluster.put("uploads/broken.png", &IMAGE[..IMAGE.len() / 2]);
    cluster.put("uploads/text.tif", b"this is no image");
    let failed =
        |input: &str, fields: &[(&str, &str)]| cluster.wait_failed(&cluster.submit(input, fields));

    assert_eq!(
        failed("uploads/cells.ZIP", &FIELDS),
        "Invalid filetype for \"segmentation\" job."
    );
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 12] = [
        ("uploads/broken.png", &FIELDS, "ValueError"),
        (
            "uploads/text.tif",
            &[("dimension_order", "XY")],
            "ValueError",
        ),
        ("uploads/missing.png", &FIELDS, "not in"),
        (NUCLEI, &[("input_file_name", "")], "names no input file"),
        (
            NUCLEI,
            &[("dimension_order", "BXYC")],
            "image has 3 axes but dimension order `BXYC` names 4",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("channels", "9")],
            "channel 9",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("channels", "x")],
            "not a channel number",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("channels", ",,")],
            "selects no channel",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("channels", "0,1,2,3")],
            "3 models",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("scale", "many")],
            "scale `many` is not a number",
        ),
        (
            NUCLEI,
            &[("dimension_order", "XYC"), ("scale", "11")],
            "between 0.1 and 10",
        ),
        (
            NUCLEI,
            &[
                ("dimension_order", "XYC"),
                ("input_file_name", "s3://other/key.png"),
            ],
            "StorageError",
        ),
    ];
    for (input, fields, expected) in cases {
        let reason = failed(input, fields);
        assert!(
            reason.contains(expected) && reason.contains(": "),
            "{fields:?}: {reason}"
        );
    }
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_over_the_limit_are_refused() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").set("MAX_IMAGE_WIDTH", "359").start();
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        reason.contains("360 wide") && reason.contains("359"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_share_the_memory_that_there_is() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(100));
    let pod = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "2")
        .set("MEMORY_BUDGET", "30Mi")
        .start();
    let jobs = [0; 3].map(|_| cluster.submit(NUCLEI, &FIELDS));
    jobs.iter().for_each(|key| drop(cluster.wait_done(key)));
    assert!(
        pod.log().contains("waiting for memory"),
        "two jobs at once are too many"
    );
    drop(pod);

    let _pod = cluster.pod("pod-1").set("MEMORY_BUDGET", "10Mi").start();
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &FIELDS));
    assert!(
        reason.starts_with("ValueError: the job needs about "),
        "{reason}"
    );
    assert!(
        reason.ends_with("bytes of memory, but MEMORY_BUDGET is 10485760"),
        "{reason}"
    );
    let beyond = [FIELDS[0], FIELDS[1], ("scale", "inf")];
    let reason = cluster.wait_failed(&cluster.submit(NUCLEI, &beyond));
    assert_eq!(reason, "ValueError: scale inf is not between 0.1 and 10");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_out_of_logs_and_reasons() {
    let cluster = cluster().await;
    let pod = cluster
        .pod("pod-1")
        .set("AWS_ACCESS_KEY_ID", "key")
        .set("AWS_SECRET_ACCESS_KEY", "hunter2-secret")
        .start();
    let reason = cluster.wait_failed(&cluster.submit("uploads/missing.png", &FIELDS));
    assert!(
        !reason.contains("hunter2") && !reason.contains("/tmp"),
        "{reason}"
    );
    assert!(!pod.log().contains("hunter2"));
}

#[test]
fn the_start_is_quick_to_refuse_wrong_settings() {
    let started = Instant::now();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .env_clear()
        .env("REDIS_PORT", "many")
        .env("GRPC_TIMEOUT", "-1")
        .env("CONSUMER_TYPE", "wizard")
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{text}");
    for name in [
        "REDIS_PORT",
        "GRPC_TIMEOUT",
        "CONSUMER_TYPE",
        "STORAGE_BUCKET",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}
