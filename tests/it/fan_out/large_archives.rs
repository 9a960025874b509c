//! Large archives and results, on an S3 server: what is asked of it, and what it keeps.

use std::time::Duration;

use super::{waiting, zip_pod_on};
use crate::peers::cluster::{Cluster, FIELDS, children, eventually};
use crate::peers::faults::Fault;
use crate::peers::objects::noise_of;
use crate::peers::python_kiosk::PythonConsumer;
use crate::peers::results::{unzipped, zipped};
use crate::peers::s3::S3Server;
use crate::peers::synthetic_images::archive;

#[tokio::test(flavor = "multi_thread")]
async fn images_of_an_archive_share_requests() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    let entries = (0..60).map(|n| (format!("{n}.tif"), noise_of(n, 200 << 10)));
    s3.put("uploads/some.zip", &zipped(entries));
    let _zip = zip_pod_on(&cluster, "pod-zip", &s3).start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let hash = waiting(&cluster, &key);
    let children = children(&hash);
    assert_eq!(children.len(), 60);
    for (n, child) in (0..).zip(&children) {
        let image = &cluster.redis.hash(child)["input_file_name"];
        assert!(s3.object(image) == noise_of(n, 200 << 10), "{image}");
    }
    let reads = s3.faults.count("GET", "some.zip");
    assert_eq!(reads, 3, "its end, and 12 MB in two pieces");
}

/// Six children whose results are 3 MiB each.
async fn six_large_results(cluster: &Cluster, s3: &S3Server) -> (PythonConsumer, String, Vec<u8>) {
    let names: Vec<_> = (0..6).map(|n| format!("{n}.png")).collect();
    s3.put("uploads/some.zip", &archive(&names));
    let labels = noise_of(1, 3 << 20);
    s3.put(
        "output/python.zip",
        &zipped([("labels.tif".to_owned(), labels.clone())]),
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
    s3.faults.fail_first(2, Fault::Status(503), |seen| {
        seen.is("PUT", "partNumber=2") || seen.is("POST", "uploadId=")
    });
    let _zip = zip_pod_on(&cluster, "pod-zip", &s3)
        .set("MEMORY_BUDGET", "100Mi")
        .start();
    let (_python, key, labels) = six_large_results(&cluster, &s3).await;
    let hash = cluster.wait_done(&key);
    assert_eq!(
        (hash["total_jobs"].as_str(), hash["progress"].as_str()),
        ("6", "100")
    );
    let result = unzipped(s3.object(&hash["output_file_name"]));
    assert_eq!(result.len(), 6);
    assert_eq!([&result[0].0, &result[1].0], ["labels.tif", "labels_2.tif"]);
    for (name, content) in result {
        assert!(content == labels, "{name}");
    }
    let parts = s3.faults.count("PUT", "partNumber=");
    assert!(parts >= 3, "{parts}");
    assert_eq!(s3.open_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_stored_leaves_no_parts() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    s3.faults
        .fail_if(Fault::Status(403), |seen| seen.is("PUT", "partNumber=2"));
    let _zip = zip_pod_on(&cluster, "pod-zip", &s3).start();
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
    s3.faults
        .fail_if(Fault::Silence, |seen| seen.is("PUT", "partNumber=2"));
    let mut zip = zip_pod_on(&cluster, "pod-zip", &s3)
        .set("SHUTDOWN_GRACE", "0.1")
        .start();
    let (_python, key, _) = six_large_results(&cluster, &s3).await;
    eventually("a part is under way", || {
        s3.faults.count("PUT", "partNumber=2") > 0
    });
    assert!(s3.open_uploads() > 0);
    zip.terminate();
    assert!(zip.wait().success());
    assert_eq!(s3.open_uploads(), 0);
    s3.faults.heal();
    let _zip = zip_pod_on(&cluster, "pod-zip", &s3).start();
    cluster.wait_done(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_replaced_while_it_is_read_is_read_again() {
    let (cluster, s3) = (Cluster::with_models_of_children().await, S3Server::start());
    // So large that each image takes a request of its own.
    let archive = |names: [&str; 3], seed: u64| {
        let entries: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), noise_of(seed, 5 << 20)))
            .collect();
        zipped(entries)
    };
    s3.put("uploads/some.zip", &archive(["a.tif", "b.tif", "c.tif"], 1));
    let mut fetched = 0;
    s3.faults.fail_if(Fault::Status(503), move |seen| {
        fetched += usize::from(seen.is("GET", "some.zip"));
        fetched > 2
    });
    let _zip = zip_pod_on(&cluster, "pod-zip", &s3)
        .set("MAX_ATTEMPTS", "2")
        .start();
    let key = cluster.submit_to("segmentation-zip", "uploads/some.zip", &FIELDS);
    let reads = || s3.faults.count("GET", "some.zip");
    eventually("it has read the list and one image", || reads() > 2);
    s3.put("uploads/some.zip", &archive(["d.tif", "e.tif", "f.tif"], 2));
    s3.faults.heal();
    let hash = waiting(&cluster, &key);
    let names: Vec<_> = children(&hash)
        .iter()
        .map(|child| cluster.redis.hash(child)["original_name"].clone())
        .collect();
    assert_eq!(names, ["d.tif", "e.tif", "f.tif"]);
    let image = &cluster.redis.hash(&children(&hash)[0])["input_file_name"];
    assert!(s3.object(image) == noise_of(2, 5 << 20));
    assert_eq!(hash["rc_attempts"], "1");
}
