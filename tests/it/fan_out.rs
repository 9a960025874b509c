//! Jobs that become many and come back as one: archives and movies; and spots, which archives of images are made for, too.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::time::Duration;

use bioimage::{Limits, encode_tiff};
use ndarray::Array2;
use redis_consumer::serving::Method;
use redis_consumer::storage::archive::write_zip;
use serde_json::Value;

use crate::peers::cluster::{Cluster, FIELDS, IMAGE, PodSettings, eventually};
use crate::peers::proxy::Proxy;
use crate::peers::python_kiosk::PythonConsumer;
use crate::peers::s3::{Fault, S3Server};
use crate::peers::synthetic_images::{archive, movie, spots_and_cells};

fn zip_pod(cluster: &Cluster, name: &str) -> PodSettings {
    cluster
        .pod(name)
        .set("CONSUMER_TYPE", "zip")
        .set("LEASE_TIME", "2")
}

/// The same with its bucket on an S3 server, and quick to try again.
fn zip_pod_on(cluster: &Cluster, s3: &S3Server) -> PodSettings {
    on(s3, zip_pod(cluster, "pod-zip"))
}

fn on(s3: &S3Server, pod: PodSettings) -> PodSettings {
    let pod = pod
        .set("STORAGE_MAX_BACKOFF", "0.01")
        .set("RETRY_BACKOFF", "0.1");
    s3.environment()
        .into_iter()
        .fold(pod, |pod, (name, value)| pod.set(&name, &value))
}

/// Puts an object into the bucket of an S3 server in one step.
fn put_on(s3: &S3Server, key: &str, body: &[u8]) {
    let path = s3.folder().join(key);
    fs::create_dir_all(path.parent().expect("it lies in the bucket")).expect("a folder");
    let new = s3.folder().join("new");
    fs::write(&new, body).expect("an object");
    fs::rename(new, path).expect("an object in its place");
}

/// Content that does not get smaller when it is packed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

fn children(hash: &HashMap<String, String>) -> Vec<String> {
    hash["children"].split(',').map(str::to_owned).collect()
}

