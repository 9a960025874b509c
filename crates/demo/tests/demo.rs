//! Drives `redis-consumer-demo run` as a user would: with a real Redis, a consumer and a model server of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bioimage::{Limits, decode, encode_tiff};
use ndarray::Array2;
use redis_consumer::storage::archive::image_entries;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/nuclei");

/// Far more than a dead process needs to vanish, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_shipped_image_is_segmented_drawn_and_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path(), &[]).output().expect("the demo runs");
    let text = stdout(&output);
    assert!(output.status.success(), "{text}\n{}", stderr(&output));
    assert!(number_before(&text, " cells\n") > 20, "{text}");
    assert_eq!(
        number_before(&text, " cells of the ground truth"),
        43,
        "{text}"
    );
    for part in [
        "  new\n",
        "  done\n",
        "predicting",
        "in all",
        "F1",
        "a small network trained for fluorescent nuclei",
    ] {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
    assert_eq!(ids(&text).len(), 2, "Redis and the consumer: {text}");
    let results = folder.path().join("demo-output");
    let archive = fs::read(results.join("result.zip")).expect("an archive");
    assert_eq!(
        image_entries(&archive).expect("it can be read"),
        ["dsb2018_777f7c42_batch_0_feature_0.tif"]
    );
    let overlay = fs::read(results.join("overlay.png")).expect("a picture");
    let overlay = decode(&overlay, "overlay.png", &Limits::default()).expect("it can be decoded");
    assert_eq!(overlay.shape(), [1080, 1080, 3]);
    assert_all_gone(&ids(&text));
}

#[test]
fn an_image_of_ones_own_is_held_against_the_labels_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, to) in [
        ("dsb2018_9ebcfaf2.png", "my cells.png"),
        ("dsb2018_9ebcfaf2_labels.tif", "my cells_labels.tif"),
    ] {
        fs::copy(Path::new(FIXTURES).join(from), folder.path().join(to)).expect("a fixture");
    }
    let output = demo(folder.path(), &["my cells.png"])
        .output()
        .expect("the demo runs");
    let text = stdout(&output);
    assert!(output.status.success(), "{text}\n{}", stderr(&output));
    assert!(text.contains("my cells_batch_0_feature_0.tif"), "{text}");
    assert_eq!(
        number_before(&text, " cells of the ground truth"),
        58,
        "{text}"
    );
}

#[test]
fn both_models_are_as_good_as_they_are_said_to_be() {
    for (model, name) in [
        ("trained", "trained network"),
        ("classical", "classical stand-in"),
    ] {
        let mut found = Vec::new();
        let mut said = Vec::new();
        for image in ["dsb2018_777f7c42.png", "dsb2018_9ebcfaf2.png"] {
            let folder = tempfile::tempdir().expect("a folder");
            let image = Path::new(FIXTURES).join(image);
            let image = image.to_str().expect("a plain path");
            let output = demo(folder.path(), &["--model", model, image]).output();
            let text = stdout(&output.expect("the demo runs"));
            let after = |start: &str| {
                let line = text
                    .lines()
                    .find(|line| line.trim_start().starts_with(start));
                let line = line.unwrap_or_else(|| panic!("no `{start}` in\n{text}"));
                let words = line.trim_start()[start.len()..].split_whitespace();
                words.map(str::to_owned).collect::<Vec<_>>()
            };
            found.extend(after("F1  "));
            said = after(name);
        }
        assert_eq!(found, said, "{model}");
    }
}

#[test]
fn an_unreadable_image_ends_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("broken.tif"), "no image at all").expect("a file");
    let output = demo(folder.path(), &["broken.tif"])
        .output()
        .expect("the demo runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the job failed: while pre-processing"),
        "{}",
        stderr(&output)
    );
    assert_all_gone(&ids(&stdout(&output)));
}

#[test]
fn a_missing_image_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path(), &["nowhere.tif"])
        .output()
        .expect("the demo runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot read nowhere.tif"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_interrupt_in_the_middle_of_a_job_leaves_nothing_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut demo, text) = busy_demo(folder.path());
    signal("INT", demo.id());
    let status = demo.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    let mut complaint = String::new();
    demo.stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut complaint)
        .expect("text");
    assert!(complaint.contains("interrupted"), "{complaint}");
    let alive: Vec<_> = ids(&text).into_iter().filter(|id| is_alive(*id)).collect();
    assert_eq!(alive, [0_u32; 0], "{text}");
}

