//! The image consumer as a Kiosk meets it: the real program, a real Redis, a bucket, and a gRPC model server.

use std::time::{Duration, Instant};

use bioimage::Limits;
use redis_consumer::serving::{DataType, Encoding, Method};
use tonic::Code;

use crate::peers;
use crate::peers::cluster::{Cluster, Pod, eventually};
use crate::peers::redis::{Sentinel, assert_stages_in_order};
use crate::peers::s3::{Fault, S3Server};

const IMAGE: &[u8] = include_bytes!("../fixtures/nuclei/dsb2018_777f7c42.png");
const INPUT: &str = "uploads/nuclei.png";

/// The fields of a frontend's job for an RGBA picture of which the first channel is segmented.
const FIELDS: [(&str, &str); 2] = [("dimension_order", "XYC"), ("channels", "0,")];

async fn cluster() -> Cluster {
    let cluster = Cluster::open().await;
    cluster.put(INPUT, IMAGE);
    cluster
}

fn cells(tiff: &[u8]) -> usize {
    let labels =
        bioimage::decode(tiff, "labels.tif", &Limits::default()).expect("the result is a TIFF");
    labels.iter().fold(0.0_f32, |most, &label| most.max(label)) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontends_job_runs_with_the_names_and_directions_of_the_contract() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(700));
    let _pod = cluster.pod("pod-1").start();
    let monitor = cluster.redis.monitor();
    let key = cluster.submit(INPUT, &FIELDS);
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
    assert!(cells(&entries[0].1) > 10, "{} cells", cells(&entries[0].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_choose_models_and_image_channels_by_position_and_number() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let hash = cluster
        .wait_done(&cluster.submit(INPUT, &[("dimension_order", "XYC"), ("channels", "2,,1")]));
    let names: Vec<_> = cluster
        .result(&hash)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
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
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
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
    assert!(cells(&entries[0].1) > 10);
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

#[tokio::test(flavor = "multi_thread")]
async fn jobs_share_the_memory_that_there_is() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(100));
    let pod = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "2")
        .set("MEMORY_BUDGET", "30Mi")
        .start();
    let jobs = [0; 3].map(|_| cluster.submit(INPUT, &FIELDS));
    jobs.iter().for_each(|key| drop(cluster.wait_done(key)));
    assert!(
        pod.log().contains("waiting for memory"),
        "two jobs at once are too many"
    );
    drop(pod);

    let _pod = cluster.pod("pod-1").set("MEMORY_BUDGET", "10Mi").start();
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &FIELDS));
    assert!(
        reason.starts_with("ValueError: the job needs about "),
        "{reason}"
    );
    assert!(
        reason.ends_with("bytes of memory, but MEMORY_BUDGET is 10485760"),
        "{reason}"
    );
    let beyond = [FIELDS[0], FIELDS[1], ("scale", "inf")];
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &beyond));
    assert_eq!(reason, "ValueError: scale inf is not between 0.1 and 10");
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
    cluster.wait_done(&cluster.submit(INPUT, &named));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_clients_job_without_channels_and_order_is_worked() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&cluster.submit(
        INPUT,
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
        cluster.wait_done(&cluster.submit(INPUT, &[("scale", ""), ("dimension_order", "XYC")]));
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
        (INPUT, &[("input_file_name", "")], "names no input file"),
        (
            INPUT,
            &[("dimension_order", "BXYC")],
            "image has 3 axes but dimension order `BXYC` names 4",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("channels", "9")],
            "channel 9",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("channels", "x")],
            "not a channel number",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("channels", ",,")],
            "selects no channel",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("channels", "0,1,2,3")],
            "3 models",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("scale", "many")],
            "scale `many` is not a number",
        ),
        (
            INPUT,
            &[("dimension_order", "XYC"), ("scale", "11")],
            "between 0.1 and 10",
        ),
        (
            INPUT,
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
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &FIELDS));
    assert!(
        reason.contains("360 wide") && reason.contains("359"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_work_side_by_side_with_a_list_each() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(300));
    let _pod = cluster.pod("pod-1").set("CONCURRENCY", "3").start();
    let keys: Vec<_> = (0..9).map(|_| cluster.submit(INPUT, &FIELDS)).collect();
    let mut lists = Vec::new();
    eventually("three slots are busy", || {
        lists = cluster.redis.keys("processing-*");
        lists.len() == 3
    });
    lists.sort();
    let expected = [
        "processing-segmentation:pod-1",
        "processing-segmentation:slot1:pod-1",
        "processing-segmentation:slot2:pod-1",
    ];
    assert_eq!(lists, expected);
    keys.iter().for_each(|key| drop(cluster.wait_done(key)));
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_consumers_job_is_taken_up_by_its_successor_of_the_same_name() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(INPUT, &FIELDS);
    pod.kill();
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-1"),
        [key.as_str()]
    );

    let _pod = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["rc_crashes"], "1");
    eventually("nothing is left behind", || cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_job_that_fits_the_grace_is_finished_and_the_exit_is_clean() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(500));
    let mut pod = cluster.pod("pod-1").start();
    let first = cluster.submit_to_model(INPUT, &FIELDS);
    let second = cluster.submit(INPUT, &FIELDS);
    pod.terminate();
    assert_eq!(pod.wait().code(), Some(0));
    assert_eq!(cluster.redis.hash(&first)["status"], "done");
    assert_eq!(cluster.redis.hash(&second)["status"], "new");
    assert_eq!(cluster.redis.list("segmentation"), [second]);
    assert!(cluster.redis.keys("processing-*").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_job_that_does_not_fit_goes_back_to_the_front() {
    let cluster = cluster().await;
    cluster.models.faults().hang(Method::Predict, 1);
    let mut pod = cluster.pod("pod-1").set("SHUTDOWN_GRACE", "0.3").start();
    let first = cluster.submit_to_model(INPUT, &FIELDS);
    let second = cluster.submit(INPUT, &FIELDS);
    pod.terminate();
    assert_eq!(pod.wait().code(), Some(0));
    assert_eq!(
        cluster.redis.list("segmentation"),
        [second, first.clone()],
        "the right end is served next"
    );
    assert!(cluster.redis.keys("processing-*").is_empty());
    assert_eq!(
        cluster
            .redis
            .ask::<u32>(&["EXISTS", "rc:lease:segmentation"]),
        0
    );

    let _pod = cluster.pod("pod-2").start();
    assert!(
        !cluster.wait_done(&first).contains_key("rc_crashes"),
        "nothing is counted against it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_retryable_answer_of_the_model_server_is_retried() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
    ] {
        let before = cluster.models.faults().calls(Method::Predict);
        cluster.models.faults().fail(Method::Predict, code, 2);
        cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
        assert!(
            cluster.models.faults().calls(Method::Predict) >= before + 3,
            "{code:?}"
        );
    }
    cluster
        .models
        .faults()
        .fail(Method::Predict, Code::InvalidArgument, 1);
    let reason = cluster.wait_failed(&cluster.submit(INPUT, &FIELDS));
    assert!(
        reason.starts_with("ModelServerError: ") && reason.contains("NuclearSegmentation:6"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_model_server_meets_the_deadline_and_is_asked_again() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").set("GRPC_TIMEOUT", "0.5").start();
    cluster.models.faults().hang(Method::Predict, 1);
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_the_same_in_every_encoding_of_the_answer() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let result = || cluster.result(&cluster.wait_done(&cluster.submit(INPUT, &FIELDS)));
    let expected = result();
    for encoding in [
        Encoding::Content(DataType::F32),
        Encoding::Listed(DataType::F32),
        Encoding::Shortened(DataType::F32),
        Encoding::Content(DataType::F64),
        Encoding::Listed(DataType::F64),
    ] {
        cluster.models.faults().answer_as(encoding);
        assert_eq!(result(), expected, "{encoding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_that_comes_up_late_is_waited_for_with_a_heartbeat() {
    let cluster = cluster().await;
    let port = peers::redis::free_port();
    let _pod = cluster
        .pod("pod-1")
        .set("TF_PORT", &port.to_string())
        .start();
    let key = cluster.submit(INPUT, &FIELDS);
    let updated = || {
        cluster
            .redis
            .hash(&key)
            .get("updated_at")
            .cloned()
            .unwrap_or_default()
    };
    eventually("the job waits", || {
        cluster.redis.hash(&key)["status"] != "new"
    });
    let first = updated();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(updated() > first, "the heartbeat refreshes updated_at");
    let model = peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]);
    let _server = redis_consumer::serving::ModelServer::start(port, vec![model])
        .await
        .expect("the port is free");
    cluster.wait_done(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_queue_entry_however_malformed_stops_the_consumer() {
    let cluster = cluster().await;
    let mut pod = cluster.pod("pod-1").start();
    let _: String = cluster.redis.ask(&["SET", "a-string", "value"]);
    let _: u32 = cluster.redis.ask(&["SADD", "a-set", "member"]);
    let _: u32 = cluster.redis.ask(&["HSET", "stub", "updated_by", "pod-0"]);
    for entry in ["no-such-key", "a-string", "a-set", "stub", ""] {
        let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", entry]);
    }
    let not_utf8 = b"segmentation:\xff\xfe:1".to_vec();
    let _: u32 = cluster.redis.ask_bytes(
        "HSET",
        &[
            not_utf8.clone(),
            b"status".to_vec(),
            b"new".to_vec(),
            b"input_file_name".to_vec(),
            INPUT.into(),
        ],
    );
    let _: u32 = cluster
        .redis
        .ask_bytes("LPUSH", &[b"segmentation".to_vec(), not_utf8.clone()]);
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    eventually("nothing is left behind", || cluster.is_quiet());
    let status: String = cluster
        .redis
        .ask_bytes("HGET", &[not_utf8, b"status".to_vec()]);
    assert_eq!(status, "done", "keys are bytes");
    assert_eq!(cluster.redis.hash("stub")["status"], "failed");
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_already_final_is_dropped_and_not_run_again() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    let key = cluster.submit(INPUT, &FIELDS);
    let before = cluster.wait_done(&key);
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", &key]);
    eventually("the entry is dropped", || cluster.is_quiet());
    assert_eq!(cluster.redis.hash(&key), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twice_is_worked_once() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(400));
    let _pod = cluster.pod("pod-1").set("CONCURRENCY", "2").start();
    cluster.write_job("twice", INPUT, &FIELDS);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "twice", "twice"]);
    let hash = cluster.wait_done("twice");
    eventually("nothing is left behind", || cluster.is_quiet());
    assert_eq!(hash["rc_claims"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_hash_expires_leaves_nothing_behind() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(500));
    let _pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(INPUT, &FIELDS);
    let _: u32 = cluster.redis.ask(&["DEL", &key]);
    eventually("the entry is dropped", || cluster.is_quiet());
    assert_eq!(
        cluster.redis.ask::<u32>(&["EXISTS", &key]),
        0,
        "no stub is written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_janitor_moved_is_not_overwritten() {
    let cluster = cluster().await;
    cluster.models.faults().delay(Duration::from_millis(700));
    let mut pod = cluster.pod("pod-1").start();
    let key = cluster.submit_to_model(INPUT, &FIELDS);
    // A Python consumer has it now: the janitor took it out of our list, and that consumer wrote its name.
    let _: u32 = cluster
        .redis
        .ask(&["LREM", "processing-segmentation:pod-1", "1", &key]);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:python-0", &key]);
    let _: u32 = cluster.redis.ask(&[
        "HSET",
        &key,
        "status",
        "started",
        "identity_started",
        "python-0",
    ]);
    eventually("our result is dropped", || {
        pod.log().contains("its result is dropped")
    });
    let hash = cluster.redis.hash(&key);
    assert!(
        !hash.contains_key("output_url") && hash["identity_started"] == "python-0",
        "{hash:?}"
    );
    assert_eq!(
        cluster.redis.list("processing-segmentation:python-0"),
        [key]
    );
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_is_survived_idle_and_in_mid_job() {
    let mut cluster = cluster().await;
    let mut pod = cluster.pod("pod-1").start();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));

    cluster.models.faults().delay(Duration::from_millis(300));
    let key = cluster.submit_to_model(INPUT, &FIELDS);
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.redis.resume();
    cluster.wait_done(&key);
    eventually("nothing is left behind", || cluster.is_quiet());
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_may_start_before_redis_does() {
    let mut cluster = cluster().await;
    cluster.redis.pause();
    let mut pod = cluster.pod("pod-1").start();
    eventually("it notices", || pod.log().contains("redis does not answer"));
    assert!(pod.is_running());
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_may_be_a_sentinels_as_kiosks_have_it() {
    let mut cluster = cluster().await;
    let sentinel = Sentinel::start(&cluster.redis, "kiosk");
    let mut pod = cluster
        .pod("pod-1")
        .set("REDIS_PORT", &sentinel.port.to_string())
        .start();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    cluster.redis.pause();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.resume();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_consumer_picks_a_job_up_at_once_and_asks_redis_little() {
    let cluster = cluster().await;
    let _pod = cluster.pod("pod-1").start();
    cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    let monitor = cluster.redis.monitor();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sent = monitor
        .lines(&cluster.redis)
        .into_iter()
        .filter(|line| !line.contains("lua]"))
        .count();
    assert!(sent <= 12, "{sent} commands in three idle seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_python_consumer_of_the_same_name_are_put_back() {
    let cluster = cluster().await;
    cluster.write_job(
        "left",
        INPUT,
        &[("dimension_order", "XYC"), ("status", "predicting")],
    );
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:pod-1", "left"]);
    cluster.write_job("foreign", INPUT, &FIELDS);
    let _: u32 = cluster
        .redis
        .ask(&["LPUSH", "processing-segmentation:pod-10", "foreign"]);
    let _pod = cluster.pod("pod-1").start();
    cluster.wait_done("left");
    assert_eq!(
        cluster.redis.list("processing-segmentation:pod-10"),
        ["foreign"],
        "another pod's list is not ours"
    );
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

/// A gray TIFF of the picture's first channel.
fn gray() -> Vec<u8> {
    let image =
        bioimage::decode(IMAGE, "nuclei.png", &Limits::default()).expect("the fixture is an image");
    let plane = image.index_axis(ndarray::Axis(2), 0).to_owned();
    bioimage::encode_tiff(plane.view().into_dyn())
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

/// A consumer whose bucket is on an S3 server.
fn pod_on_s3(cluster: &Cluster, s3: &S3Server) -> Pod {
    let settings = s3
        .environment()
        .into_iter()
        .fold(cluster.pod("pod-1"), |pod, (name, value)| {
            pod.set(&name, &value)
        });
    settings.set("STORAGE_MAX_BACKOFF", "1").start()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_on_s3_lies_where_the_hash_says() {
    let cluster = Cluster::open().await;
    let s3 = S3Server::start();
    std::fs::create_dir_all(s3.folder().join("uploads")).expect("a folder");
    std::fs::write(s3.folder().join(INPUT), IMAGE).expect("an object");
    let _pod = pod_on_s3(&cluster, &s3);
    let hash = cluster.wait_done(&cluster.submit(INPUT, &FIELDS));
    assert!(
        s3.folder().join(&hash["output_file_name"]).exists(),
        "{hash:?}"
    );
    assert!(hash["output_url"].ends_with(&hash["output_file_name"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_answers_503_for_a_while_costs_time_and_nothing_else() {
    let cluster = Cluster::open().await;
    let s3 = S3Server::start();
    std::fs::create_dir_all(s3.folder().join("uploads")).expect("a folder");
    std::fs::write(s3.folder().join(INPUT), IMAGE).expect("an object");
    let _pod = pod_on_s3(&cluster, &s3);
    for outage in [Duration::from_secs(3), Duration::from_secs(30)] {
        s3.fail_for(outage, Fault::Status(503));
        let key = cluster.submit(INPUT, &FIELDS);
        let submitted = Instant::now();
        let mut stamps = std::collections::BTreeSet::new();
        eventually("the job is done", || {
            let hash = cluster.redis.hash(&key);
            stamps.insert(hash["updated_at"].clone());
            hash["status"] == "done"
        });
        assert!(
            submitted.elapsed() >= outage,
            "it was done during the outage"
        );
        assert!(
            outage < Duration::from_secs(10) || stamps.len() > 5,
            "the heartbeat goes on: {stamps:?}"
        );
    }
}
