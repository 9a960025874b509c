//! Files that go through the page into a bucket on a server.

use bioimage::encode_tiff;
use ndarray::ArrayD;

use super::empty;
use super::upload::{begin, post, put};
use crate::peers::browser::Dashboard;
use crate::peers::cluster::{IMAGE, eventually};
use crate::peers::s3::S3Server;

/// An image of 20 MB, which is stored in parts of 8 MiB.
fn large_image() -> Vec<u8> {
    let image = ArrayD::from_shape_fn(vec![2000, 2500], |at| (at[0] * 2500 + at[1]) as f32);
    encode_tiff(image.view())
}

/// The files below the folder of uploads, with those that are not complete.
fn objects(s3: &S3Server) -> usize {
    let folder = s3.folder().join("uploads/a");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_size_arrive_whole_and_become_a_batch_and_what_is_cut_off_leaves_nothing() {
    let (cluster, s3) = (empty().await, S3Server::start());
    let environment = s3.environment();
    let bucket = environment.iter().map(|(name, value)| (&**name, &**value));
    let settings: Vec<_> = bucket.chain([("JOB_TYPES", "segmentation")]).collect();
    let dashboard = Dashboard::start(&cluster, &settings);
    let browser = dashboard.browser();
    let large = large_image();
    assert_eq!(put(&browser, "/upload/a/small.png", IMAGE).0, 200);
    assert_eq!(
        s3.faults.count("POST", "uploads"),
        0,
        "a small file is one request"
    );
    let (status, body) = put(&browser, "/upload/a/large.tif", &large);
    assert_eq!(status, 200, "{body}");
    assert!(
        s3.faults.count("PUT", "partNumber=3") > 0,
        "a large one comes in parts"
    );
    assert!(s3.object("uploads/a/small.png") == IMAGE);
    assert!(s3.object("uploads/a/large.tif") == large);

    let token = browser.form_token_of("/");
    let headers = [("x-rc-csrf", &*token), ("content-length", "40000000")];
    let stream = begin(&browser, ("PUT", "/upload/a/cut.tif"), &headers, &large);
    eventually("its parts are on their way", || s3.open_uploads() > 0);
    drop(stream);
    eventually("the upload is given up", || s3.open_uploads() == 0);
    eventually("nothing is left of it", || objects(&s3) == 2);
    assert!(s3.faults.count("DELETE", "cut.tif?uploadId=") > 0);

    let page = browser.get("/submit?upload=a").body;
    for text in ["2 files, ", "2000 × 2500 of f32, axes XY"] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    let form = [
        ("upload", "a"),
        ("type", "segmentation"),
        ("channel-0", "0"),
        ("confirmed", "yes"),
        ("skip", "yes"),
    ];
    let done = post(&browser, "/submit", &form);
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(
        cluster.redis.hash("rc:batch:a").contains_key("state"),
        "{}",
        done.body
    );
    assert!(s3.object("uploads/a/large.tif") == large);
    assert_eq!(s3.open_uploads(), 0);
}