#[test]
fn the_page_shows_the_job_until_somebody_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = demo(folder.path(), &["--page"]);
    // No browser is to be opened by a test.
    let search_path = command_path();
    let demo = command
        .env("PATH", search_path.path())
        .stdout(Stdio::piped())
        .spawn();
    let mut demo = Ended(demo.expect("the demo starts"));
    let mut out = BufReader::new(demo.0.stdout.take().expect("a pipe"));
    let mut text = String::new();
    while !text.contains("and the page: ") {
        assert!(out.read_line(&mut text).expect("text") > 0, "{text}");
    }
    let address = text.split("http://").nth(1).expect("an address");
    let address = address.split('/').next().expect("an address");
    let mut stream = std::net::TcpStream::connect(address).expect("the page is served");
    let request = format!("GET /queues HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("/queues/segmentation"), "{page}");
    signal("INT", demo.0.id());
    assert!(demo.0.wait().expect("it ends").success());
    assert_eq!(ids(&text).len(), 3, "{text}");
    assert_all_gone(&ids(&text));
}

/// A demo that would stay for ever, and must not outlive a test that fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Its own shell ends what it has started.
        let _ = self.0.kill();
    }
}

/// A search path with nothing but what the demo needs.
#[expect(clippy::disallowed_methods, reason = "a test looks for programs")]
fn command_path() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["redis-server", "sh", "sleep"] {
        let path = std::env::var_os("PATH").expect("a search path");
        let mut places = std::env::split_paths(&path).map(|place| place.join(name));
        let place = places
            .find(|place| place.is_file())
            .expect("it is installed");
        std::os::unix::fs::symlink(place, folder.path().join(name)).expect("a link");
    }
    folder
}

#[test]
fn even_a_killed_demo_leaves_nothing_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut demo, text) = busy_demo(folder.path());
    demo.kill().expect("it can be killed");
    demo.wait().expect("it ends");
    assert_all_gone(&ids(&text));
}

#[test]
fn the_consumer_still_knows_the_old_names_of_the_commands() {
    let demo = Path::new(env!("CARGO_BIN_EXE_redis-consumer-demo"));
    let output = Command::new(demo.with_file_name("redis-consumer"))
        .args(["demo-model-server", "--help"])
        .output()
        .expect("the consumer is built beside the demo");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("redis-consumer-demo model-server"));
}

fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let demo = Path::new(env!("CARGO_BIN_EXE_redis-consumer-demo"));
    assert!(
        demo.with_file_name("redis-consumer").is_file(),
        "the demo runs the program: test the whole workspace, or build it before"
    );
    let mut command = Command::new(demo);
    command.arg("run").args(arguments).current_dir(folder);
    // The demo must not care what its caller has set.
    command
        .env("REDIS_PORT", "1")
        .env("QUEUE", "elsewhere")
        .env("STORAGE_BUCKET", "s3://elsewhere");
    command
}

/// A demo that works on a large image, and what it has printed so far.
fn busy_demo(folder: &Path) -> (Child, String) {
    let nuclei = Array2::from_shape_fn((2000, 2000), |(y, x)| {
        let wave = |place: usize| (place as f32 / 7.0).sin();
        (100.0 * (wave(y) * wave(x)).max(0.0)).round()
    });
    fs::write(
        folder.join("large.tif"),
        encode_tiff(nuclei.view().into_dyn()),
    )
    .expect("a file");
    let mut command = demo(folder, &["--model", "classical", "large.tif"]);
    let mut demo = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut out = BufReader::new(demo.stdout.take().expect("a pipe"));
    let mut text = String::new();
    while !text.contains("  pre-processing\n") && !text.contains("  predicting\n") {
        assert!(
            out.read_line(&mut text).expect("text") > 0,
            "the demo has ended early:\n{text}"
        );
    }
    // Keeps the pipe open, so that the demo can go on printing.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    assert_eq!(ids(&text).len(), 3, "{text}");
    (demo, text)
}

fn signal(name: &str, id: u32) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {id}")])
        .status()
        .expect("a shell");
    assert!(sent.success());
}

fn is_alive(id: u32) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {id} 2>/dev/null")])
        .status()
        .expect("a shell")
        .success()
}

fn assert_all_gone(ids: &[u32]) {
    assert!(!ids.is_empty());
    let start = Instant::now();
    while ids.iter().any(|id| is_alive(*id)) {
        assert!(start.elapsed() < PATIENCE, "some of {ids:?} are left");
        sleep(Duration::from_millis(20));
    }
}

/// The ids of the processes that the demo says it has started.
fn ids(text: &str) -> Vec<u32> {
    let mut words = text.split_whitespace();
    let mut ids = Vec::new();
    while words.any(|word| word == "pid") {
        ids.extend(words.next().and_then(|id| id.parse::<u32>().ok()));
    }
    ids
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split(what).next().unwrap_or_default();
    let number = before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    number
        .parse()
        .unwrap_or_else(|_| panic!("no number before `{what}` in\n{text}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
