//! Files of other people, and what is known of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder whose `expected.json` tells of its files.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) index: Value,
}

impl Folder {
    fn read(path: PathBuf) -> Self {
        let index = path.join("expected.json");
        let shown = index.display();
        let text = std::fs::read(&index).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let index =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self { path, index }
    }

    /// The name of every file, what is expected of it, and its content.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Value, Vec<u8>)> {
        let files = self.index["files"].as_object();
        let files = files.expect("the index lists files").iter();
        files.map(|(name, entry)| {
            let content = std::fs::read(self.path.join(name));
            let content = content.unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.as_str(), &entry["expected"], content)
        })
    }
}

/// These folders of `tests/fixtures`, and the one that `DATA_DIR` names, else `../shared/data` beside the project if it is there.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment where the files are"
)]
pub(crate) fn folders(fixtures: &[&str]) -> Vec<Folder> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = fixtures
        .iter()
        .map(|name| project.join("tests/fixtures").join(name));
    let mut folders: Vec<_> = fixtures.map(Folder::read).collect();
    let named = std::env::var_os("DATA_DIR").map(PathBuf::from);
    let beside = project.join("../shared/data");
    match named {
        // A folder that somebody names is read, or the test fails.
        Some(data) => folders.push(Folder::read(data)),
        None if beside.join("expected.json").is_file() => folders.push(Folder::read(beside)),
        None => println!("all but a few real files are skipped: there is no folder of them"),
    }
    folders
}
