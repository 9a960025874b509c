//! Files that are uploaded on the page, and the jobs that are made of them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bioimage::encode_tiff;
use ndarray::ArrayD;
use sha2::{Digest as _, Sha256};

use super::actions::state;
use super::empty;
use super::pages::visitor;
use crate::peers::browser::{Answer, Browser, Dashboard, unescaped};
use crate::peers::cluster::{Cluster, IMAGE, eventually};

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";

/// An image with two channels.
fn two_channels() -> Vec<u8> {
    let image = ArrayD::from_shape_fn(vec![2, 40, 50], |at| {
        (at[0] * 100 + at[1] + at[2] * 2) as f32
    });
    encode_tiff(image.view())
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request with these bytes, and gives status and body.
fn send(
    browser: &Browser,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String) {
    let size = body.len().to_string();
    let headers = [headers, &[("content-length", &size)]].concat();
    answer(begin(browser, (method, path), &headers, body))
}

/// Sends a head and some bytes.
pub(super) fn begin(
    browser: &Browser,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", browser.port)).expect("it listens");
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).expect("a time limit");
    let own = browser.headers.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    let all: String = own
        .chain(headers.iter().copied())
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!("{method} {path} HTTP/1.1\r\n{all}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body).expect("it reads");
    stream
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.unwrap_or_default())
}

pub(super) fn put(browser: &Browser, path: &str, body: &[u8]) -> (u16, String) {
    let token = browser.form_token_of("/");
    send(browser, ("PUT", path), &[("x-rc-csrf", &token)], body)
}

/// Sends a form, with the token of the first page.
pub(super) fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    let token = browser.form_token_of("/");
    browser.post_plain(path, &[fields, &[("rc_csrf", &*token)]].concat())
}

/// All that is in the bucket.
fn objects(cluster: &Cluster) -> Vec<String> {
    let url = cluster.bucket_url();
    let folder = url.strip_prefix("file://").expect("a folder");
    let found = Command::new("find").args([folder, "-type", "f"]).output();
    let found = String::from_utf8(found.expect("find runs").stdout).expect("text");
    let mut all: Vec<_> = found.lines().map(str::to_owned).collect();
    all.sort();
    all
}

