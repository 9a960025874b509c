//! What others wrote and the page serves is what its table says, and no more than a laptop on a slow line can bear.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::empty;
use crate::peers::browser::Dashboard;

/// All files of the page together, compressed.
const MOST_BYTES: usize = 150_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it is read").path());
    let served = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default();
        ["js", "css", "svg"].iter().any(|it| ending == *it)
    };
    paths.filter(served).collect()
}

#[test]
fn files_of_others_are_those_of_the_table() {
    let folder = folder().join("vendor");
    let table = fs::read_to_string(folder.join("README.md")).expect("a table");
    let files = files(&folder);
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_name().expect("a name").to_string_lossy();
        let row = table
            .lines()
            .find(|line| line.contains(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in assets/vendor/README.md"));
        let digest = Sha256::digest(fs::read(&file).expect("it is read"));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(row.contains(&digest), "{name} has SHA-256 {digest}");
    }
}

#[test]
fn all_files_together_are_small() {
    let folders = [folder(), folder().join("scripts"), folder().join("vendor")];
    let sizes = folders.iter().flat_map(|folder| files(folder)).map(|file| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let content = fs::read(file).expect("it is read");
        encoder.write_all(&content).expect("memory takes it");
        encoder.finish().expect("memory takes it").len()
    });
    let bytes: usize = sizes.sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_packed_to_those_who_take_them_so() {
    let cluster = empty().await;
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let page = browser.get("/help").body;
    let style = page.split('"').find(|it| it.ends_with(".css"));
    for (path, file) in [
        (style.expect("a style sheet"), "dashboard.css"),
        ("/api/v1/openapi.json", "openapi.json"),
    ] {
        let content = fs::read(folder().join(file)).expect("it is read");
        let plain = browser.get_bytes(path);
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        assert!(plain.body == content, "{path} is another file");
        let packed = browser.clone().with("accept-encoding", "br, gzip");
        let packed = packed.get_bytes(path);
        assert_eq!(packed.headers["content-encoding"], "gzip", "{path}");
        assert_eq!(packed.headers["vary"], "Accept-Encoding", "{path}");
        let mut unpacked = Vec::new();
        let read = GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked);
        read.expect("it is packed");
        assert!(unpacked == content, "{path} is another file");
    }
}