fn is_quiet(cluster: &Cluster) -> bool {
    let left = [
        "segmentation-zip",
        "rc:lease:segmentation-zip",
        "rc:parked:segmentation-zip",
        "rc:delayed:segmentation-zip",
    ];
    cluster.is_quiet()
        && left
            .iter()
            .all(|key| cluster.redis.ask::<u32>(&["EXISTS", key]) == 0)
        && cluster.redis.keys("rc:pending:*").is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_becomes_jobs_and_their_results_one_archive() {
    let cluster = Cluster::with_models_of_children().await;
    let mut entries: Vec<_> = [
        "b/one, two.png",
        "__MACOSX/b/._one.png",
        ".DS_Store",
        "a.png",
        "plain",
        "b/c/d.png",
    ]
    .map(|name| (name.to_owned(), IMAGE.to_vec()))
    .into();
    entries.push(("broken.tif".to_owned(), b"II*\0no image".to_vec()));
    cluster.put(
        "uploads/some.zip",
        &write_zip(entries).expect("it fits in memory"),
    );
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    eventually("it waits for its children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    assert!(
        cluster.redis.keys("processing-*").is_empty(),
        "a job that waits occupies no slot"
    );
    let waiting = cluster.redis.hash(&key);
    let children = children(&waiting);
    assert_eq!((children.len(), waiting["progress"].as_str()), (4, "0"));
    assert_eq!(cluster.redis.list("segmentation").len(), 4);
    let first = cluster.redis.hash(&children[0]);
    assert!(
        children[0].starts_with("segmentation:b/one_ two.png:"),
        "{children:?}"
    );
    assert_eq!(
        (first["original_name"].as_str(), first["status"].as_str()),
        ("b/one, two.png", "new")
    );
    assert_eq!(
        (
            first["channels"].as_str(),
            first["dimension_order"].as_str()
        ),
        ("0,", "XYC")
    );
    assert!(
        !first.contains_key("children") && !first.contains_key("output_url"),
        "{first:?}"
    );

    let _images = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("4", "100")
    );
    let failures: Vec<(String, String)> = url::form_urlencoded::parse(hash["failures"].as_bytes())
        .into_owned()
        .collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, children[3]);
    assert!(failures[0].1.starts_with("ValueError: "), "{failures:?}");
    for field in [
        "download_time",
        "prediction_time",
        "upload_time",
        "total_time",
    ] {
        assert_eq!(
            hash[field].split(',').count(),
            3,
            "one for each child that is done: {field}"
        );
    }
    for field in [
        "children_upload_time",
        "cleanup_time",
        "finished_at",
        "output_url",
    ] {
        assert!(
            hash.get(field).is_some_and(|value| !value.is_empty()),
            "{field} in {hash:?}"
        );
    }
    let names: Vec<_> = cluster
        .result(&hash)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let feature = "_batch_0_feature_0.tif";
    assert_eq!(
        names,
        ["b/one, two", "a", "b/c/d"].map(|name| format!("{name}{feature}"))
    );
    for child in &children {
        let lifetime: i64 = cluster.redis.ask(&["TTL", child]);
        assert!((3500..=3600).contains(&lifetime), "{lifetime}");
    }
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_be_worked_fails_with_a_reason() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/empty.zip", &archive(&["__MACOSX/a.png", "plain"]));
    cluster.put("uploads/broken.zip", b"no archive");
    cluster.put("uploads/many.zip", &archive(&["1.png", "2.png", "3.png"]));
    let _zip = zip_pod(&cluster, "pod-zip")
        .set("MAX_ARCHIVE_ENTRIES", "2")
        .start();
    let reason =
        |name: &str| cluster.wait_failed(&cluster.submit_to("segmentation-zip", name, &[]));
    assert_eq!(
        reason("uploads/empty.zip"),
        "ValueError: the archive holds no images (files with a suffix)"
    );
    assert_eq!(
        reason("uploads/broken.zip"),
        "ValueError: File is not a zip file"
    );
    assert_eq!(
        reason("uploads/many.zip"),
        "ValueError: the archive holds 3 images, more than the limit of 2"
    );
    assert_eq!(
        reason("uploads/a.png"),
        "Invalid filetype for \"segmentation-zip\" job."
    );
    assert!(cluster.redis.list("segmentation").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_waits_for_the_memory_of_a_few_of_its_images() {
    let cluster = Cluster::with_models_of_children().await;
    let entries = |length: usize| (0..9).map(move |n| (format!("{n}.tif"), noise(length, n)));
    cluster.put(
        "uploads/small.zip",
        &write_zip(entries(200 << 10)).expect("it fits in memory"),
    );
    cluster.put(
        "uploads/large.zip",
        &write_zip(entries(1 << 20)).expect("it fits in memory"),
    );
    let _zip = zip_pod(&cluster, "pod-zip")
        .set("MEMORY_BUDGET", "3Mi")
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/small.zip", &FIELDS);
    eventually("it waits for its children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let key = cluster.submit_to("segmentation-zip", "uploads/large.zip", &FIELDS);
    let reason = cluster.wait_failed(&key);
    assert!(
        reason.ends_with("bytes of memory, but MEMORY_BUDGET is 3145728"),
        "{reason}"
    );
    assert_eq!(cluster.redis.hash(&key)["error_class"], "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_at_any_moment_does_not_double_the_children() {
    let cluster = Cluster::with_models_of_children().await;
    let names: Vec<_> = (0..60).map(|n| format!("{n:02}.png")).collect();
    cluster.put(
        "uploads/some.zip",
        &archive(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    for pause in [5, 10, 20, 30, 40] {
        let mut zip = zip_pod(&cluster, "pod-zip").set("MAX_CRASHES", "9").start();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        zip.kill();
    }
    let _zip = zip_pod(&cluster, "pod-zip").set("MAX_CRASHES", "9").start();
    eventually("it waits for its children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let mut queued = cluster.redis.list("segmentation");
    queued.reverse();
    assert_eq!(queued, children(&cluster.redis.hash(&key)));
    assert_eq!(cluster.redis.keys("segmentation:*").len(), 60);

    let mut images = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "2")
        .set("LEASE_TIME", "2")
        .start();
    eventually("some are done", || {
        cluster.redis.hash(&key)["progress"] != "0"
    });
    images.kill();
    let _images = cluster
        .pod("pod-2")
        .set("CONCURRENCY", "2")
        .set("LEASE_TIME", "2")
        .start();
    let mut progress = 0;
    eventually("it is done", || {
        let hash = cluster.redis.hash(&key);
        let now = hash["progress"].parse().expect("a number");
        assert!(
            now >= progress,
            "progress goes back from {progress} to {now}"
        );
        progress = now;
        hash["status"] == "done"
    });
    let hash = cluster.redis.hash(&key);
    assert_eq!(
        (hash["failures"].as_str(), hash["total_jobs"].as_str()),
        ("", "60")
    );
    assert_eq!(cluster.result(&hash).len(), 60);
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_cut_off_while_it_expanded_an_archive_leaves_the_children_of_its_successor_alone()
 {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    let names: Vec<_> = (0..30).map(|n| format!("{n:02}.png")).collect();
    put_on(
        &s3,
        "uploads/some.zip",
        &archive(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    put_on(&s3, "output/python.zip", &archive(&["python.tif"]));
    // The first consumer cannot store the last image until its way to Redis is cut.
    s3.fail_if(Fault::Status(503), |seen| seen.is("PUT", "29.png"));
    let way = Proxy::start(([127, 0, 0, 1], cluster.redis.port()).into()).await;
    let first = on(&s3, zip_pod(&cluster, "pod-first"))
        .set("REDIS_PORT", &way.port.to_string())
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    eventually("it stores images", || {
        s3.requests().iter().any(|seen| seen.is("PUT", "29.png"))
    });
    way.close();
    s3.heal();
    let _second = zip_pod_on(&cluster, &s3).start();
    eventually("the second one waits for the children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::from_millis(100),
    );
    eventually("some are done", || {
        cluster.redis.hash(&key)["children_done"]
            .parse::<u32>()
            .is_ok_and(|done| done > 9)
    });
    // What is left waits until the first one is back and has been looked at.
    let mut done = python.stop();
    way.open();
    eventually("the first one gives up", || {
        first.log().contains("its result is dropped")
    });
    for child in children(&cluster.redis.hash(&key)) {
        assert!(
            cluster.redis.hash(&child).contains_key("status"),
            "{child} was wiped"
        );
        assert_eq!(
            cluster.redis.ask::<i64>(&["TTL", &child]),
            -1,
            "{child} expires"
        );
    }
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py-2",
        Duration::ZERO,
    );
    let hash = cluster.wait_done(&key);
    done.extend(python.stop());
    assert_eq!(
        (hash["failures"].as_str(), hash["total_jobs"].as_str()),
        ("", "30")
    );
    assert_eq!(done.len(), 30, "each was worked once");
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_redis_refuses_to_settle_is_given_up_in_the_end_and_holds_up_no_other() {
    let cluster = Cluster::with_models_of_children().await;
    let user = [
        "ACL",
        "SETUSER",
        "without-del",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-del",
    ];
    let _: String = cluster.redis.ask(&user);
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    cluster.put("uploads/broken.zip", b"no archive");
    let zip = zip_pod(&cluster, "pod-zip")
        .set("REDIS_USERNAME", "without-del")
        .set("REDIS_PASSWORD", "secret");
    let _zip = zip.set("MAX_CRASHES", "2").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let other = cluster.submit_to("segmentation-zip", "uploads/broken.zip", &FIELDS);
    cluster.wait_failed(&other);
    let hash = cluster.wait(&key);
    assert_eq!(
        (hash["status"].as_str(), hash["error_class"].as_str()),
        ("failed", "crash")
    );
    assert_eq!(
        (hash["rc_crashes"].as_str(), hash["rc_claims"].as_str()),
        ("2", "3")
    );
    assert_eq!(
        cluster
            .redis
            .ask::<Vec<String>>(&["ZRANGE", "rc:dead:segmentation-zip", "0", "-1"]),
        [key]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_python_consumers_finish_are_found() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/some.zip", &archive(&["a.png", "b.png"]));
    cluster.put("output/python.zip", &archive(&["python.tif"]));
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::from_millis(50),
    );
    let hash =
        cluster.wait_done(&cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS));
    assert_eq!(python.stop().len(), 2);
    let names: Vec<_> = cluster
        .result(&hash)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["python.tif", "python_2.tif"]);
    eventually("nothing is left behind", || is_quiet(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_an_archive_share_requests() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    let entries = (0..60).map(|n| (format!("{n}.tif"), noise(200 << 10, n)));
    put_on(
        &s3,
        "uploads/some.zip",
        &write_zip(entries).expect("it fits in memory"),
    );
    let _zip = zip_pod_on(&cluster, &s3).start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    eventually("it waits for its children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let children = children(&cluster.redis.hash(&key));
    assert_eq!(children.len(), 60);
    for (n, child) in (0..).zip(&children) {
        let image = &cluster.redis.hash(child)["input_file_name"];
        assert!(
            fs::read(s3.folder().join(image)).expect("an image") == noise(200 << 10, n),
            "{image}"
        );
    }
    let reads = s3
        .requests()
        .iter()
        .filter(|seen| seen.is("GET", "some.zip"))
        .count();
    assert_eq!(reads, 3, "its end, and 12 MB in two pieces");
}

/// Six children whose results are 3 MiB each.
async fn six_large_results(cluster: &Cluster, s3: &S3Server) -> (PythonConsumer, String, Vec<u8>) {
    let names: Vec<_> = (0..6).map(|n| format!("{n}.png")).collect();
    put_on(
        s3,
        "uploads/some.zip",
        &archive(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    let labels = noise(3 << 20, 1);
    put_on(
        s3,
        "output/python.zip",
        &write_zip([("labels.tif".to_owned(), labels.clone())]).expect("it fits in memory"),
    );
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::from_millis(5),
    );
    (
        python,
        cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS),
        labels,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_goes_up_in_parts_whatever_fails_meanwhile() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    let mut left = 2;
    s3.fail_if(Fault::Status(503), move |seen| {
        let hit = left > 0 && (seen.is("PUT", "partNumber=2") || seen.is("POST", "uploadId="));
        left -= usize::from(hit);
        hit
    });
    let _zip = zip_pod_on(&cluster, &s3)
        .set("MEMORY_BUDGET", "100Mi")
        .start();
    let (_python, key, labels) = six_large_results(&cluster, &s3).await;
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("6", "100")
    );
    let result = fs::read(s3.folder().join(&hash["output_file_name"])).expect("a result");
    let mut result = zip::ZipArchive::new(Cursor::new(result)).expect("an archive");
    let names: Vec<_> = result
        .file_names()
        .map(|name| name.expect("in UTF-8").into_owned())
        .collect();
    assert_eq!(names[..2], ["labels.tif", "labels_2.tif"]);
    assert_eq!(names.len(), 6);
    for index in 0..6 {
        let mut content = Vec::new();
        result
            .by_index(index)
            .expect("an entry")
            .read_to_end(&mut content)
            .expect("its content");
        assert!(content == labels, "{index}");
    }
    let parts = s3
        .requests()
        .iter()
        .filter(|seen| seen.is("PUT", "partNumber="))
        .count();
    assert!(parts >= 3, "{parts}");
    assert_eq!(s3.open_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_stored_leaves_no_parts() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    s3.fail_if(Fault::Status(403), |seen| seen.is("PUT", "partNumber=2"));
    let _zip = zip_pod_on(&cluster, &s3).start();
    let (_python, key, _) = six_large_results(&cluster, &s3).await;
    let reason = cluster.wait_failed(&key);
    assert!(
        reason.starts_with("StorageError: s3://test-bucket denies access to `output/"),
        "{reason}"
    );
    assert_eq!(cluster.redis.hash(&key)["error_class"], "storage_write");
    eventually("nothing is left in the bucket", || s3.open_uploads() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_must_stop_takes_its_parts_with_it() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    s3.fail_if(Fault::Silence, |seen| seen.is("PUT", "partNumber=2"));
    let mut zip = zip_pod_on(&cluster, &s3)
        .set("SHUTDOWN_GRACE", "0.1")
        .start();
    let (_python, key, _) = six_large_results(&cluster, &s3).await;
    eventually("a part is under way", || {
        s3.requests()
            .iter()
            .any(|seen| seen.is("PUT", "partNumber=2"))
    });
    assert!(s3.open_uploads() > 0);
    zip.terminate();
    assert!(zip.wait().success());
    assert_eq!(s3.open_uploads(), 0);
    s3.heal();
    let _zip = zip_pod_on(&cluster, &s3).start();
    cluster.wait_done(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_replaced_while_it_is_read_is_read_again() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    // So large that each image takes a request of its own.
    let archive = |names: [&str; 3], seed: u64| {
        let entries: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), noise(5 << 20, seed)))
            .collect();
        write_zip(entries).expect("it fits in memory")
    };
    put_on(
        &s3,
        "uploads/some.zip",
        &archive(["a.tif", "b.tif", "c.tif"], 1),
    );
    let mut fetched = 0;
    s3.fail_if(Fault::Status(503), move |seen| {
        fetched += usize::from(seen.is("GET", "some.zip"));
        fetched > 2
    });
    let _zip = zip_pod_on(&cluster, &s3).set("MAX_ATTEMPTS", "2").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let reads = || {
        s3.requests()
            .iter()
            .filter(|seen| seen.is("GET", "some.zip"))
            .count()
    };
    eventually("it has read the list and one image", || reads() > 2);
    put_on(
        &s3,
        "uploads/some.zip",
        &archive(["d.tif", "e.tif", "f.tif"], 2),
    );
    s3.heal();
    eventually("it waits for its children", || {
        cluster.redis.hash(&key)["status"] == "waiting"
    });
    let hash = cluster.redis.hash(&key);
    let names: Vec<_> = children(&hash)
        .iter()
        .map(|child| cluster.redis.hash(child)["original_name"].clone())
        .collect();
    assert_eq!(names, ["d.tif", "e.tif", "f.tif"]);
    let image = &cluster.redis.hash(&children(&hash)[0])["input_file_name"];
    assert!(fs::read(s3.folder().join(image)).expect("an image") == noise(5 << 20, 2));
    assert_eq!(hash["rc_attempts"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_a_python_consumer_has_expanded_is_taken_over() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/a.png", IMAGE);
    let (one, two) = ("segmentation:a.png:1", "segmentation:a.png:2");
    cluster.write_job(one, "uploads/a.png", &FIELDS);
    cluster.write_job(
        two,
        "uploads/a.png",
        &[
            ("status", "failed"),
            ("reason", "Traceback\nValueError: no"),
        ],
    );
    let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation", one]);
    let children = format!("{one},{two}");
    let parent = [
        ("status", "waiting"),
        ("children", children.as_str()),
        ("children:done", ""),
        ("children:failed", two),
    ];
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let _images = cluster.pod("pod-1").start();
    let hash =
        cluster.wait_done(&cluster.submit_to("segmentation-zip", "uploads/some.zip", &parent));
    let failures: Vec<(String, String)> = url::form_urlencoded::parse(hash["failures"].as_bytes())
        .into_owned()
        .collect();
    assert_eq!(failures, [(two.to_owned(), "ValueError: no".to_owned())]);
    assert_eq!(cluster.result(&hash).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_children_come_back() {
    let cluster = Cluster::with_models_of_children().await;
    let entries = (0..10_000).map(|n| (format!("{n}.png"), b"no picture".to_vec()));
    cluster.put(
        "uploads/some.zip",
        &write_zip(entries).expect("it fits in memory"),
    );
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let _images = cluster
        .pod("pod-1")
        .set("CONCURRENCY", "4")
        .set("LOG_LEVEL", "ERROR")
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    for _ in 0..5 {
        if matches!(
            cluster.redis.hash(&key)["status"].as_str(),
            "done" | "failed"
        ) {
            break;
        }
        let before = cluster.redis.hash(&key).get("progress").cloned();
        let goes_on = || {
            let hash = cluster.redis.hash(&key);
            hash["status"] == "done" || hash.get("progress").cloned() != before
        };
        eventually("it goes on", goes_on);
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["total_jobs"], "10000");
    assert_eq!(
        url::form_urlencoded::parse(hash["failures"].as_bytes()).count(),
        10_000
    );
    eventually("nothing is left behind", || is_quiet(&cluster));
}

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
    eventually("it waits for its frames", || {
        cluster.redis.hash(&key).contains_key("children_total")
    });
    let frames = children(&cluster.redis.hash(&key));
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
    let labels = &result["some folder/movie_feature_0.tif"];
    let labels =
        bioimage::decode(labels, "labels.tif", &Limits::default()).expect("a movie of labels");
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
    eventually("it waits for its frames", || {
        cluster.redis.hash(&key).contains_key("children_total")
    });
    let images = cluster.pod("pod-1").start();
    let reason = cluster.wait_failed(&key);
    let start = "RuntimeError: Tracking failed during segmentation on frame 0. Segmentation Error: ModelServerError: ";
    assert!(reason.starts_with(start), "{reason}");
    drop(images);
    let frames = children(&cluster.redis.hash(&key));
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
    let labels = [0, 1].map(|kind| {
        bioimage::decode(&result[kind].1, "labels.tif", &Limits::default()).expect("labels")
    });
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