/// A form with files, as browsers send it.
fn multipart(token: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut add = |head: &str, content: &[u8]| {
        body.extend_from_slice(
            format!("--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    };
    add("name=\"rc_csrf\"", token.as_bytes());
    for (name, content) in files {
        add(&format!("name=\"file\"; filename=\"{name}\""), content);
    }
    body.extend_from_slice(b"--xyz--\r\n");
    body
}

/// Somebody who is not logged in, one who may look, and one who may act.
fn people(cluster: &Cluster) -> (Dashboard, [Browser; 3]) {
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
    ];
    let (dashboard, nobody) = visitor(cluster, &settings);
    let [viewer, operator] = [VIEW, TOKEN].map(|token| nobody.clone().log_in(token));
    (dashboard, [nobody, viewer, operator])
}

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=xyz");

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_uploads_nothing() {
    let cluster = empty().await;
    let (_dashboard, [nobody, viewer, operator]) = people(&cluster);
    let token = operator.form_token_of("/");
    assert!(!token.is_empty());
    let bearer = nobody
        .clone()
        .with("authorization", &format!("Bearer {VIEW}"));
    let before = cluster.redis.dump();
    for (who, browser, token, status) in [
        ("nobody", &nobody, &*token, 401),
        ("a viewer", &viewer, &token, 403),
        ("a viewer's bearer", &bearer, "", 403),
        ("no token", &operator, "", 403),
        ("a wrong token", &operator, "00", 403),
        (
            "another site",
            &operator.clone().with("sec-fetch-site", "cross-site"),
            &token,
            403,
        ),
        (
            "a site beside",
            &operator.clone().with("sec-fetch-site", "same-site"),
            &token,
            403,
        ),
        (
            "a foreign origin",
            &operator
                .clone()
                .without("sec-fetch-site")
                .with("origin", "https://evil.example"),
            &token,
            403,
        ),
        (
            "no origin",
            &operator.clone().without("sec-fetch-site"),
            &token,
            403,
        ),
    ] {
        let headers = [("x-rc-csrf", token)];
        let (found, body) = send(browser, ("PUT", "/upload/a/b.png"), &headers, IMAGE);
        assert_eq!(found, status, "{who}: {body}");
        let form = multipart(token, &[("b.png", IMAGE)]);
        let (found, body) = send(browser, ("POST", "/upload"), &[FORM], &form);
        assert_eq!(found, status, "{who}: {body}");
    }
    assert_eq!(cluster.redis.dump(), before);
    assert_eq!(objects(&cluster), [""; 0]);
    // A token behind the file comes too late.
    let late = multipart(&token, &[]);
    let early = multipart("", &[("b.png", IMAGE)]);
    let form = [&early[..early.len() - 9], &late].concat();
    let (found, _) = send(&operator, ("POST", "/upload"), &[FORM], &form);
    assert_eq!((found, objects(&cluster).len()), (403, 0));
    // What has no cookie needs no token.
    let script = nobody.with("authorization", &format!("Bearer {TOKEN}"));
    let (found, body) = send(
        &script.without("sec-fetch-site"),
        ("PUT", "/upload/a/b.png"),
        &[],
        IMAGE,
    );
    assert_eq!(
        (found, cluster.object("uploads/a/b.png") == IMAGE),
        (200, true),
        "{body}"
    );
    let page = viewer.get("/").body;
    assert!(
        page.contains("You may look, and not submit") && !page.contains("id=\"drop\""),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_refused_with_json_and_forms_with_pages() {
    let cluster = empty().await;
    let (_dashboard, [nobody, viewer, operator]) = people(&cluster);
    for (who, browser, status, word) in [
        ("nobody", &nobody, 401, "load the page again"),
        ("a viewer", &viewer, 403, "You may look"),
        ("an old page", &operator, 403, "too old"),
    ] {
        // As the script of the page sends it, and as forms of browsers.
        let script = browser.clone().with("accept", "*/*");
        let (found, body) = send(&script, ("PUT", "/upload/a/b.png"), &[], IMAGE);
        let told: serde_json::Value = serde_json::from_str(&body).expect(who);
        let why = told["error"].as_str().expect("a reason");
        assert!(
            found == status && why.contains(word),
            "{who}: {found} {why}"
        );
        let form = browser
            .clone()
            .with("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let sent = multipart("", &[("b.png", IMAGE)]);
        let (found, body) = send(&form, ("POST", "/upload"), &[FORM], &sent);
        assert!(
            found == status && body.starts_with("<!doctype html>"),
            "{who}: {found} {body}"
        );
    }
    let wrong = nobody.with("authorization", "Bearer wrong");
    let mut all: Vec<_> = (0..11)
        .map(|_| send(&wrong, ("PUT", "/upload/a/b.png"), &[], b"x"))
        .collect();
    let (found, body) = all.pop().expect("an answer");
    assert!(
        found == 429 && body.contains("{\"error\":"),
        "{found} {body}"
    );
    assert_eq!(objects(&cluster), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_uploaded_to_a_dashboard_that_is_read_only() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[("DASHBOARD_READ_ONLY", "true")]);
    let page = browser.get("/").body;
    assert!(
        page.contains("this dashboard is read-only") && !page.contains("id=\"drop\""),
        "{page}"
    );
    assert_eq!(put(&browser, "/upload/a/b.png", IMAGE).0, 403);
    let form = multipart("", &[("b.png", IMAGE)]);
    assert_eq!(send(&browser, ("POST", "/upload"), &[FORM], &form).0, 403);
    assert_eq!(
        browser.post_plain("/inspect", &[("upload", "a")]).status,
        403
    );
    assert_eq!(
        browser.post_plain("/submit", &[("upload", "a")]).status,
        403
    );
    assert_eq!(objects(&cluster), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_with_a_reason() {
    let cluster = empty().await;
    let settings = [("MAX_UPLOAD_BYTES", "10000"), ("UPLOAD_PREFIX", "in/box")];
    let (_dashboard, browser) = visitor(&cluster, &settings);
    let token = browser.form_token_of("/");
    let long = format!("/upload/a/{}.tif", "x".repeat(4096));
    for hostile in [
        "/upload/a/../b.tif",
        "/upload/a/%2e%2e/%2e%2e/b.tif",
        "/upload/a/b%2f..%2f..%2fc.tif",
        "/upload/%2e%2e/b.tif",
        "/upload/a/b%00.tif",
        "/upload/a/b%0a.tif",
        "/upload/a/%ff.tif",
        "/upload/a/fit.%E2%80%AEfit",
        "/upload/a//b.tif",
        "/upload/a/",
        "/upload/A/b.tif",
        long.as_str(),
    ] {
        let (status, body) = put(&browser, hostile, b"x");
        assert!(
            status == 400 && body.contains("\"error\":"),
            "{hostile}: {status} {body}"
        );
    }
    let (status, body) = put(&browser, "/upload/a/b.tif", &[0; 10_001]);
    assert!(
        status == 413 && body.contains("larger than 10000 bytes (MAX_UPLOAD_BYTES)"),
        "{status} {body}"
    );
    let (status, body) = put(&browser, "/upload/a/b.tif", b"");
    assert!(status == 400 && body.contains("empty"), "{status} {body}");
    let chunked = [("x-rc-csrf", &*token), ("transfer-encoding", "chunked")];
    let stream = begin(
        &browser,
        ("PUT", "/upload/a/b.tif"),
        &chunked,
        b"1\r\nx\r\n0\r\n\r\n",
    );
    assert_eq!(answer(stream).0, 411);
    let wrong = [("x-rc-csrf", &*token), ("x-rc-sha256", &hex(b"y"))];
    let (status, body) = send(&browser, ("PUT", "/upload/a/b.tif"), &wrong, b"x");
    assert!(
        status == 400 && body.contains("send it again"),
        "{status} {body}"
    );
    let form = multipart(&token, &[("fine.png", b"x"), ("large.png", &[0; 10_001])]);
    let (status, body) = send(&browser, ("POST", "/upload"), &[FORM], &form);
    assert!(
        status == 413 && body.contains("MAX_UPLOAD_BYTES"),
        "{status} {body}"
    );
    let form = multipart(&token, &[("", b"")]);
    let (status, body) = send(&browser, ("POST", "/upload"), &[FORM], &form);
    assert!(
        status == 400 && body.contains("no file was chosen"),
        "{status} {body}"
    );
    let form = multipart(&token, &[("../../b.png", b"x")]);
    assert_eq!(send(&browser, ("POST", "/upload"), &[FORM], &form).0, 400);
    assert_eq!(objects(&cluster), [""; 0]);
    let (status, _) = put(&browser, "/upload/a/m1/t%20%C3%A9.tif", b"x");
    assert_eq!(
        (status, cluster.object("in/box/a/m1/t \u{e9}.tif")),
        (200, b"x".to_vec())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_leaves_nothing() {
    let cluster = empty().await;
    let (mut dashboard, browser) = visitor(&cluster, &[]);
    let token = browser.form_token_of("/");
    let half = vec![7; 12 << 20];
    let headers = [("x-rc-csrf", &*token), ("content-length", "20000000")];
    let stream = begin(&browser, ("PUT", "/upload/a/b.tif"), &headers, &half);
    // The first part is on its way.
    eventually("a part comes", || !objects(&cluster).is_empty());
    drop(stream);
    eventually("nothing is left", || objects(&cluster).is_empty());
    assert_eq!(put(&browser, "/upload/a/b.tif", IMAGE).0, 200);
    let stream = begin(&browser, ("PUT", "/upload/a/b.tif"), &headers, &half);
    eventually("a part comes", || objects(&cluster).len() > 1);
    drop(stream);
    eventually("nothing is left", || objects(&cluster).len() == 1);
    assert!(
        cluster.object("uploads/a/b.tif") == IMAGE,
        "what was there stays"
    );
    dashboard.pod.terminate();
    assert!(dashboard.pod.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_need_not_be_sent_again() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let there = |bytes: &[u8], sha256: &str| {
        let path = format!("/upload/a/b.png?size={}&sha256={sha256}", bytes.len());
        send(&browser, ("HEAD", &path), &[], b"").0
    };
    assert_eq!(there(IMAGE, &hex(IMAGE)), 204);
    let (status, body) = put(&browser, "/upload/a/b.png", IMAGE);
    assert!(
        status == 200 && body.contains(&hex(IMAGE)),
        "{status} {body}"
    );
    assert_eq!(there(IMAGE, &hex(IMAGE)), 200);
    assert_eq!(there(IMAGE, &hex(b"other")), 204);
    assert_eq!(there(&IMAGE[1..], &hex(IMAGE)), 204);
    assert_eq!(there(IMAGE, ""), 204);
}

/// Jobs of images can be submitted, with and without somebody who works them.
async fn with_types() -> (Cluster, Dashboard, Browser) {
    let cluster = empty().await;
    let types = "segmentation,mesmer,polaris,cellpose,mine";
    let dashboard = Dashboard::start(&cluster, &[("JOB_TYPES", types)]);
    let browser = dashboard.browser();
    (cluster, dashboard, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_shown_with_its_channels_and_the_options_of_its_type() {
    let (cluster, _dashboard, browser) = with_types().await;
    assert_eq!(
        put(&browser, "/upload/a/two%20channels.tif", &two_channels()).0,
        200
    );
    assert_eq!(put(&browser, "/upload/a/z.txt", b"notes").0, 200);
    let before = cluster.redis.dump();
    let page = browser.get("/submit?upload=a").body;
    for text in [
        "2 files, ",
        "segments the cells of one image",
        "<h2 id=\"first-image\">two channels.tif</h2>",
        "2 × 40 × 50 of f32, axes CXY: 2 channels",
        "Decoding it takes ",
        "as each file says (this one: CXY)",
        "<option value=\"0\" selected>channel 0</option>",
        "name=\"scale\" value=\"1\"",
        "name=\"name\" value=\"a\"",
    ] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    let picture = page
        .split("src=\"")
        .find(|it| it.starts_with("/upload/"))
        .expect("a picture");
    let picture = picture.split_once('"').expect("its end").0;
    let [first, second] = ["channel=0", "channel=1"].map(|channel| {
        let answer = browser.get_bytes(&picture.replace("channel=0", channel));
        assert_eq!(
            (answer.status, &*answer.headers["content-type"]),
            (200, "image/png")
        );
        bioimage::decode(&answer.body, "a.png", &bioimage::Limits::default()).expect("a PNG")
    });
    assert_eq!(first.shape()[..2], [40, 50]);
    assert!(
        first.iter().any(|it| Some(it) != first.first()),
        "it shows something"
    );
    assert_eq!(second.shape(), first.shape());
    assert_eq!(
        browser
            .get(&picture.replace("channel=0", "channel=9"))
            .status,
        404
    );
    let options = |kind: &str, more: &[(&str, &str)]| {
        let all = [&[("upload", "a"), ("type", kind)], more].concat();
        let answer = post(&browser, "/inspect", &all);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let mesmer = options("mesmer", &[]);
    assert!(
        mesmer.contains("name=\"compartment\"") && !mesmer.contains("dimension_order\""),
        "{mesmer}"
    );
    let polaris = options("polaris", &[]);
    assert!(
        polaris.contains("<option value=\"cell culture\" selected>"),
        "{polaris}"
    );
    let cellpose = options("cellpose", &[]);
    assert!(
        cellpose.contains("name=\"diameter\"") && cellpose.contains("name=\"model\""),
        "{cellpose}"
    );
    let mine = options("mine", &[]);
    assert!(
        !mine.contains("channel-0") && !mine.contains("name=\"scale\""),
        "{mine}"
    );
    let other = options(
        "segmentation",
        &[
            ("dimension_order", "BXY"),
            ("chosen", "yes"),
            ("scale", "0.5"),
        ],
    );
    for text in [
        "axes BXY: 1 channel, 2 frames",
        "value=\"0.5\"",
        "<option value=\"BXY\" selected>",
    ] {
        assert!(other.contains(text), "{text} is missing in\n{other}");
    }
    let unknown = post(&browser, "/inspect", &[("upload", "a"), ("type", "nope")]);
    assert!(
        unknown.status == 400
            && unescaped(&unknown.body)
                .contains("the job type `nope` is not known; known are: segmentation"),
        "{}",
        unknown.body
    );
    assert_eq!(browser.get("/submit?upload=none").status, 400);
    assert_eq!(browser.get("/submit?upload=..").status, 400);
    assert_eq!(cluster.redis.dump(), before, "looking changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_images_are_looked_at_and_damaged_ones_are_told() {
    let (_cluster, _dashboard, browser) = with_types().await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let read = |path: &str| std::fs::read(fixtures.join(path)).expect("a fixture");
    let drift = read("nuclei/dsb2018_777f7c42_drift.tif");
    for (name, bytes, text) in [
        ("nuclei.png", IMAGE, "of u8, axes XYC"),
        ("drift.tif", &drift, " of u8, axes "),
        (
            "broken.tif",
            &drift[..100],
            "broken.tif cannot be read as an image: ",
        ),
        (
            "text.png",
            b"no picture",
            "text.png cannot be read as an image: ",
        ),
        ("a.zip", b"PK", "Each image of an archive becomes a job"),
        ("a.csv", b"a,b", "No file is called like an image"),
    ] {
        let upload = name.replace('.', "-");
        assert_eq!(
            put(&browser, &format!("/upload/{upload}/{name}"), bytes).0,
            200
        );
        let page = browser.get(&format!("/submit?upload={upload}"));
        assert!(
            page.status == 200 && page.body.contains(text),
            "{name}: {}",
            page.body
        );
        assert_eq!(
            browser
                .get_bytes(&format!("/upload/{upload}/{name}?channel=0"))
                .status
                == 200,
            name.starts_with('n') || name.starts_with('d'),
            "{name}"
        );
    }
    // Where nothing tells the axes they begin as the frontend has them, and stay as somebody has chosen.
    let odd = ArrayD::from_shape_fn(vec![64, 3, 64], |at| (at[0] + at[2]) as f32);
    let odd = encode_tiff(odd.view());
    assert_eq!(put(&browser, "/upload/odd/odd.tif", &odd).0, 200);
    let page = browser.get("/submit?upload=odd").body;
    for text in [
        "axes XYB: 1 channel, 64 frames",
        "<option value=\"XYB\" selected>",
        "channel=0&#38;order=XYB",
    ] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    let chosen = [("upload", "odd"), ("chosen", "yes")];
    let page = post(&browser, "/inspect", &chosen).body;
    assert!(
        page.contains("axes that cannot be told") && page.contains("<option value=\"\" selected>"),
        "{page}"
    );
    // What somebody calls a file runs nowhere.
    let name = "%3Cimg%20src=x%20onerror=alert(1)%3E%22.png";
    assert_eq!(put(&browser, &format!("/upload/evil/{name}"), b"x").0, 200);
    let page = browser.get("/submit?upload=evil").body;
    assert!(
        !page.contains("<img src=x") && page.contains("&#60;img src=x"),
        "{page}"
    );
}

/// Runs the command that a page shows on a Redis that has the same in it, and the same bucket.
fn run(shell: &Cluster, bucket: &Cluster, command: &str) {
    let binary = env!("CARGO_BIN_EXE_redis-consumer");
    let script = format!("redis-consumer() {{ {binary} \"$@\"; }}; {command}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", shell.redis.port().to_string())
        .env("STORAGE_BUCKET", bucket.bucket_url())
        .env("USER", "dashboard")
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{command}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_the_job_that_the_command_makes() {
    let (page, _dashboard, browser) = with_types().await;
    let shell = empty().await;
    for (upload, kind, fields) in [
        (
            "one",
            "segmentation",
            &[
                ("channel-0", "0"),
                ("channel-1", ""),
                ("scale", "0.5"),
                ("dimension_order", "XYC"),
            ][..],
        ),
        (
            "two",
            "mesmer",
            &[
                ("channel-0", "2"),
                ("channel-1", "1"),
                ("compartment", "whole-cell"),
            ],
        ),
        (
            "three",
            "cellpose",
            &[("diameter", "30"), ("model", "cyto:3")],
        ),
    ] {
        assert_eq!(
            put(&browser, &format!("/upload/{upload}/m%201/it's.png"), IMAGE).0,
            200
        );
        let fields = [&[("upload", upload), ("type", kind)], fields].concat();
        let before = page.redis.dump();
        let asked = post(&browser, "/submit", &fields);
        assert_eq!(asked.status, 200, "{}", asked.body);
        assert!(
            asked.body.contains("no consumer serves this queue"),
            "{}",
            asked.body
        );
        let refused = post(
            &browser,
            "/submit",
            &[&fields[..], &[("confirmed", "yes")]].concat(),
        );
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert_eq!(page.redis.dump(), before, "nothing is queued unasked");
        let all = [&fields[..], &[("confirmed", "yes"), ("skip", "yes")]].concat();
        let done = post(&browser, "/submit", &all);
        assert!(
            done.status == 200 && done.body.contains("The job is queued"),
            "{}",
            done.body
        );
        let again = post(&browser, "/submit", &all);
        assert!(again.body.contains("its job is new"), "{}", again.body);
        run(&shell, &page, &asked.command());
        assert_eq!(
            state(&page.redis),
            state(&shell.redis),
            "{}",
            asked.command()
        );
    }
    assert_eq!(page.redis.list("segmentation").len(), 1);
    let audit = format!(
        "{:?}",
        page.redis
            .ask::<Vec<(String, BTreeMap<String, String>)>>(&["XRANGE", "rc:audit", "-", "+"])
    );
    assert!(audit.contains("1 queued on mesmer"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_become_the_batch_that_the_command_begins() {
    let (page, _dashboard, browser) = with_types().await;
    let shell = empty().await;
    for name in ["a.png", "m/b.png", "m/c.PNG"] {
        assert_eq!(
            put(&browser, &format!("/upload/three/{name}"), IMAGE).0,
            200
        );
    }
    let fields = [
        ("upload", "three"),
        ("type", "segmentation"),
        ("channel-0", "0"),
        ("scale", "1"),
        ("name", "night-1"),
    ];
    let asked = post(&browser, "/submit", &fields);
    assert!(
        asked.body.contains("Submit 3 files as a batch"),
        "{}",
        asked.body
    );
    let all = [&fields[..], &[("confirmed", "yes"), ("skip", "yes")]].concat();
    let done = post(&browser, "/submit", &all);
    assert!(
        done.body.contains("The batch of 3 files runs"),
        "{}",
        done.body
    );
    run(
        &shell,
        &page,
        &asked
            .command()
            .replace("/dev/stdin", "/dev/stdin --skip-verify"),
    );
    assert_eq!(
        state(&page.redis),
        state(&shell.redis),
        "{}",
        asked.command()
    );
    assert_eq!(page.redis.list("segmentation").len(), 3);
    let again = post(&browser, "/submit", &all);
    assert!(again.body.contains("submitted before"), "{}", again.body);
    let other = [
        &fields[..3],
        &[
            ("scale", "2"),
            ("name", "night-1"),
            ("confirmed", "yes"),
            ("skip", "yes"),
        ],
    ]
    .concat();
    let other = post(&browser, "/submit", &other);
    assert!(
        other.status == 409 && other.body.contains("another name"),
        "{}",
        other.body
    );
    // Archives go elsewhere, so they are not mixed.
    assert_eq!(put(&browser, "/upload/three/d.zip", b"PK").0, 200);
    let mixed = post(&browser, "/submit", &fields);
    assert!(
        mixed.status == 400 && mixed.body.contains("by themselves"),
        "{}",
        mixed.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_told_before_anything_is_queued() {
    let (cluster, _dashboard, browser) = with_types().await;
    for (name, bytes) in [
        ("good.png", IMAGE),
        ("bad.png", b"nothing"),
        ("notes.tif", b"II"),
    ] {
        assert_eq!(
            put(&browser, &format!("/upload/mixed/{name}"), bytes).0,
            200
        );
    }
    let before = cluster.redis.dump();
    let fields = [
        ("upload", "mixed"),
        ("type", "segmentation"),
        ("channel-0", "0"),
    ];
    let asked = post(&browser, "/submit", &fields).body;
    for text in [
        "What is wrong",
        "image: bad.png: ",
        "image: notes.tif: ",
        "no consumer serves this queue",
    ] {
        assert!(asked.contains(text), "{text} is missing in\n{asked}");
    }
    assert!(!asked.contains("good.png:"), "{asked}");
    for (name, value, word) in [
        ("scale", "large", "scale"),
        ("upload", "..", "no name"),
        ("type", "nope", "known are"),
    ] {
        let wrong = [&fields[..], &[(name, value)]].concat();
        let wrong: Vec<_> = wrong
            .iter()
            .filter(|it| it.0 != name || it.1 == value)
            .copied()
            .collect();
        let answer = post(&browser, "/submit", &wrong);
        assert!(
            answer.status == 400 && answer.body.contains(word),
            "{name}: {}",
            answer.body
        );
    }
    assert_eq!(cluster.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_a_script_leads_to_the_options() {
    let (cluster, _dashboard, browser) = with_types().await;
    let page = browser.get("/").body;
    assert!(
        page.contains("enctype=\"multipart/form-data\"") && page.contains("name=\"file\" multiple"),
        "{page}"
    );
    let token = browser.form_token_of("/");
    let form = multipart(
        &token,
        &[
            ("a.png", IMAGE),
            ("C:\\lab\\b.png", IMAGE),
            ("a.png", b"other"),
        ],
    );
    let stream = begin(
        &browser,
        ("POST", "/upload"),
        &[FORM, ("content-length", &form.len().to_string())],
        &form,
    );
    let mut stream = stream;
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 303"), "{text}");
    let place = text
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    let place = place.expect("a place").trim();
    let upload = place.strip_prefix("/submit?upload=").expect("options");
    assert!(cluster.object(&format!("uploads/{upload}/a.png")) == IMAGE);
    assert_eq!(
        cluster.object(&format!("uploads/{upload}/2/a.png")),
        b"other"
    );
    let options = browser.get(place).body;
    assert!(
        options.contains("3 files, ") && options.contains("formaction=\"/inspect\""),
        "{options}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_how_what_it_remembers_fares() {
    let (cluster, _dashboard, browser) = with_types().await;
    assert_eq!(put(&browser, "/upload/one/a.png", IMAGE).0, 200);
    let fields = [
        ("upload", "one"),
        ("type", "segmentation"),
        ("channel-0", "0"),
        ("confirmed", "yes"),
        ("skip", "yes"),
    ];
    let done = post(&browser, "/submit", &fields).body;
    let key = done.split_once("data-name=\"").expect("a key").1;
    let key = key.split_once('"').expect("its end").0;
    let gone = super::encoded(b"segmentation:gone:1");
    let before = cluster.redis.dump();
    let mine = browser
        .get(&format!("/mine?job={key}&job={gone}&job=%00&batch=none"))
        .body;
    for text in [
        ">a.png</a>",
        ">new</span>",
        ">vanished</span>",
        ">deleted</span>",
    ] {
        assert!(mine.contains(text), "{text} is missing in\n{mine}");
    }
    assert_eq!(cluster.redis.dump(), before);
}
