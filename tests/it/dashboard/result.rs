//! What is in a result, and the lines that open it elsewhere.

use std::fs;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::{empty, encoded};
use crate::peers::browser::{Dashboard, unescaped};
use crate::peers::cluster::Cluster;
use crate::peers::results::zipped;

const LABELS: &[u8] = include_bytes!("../../fixtures/nuclei/dsb2018_777f7c42_labels.tif");

/// A job that is done, with these files in its result.
fn done(cluster: &Cluster, key: &str, files: &[(&str, &[u8])]) -> String {
    let result = format!("output/{}.zip", encoded(key.as_bytes()));
    let files = files.iter();
    let files = files.map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    cluster.put(&result, &zipped(files));
    let command = ["HSET", key, "status", "done", "output_file_name", &result];
    let _: u32 = cluster.redis.ask(&command);
    format!("/jobs/{}", encoded(key.as_bytes()))
}

/// Two dashboards: everybody may fetch results from the one, and the other shows where they are.
fn dashboards(cluster: &Cluster) -> [Dashboard; 2] {
    let files = [("STORAGE_PUBLIC_URL", "https://kiosk.example/files")];
    let files = Dashboard::start(cluster, &files);
    let address = format!("http://127.0.0.1:{}/files", files.port);
    let page = Dashboard::start(cluster, &[("STORAGE_PUBLIC_URL", &address)]);
    [files, page]
}

/// The lines that a page shows to be copied.
fn lines(page: &str) -> Vec<String> {
    let section = page.split_once("class=\"open-with\"").map_or("", |it| it.1);
    let section = section.split_once("</details>").map_or("", |it| it.0);
    let all = section.split("<pre><code>").skip(1);
    all.map(|it| unescaped(it.split("</code>").next().expect("its end")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_page_open_the_result_in_python() {
    let cluster = empty().await;
    let [_files, page] = dashboards(&cluster);
    let name = "plate 1/it's \"B04\" \\ ü_feature_0.tif";
    let files = [(name, LABELS), ("lineage.json", b"{}")];
    let path = done(&cluster, "q:images", &files);
    let shown = page.browser().get(&path).body;
    assert!(
        unescaped(&shown).contains("In the result: <code>plate 1/it's"),
        "{shown}"
    );
    let [python, fiji] = &lines(&shown)[..] else {
        panic!("{shown}");
    };
    assert_eq!(python.lines().count(), 2, "{python}");
    assert!(
        fiji.starts_with("open(\"http://127.0.0.1:") && fiji.ends_with(".zip\");"),
        "{fiji}"
    );
    // In place of the package, which the machine may lack.
    let folder = tempfile::tempdir().expect("a folder");
    let module = "def imread(file):\n    return file.read()\n";
    fs::write(folder.path().join("tifffile.py"), module).expect("a file");
    let script = format!("{python}\nimport hashlib\nprint(hashlib.sha256(image).hexdigest())");
    let output = Command::new("python3")
        .args(["-c", &script])
        .env("PYTHONPATH", folder.path())
        .output()
        .expect("Python runs");
    let digest: String = Sha256::digest(LABELS)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.trim(), digest, "{script}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_by_a_line_has_none() {
    let cluster = empty().await;
    let [_files, page] = dashboards(&cluster);
    let table = done(&cluster, "q:table", &[("spots.csv", b"a,b\n1,2\n")]);
    let shown = lines(&page.browser().get(&table).body);
    assert!(
        shown.len() == 1 && shown[0].contains("pandas.read_csv("),
        "{shown:?}"
    );
    // A name that nobody sees as it is.
    let hostile = done(&cluster, "q:evil", &[("a\nimport os.tif", LABELS)]);
    let hostile = page.browser().get(&hostile).body;
    assert!(
        lines(&hostile).is_empty() && hostile.contains("In the result:"),
        "{hostile}"
    );
    let notes = done(&cluster, "q:notes", &[("notes.txt", b"x")]);
    assert!(lines(&page.browser().get(&notes).body).is_empty());
    // Without an address there is nothing to be opened from elsewhere.
    let alone = Dashboard::start(&cluster, &[]);
    let shown = alone.browser().get(&table).body;
    assert!(
        lines(&shown).is_empty() && shown.contains("<code>spots.csv</code>"),
        "{shown}"
    );
    let broken = done(&cluster, "q:broken", &[]);
    cluster.put(
        &format!("output/{}.zip", encoded(b"q:broken")),
        b"no archive",
    );
    let shown = page.browser().get(&broken);
    assert!(shown.status == 200 && !shown.body.contains("In the result"));
}
