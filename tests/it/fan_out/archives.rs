//! Archives of images become jobs, and their results one archive, whoever works the children.

use std::collections::HashMap;
use std::time::Duration;

use super::{is_quiet, waiting, zip_pod};
use crate::peers::cluster::{Cluster, FIELDS, IMAGE, children, eventually};
use crate::peers::objects::noise_of;
use crate::peers::python_kiosk::PythonConsumer;
use crate::peers::results::zipped;
use crate::peers::synthetic_images::archive;

/// The hash of a child says whose image it is, and has nothing of its parent's end.
fn assert_is_child(cluster: &Cluster, key: &str) {
    let first = cluster.redis.hash(key);
    assert!(key.starts_with("segmentation:b/one_ two.png:"), "{key}");
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
}

/// A parent lists the times of its children that are `done`, and its own.
fn assert_times_are_listed(hash: &HashMap<String, String>, done: usize) {
    for field in [
        "download_time",
        "prediction_time",
        "upload_time",
        "total_time",
    ] {
        assert_eq!(
            hash[field].split(',').count(),
            done,
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
}

/// The children that failed, with their reasons.
fn failures(hash: &HashMap<String, String>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(hash["failures"].as_bytes())
        .into_owned()
        .collect()
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
    cluster.put("uploads/some.zip", &zipped(entries));
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let waits = waiting(&cluster, &key);
    assert!(
        cluster.redis.keys("processing-*").is_empty(),
        "a job that waits occupies no slot"
    );
    let children = children(&waits);
    assert_eq!((children.len(), waits["progress"].as_str()), (4, "0"));
    assert_eq!(cluster.redis.list("segmentation").len(), 4);
    assert_is_child(&cluster, &children[0]);

    let _images = cluster.pod("pod-1").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("4", "100")
    );
    let failures = failures(&hash);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, children[3]);
    assert!(failures[0].1.starts_with("ValueError: "), "{failures:?}");
    assert_times_are_listed(&hash, 3);
    let names = cluster.result_names(&hash);
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

/// The same archive, with other names of the same length.
fn renamed(mut archive: Vec<u8>, names: &[(&str, &[u8])]) -> Vec<u8> {
    for (from, to) in names {
        assert_eq!(from.len(), to.len(), "{from}");
        let places = archive.windows(from.len()).enumerate();
        let found = places.filter(|(_, bytes)| bytes == &from.as_bytes());
        let places: Vec<_> = found.map(|(place, _)| place).collect();
        assert_eq!(places.len(), 2, "in its header and in the list");
        for place in places {
            archive[place..][..to.len()].copy_from_slice(to);
        }
    }
    archive
}

#[tokio::test(flavor = "multi_thread")]
async fn no_image_is_lost_for_its_name() {
    let cluster = Cluster::with_models_of_children().await;
    let (long, folders) = ("n".repeat(400), "folder/".repeat(200));
    let mut entries: Vec<_> = ["@1@.png", "@2@.png", "@3@.png", "plain.png", "x.png/a.png"]
        .map(str::to_owned)
        .into();
    entries.extend([
        "x.png".to_owned(),
        format!("{long}.png"),
        format!("{folders}deep.png"),
    ]);
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|name| (name, IMAGE.to_vec()))
        .collect();
    entries.push(("@4@.tif".to_owned(), b"II*\0no image".to_vec()));
    let names: [(&str, &[u8]); 4] = [
        // 表 and 予 of Japanese Windows, whose second byte is a backslash, and a line break.
        ("@1@.png", b"\x95\x5c1.png"),
        ("@2@.png", b"2\x97\x5c.png"),
        ("@3@.png", b"3\n3.png"),
        ("@4@.tif", b"\x94\x5c4.tif"),
    ];
    cluster.put("uploads/some.zip", &renamed(zipped(entries), &names));
    let _zip = zip_pod(&cluster, "pod-zip").start();
    let _images = cluster.pod("pod-1").start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let hash = cluster.wait_done(&key);
    let (failed, reason) = failures(&hash).remove(0);
    assert!(failed.contains("ö\\4.tif"), "{failed}: {reason}");
    let names = cluster.result_names(&hash);
    let feature = "_batch_0_feature_0.tif";
    assert_eq!(
        names[..6],
        ["ò\\1", "2ù\\", "3␊3", "plain", "x.png/a", "x_2"].map(|name| format!("{name}{feature}"))
    );
    assert!(
        names[6].starts_with("nnnn") && names[7].ends_with("folder/deep_batch_0_feature_0.tif")
    );
    assert_eq!(names.len(), 8);
}

/// Files below a folder of the bucket.
fn files(cluster: &Cluster, folder: &str) -> usize {
    let root = cluster.bucket_url().replacen("file://", "", 1);
    let mut pending = vec![std::path::Path::new(&root).join(folder)];
    let mut files = 0;
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => pending.push(path),
                _ => files += 1,
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_fails_leaves_no_images_in_the_bucket() {
    let cluster = Cluster::with_models_of_children().await;
    let entries = || (0..9).map(|n| (format!("{n}.png"), noise_of(n, 10_000)));
    let mut damaged = zipped(entries());
    let list = damaged.windows(4).position(|bytes| bytes == b"PK\x01\x02");
    // The content of the last image, which does not get smaller when it is packed.
    damaged[list.expect("a list") - 5000] ^= 1;
    cluster.put("uploads/damaged.zip", &damaged);
    let bomb = entries().chain([("bomb.png".to_owned(), vec![0; 4 << 20])]);
    cluster.put("uploads/bomb.zip", &zipped(bomb));
    let _zip = zip_pod(&cluster, "pod-zip").start();
    for (name, reason) in [
        ("damaged", "`8.png` in the archive cannot be unpacked"),
        ("bomb", "`bomb.png` in the archive unpacks to more"),
    ] {
        let key = cluster.submit_to("segmentation-zip", &format!("uploads/{name}.zip"), &FIELDS);
        let failed = cluster.wait_failed(&key);
        assert!(failed.contains(reason), "{failed}");
        assert_eq!(files(&cluster, "output"), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_be_worked_fails_with_a_reason() {
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/empty.zip", &archive(&["__MACOSX/a.png", "plain"]));
    cluster.put("uploads/broken.zip", b"no archive");
    let mut many = archive(&["1.png", "2.png", "3.png"]);
    cluster.put("uploads/many.zip", &many);
    // Its end counts one of them, as that of an archive with 65,537 files might.
    let count = many.len() - 14;
    many[count..][..4].copy_from_slice(&[1, 0, 1, 0]);
    cluster.put("uploads/wrapped.zip", &many);
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
    for archive in ["uploads/many.zip", "uploads/wrapped.zip"] {
        assert_eq!(
            reason(archive),
            "ValueError: the archive holds 3 images, more than the limit of 2"
        );
    }
    assert_eq!(
        reason("uploads/a.png"),
        "Invalid filetype for \"segmentation-zip\" job."
    );
    assert!(cluster.redis.list("segmentation").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_waits_for_the_memory_of_a_few_of_its_images() {
    let cluster = Cluster::with_models_of_children().await;
    let entries = |length: usize| (0..9).map(move |n| (format!("{n}.tif"), noise_of(n, length)));
    cluster.put("uploads/small.zip", &zipped(entries(200 << 10)));
    cluster.put("uploads/large.zip", &zipped(entries(1 << 20)));
    let _zip = zip_pod(&cluster, "pod-zip")
        .set("MEMORY_BUDGET", "3Mi")
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/small.zip", &FIELDS);
    waiting(&cluster, &key);
    let key = cluster.submit_to("segmentation-zip", "uploads/large.zip", &FIELDS);
    let reason = cluster.wait_failed(&key);
    assert!(
        reason.ends_with("bytes of memory, but MEMORY_BUDGET is 3145728"),
        "{reason}"
    );
    assert_eq!(cluster.redis.hash(&key)["error_class"], "too_large");
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
    let names = cluster.result_names(&hash);
    assert_eq!(names, ["python.tif", "python_2.tif"]);
    eventually("nothing is left behind", || is_quiet(&cluster));
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
    let failures = failures(&hash);
    assert_eq!(failures, [(two.to_owned(), "ValueError: no".to_owned())]);
    assert_eq!(cluster.result(&hash).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_children_come_back() {
    let cluster = Cluster::with_models_of_children().await;
    let entries = (0..10_000).map(|n| (format!("{n}.png"), b"no picture".to_vec()));
    cluster.put("uploads/some.zip", &zipped(entries));
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
