//! What is in the result of a job, and how other programs open it.

use std::time::Duration;

use super::super::shown::{message, name};
use crate::compute;
use crate::figures::size;
use crate::storage::Storage;
use crate::storage::archive::{ArchivedFile, SparseFile, files_in};
use crate::untrusted;

/// How long the bucket may take to tell what is in an archive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of the end of an archive that are read: a list of some hundred files.
const END: u64 = 64 << 10;

/// Files that are listed.
const LISTED: usize = 20;

/// The longest text of a line, in bytes.
const LONGEST: usize = 1000;

/// What is in a result.
pub(super) struct ResultFiles {
    pub(super) files: Vec<Entry>,
    /// Those that are not listed.
    pub(super) more: usize,
    pub(super) lines: Option<Lines>,
}

/// A file of an archive.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: String,
}

/// Lines to be copied, which open a result by its address.
pub(super) struct Lines {
    /// Two lines of Python, and the package that they need beside its own.
    pub(super) python: [String; 2],
    pub(super) package: &'static str,
    /// The file of the archive that they open.
    pub(super) opened: String,
    /// A line of ImageJ's macro language, if it can open the result.
    pub(super) fiji: Option<String>,
}

/// What Python reads a kind of file with.
struct Reader {
    endings: &'static [&'static str],
    /// What it imports beside what the file is fetched with, and the package that this is of.
    module: &'static str,
    package: &'static str,
    result: &'static str,
    /// What is called with the open file.
    call: &'static str,
}

const READERS: [Reader; 4] = [
    Reader {
        endings: &[".tif", ".tiff"],
        module: "tifffile",
        package: "tifffile",
        result: "image",
        call: "tifffile.imread",
    },
    Reader {
        endings: &[".csv"],
        module: "pandas",
        package: "pandas",
        result: "table",
        call: "pandas.read_csv",
    },
    Reader {
        endings: &[".npy"],
        module: "numpy",
        package: "numpy",
        result: "array",
        call: "numpy.load",
    },
    Reader {
        endings: &[".json", ".geojson"],
        module: "json",
        package: "",
        result: "data",
        call: "json.load",
    },
];

impl ResultFiles {
    /// Of the archive under this key; nothing if it is none, or the bucket does not tell in time.
    pub(super) async fn of(storage: &Storage, key: &str) -> Option<Self> {
        if !key.to_ascii_lowercase().ends_with(".zip") {
            return None;
        }
        let found = tokio::time::timeout(PATIENCE, list(storage, key)).await;
        let files = found.ok()??;
        let address = web_address(storage, key);
        Some(Self {
            lines: address.and_then(|address| Lines::of(&address, &files)),
            more: files.len().saturating_sub(LISTED),
            files: files.iter().take(LISTED).map(entry).collect(),
        })
    }
}

/// Where browsers can fetch an object of the bucket. What a job says itself is never linked.
pub(super) fn web_address(storage: &Storage, key: &str) -> Option<String> {
    let url = storage.public_url(key);
    let is_web = ["http://", "https://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    is_web.then_some(url)
}

/// The files of an archive, if its list is at its very end.
async fn list(storage: &Storage, key: &str) -> Option<Vec<ArchivedFile>> {
    let mut object = storage.range_reader(key).await.ok()?;
    let bytes = object.size();
    let end = bytes.saturating_sub(END)..bytes;
    let mut archive = SparseFile::new(bytes);
    archive.insert(end.start, object.read(end).await.ok()?);
    compute::run(move || {
        let files = files_in(&mut archive);
        let is_whole = archive.take_missing_range().is_none();
        files.ok().filter(|_| is_whole)
    })
    .await
}

fn entry(file: &ArchivedFile) -> Entry {
    Entry {
        name: name(file.name.as_bytes()),
        size: size(file.size_bytes as f64),
    }
}

impl Lines {
    /// Those for an archive at an address: its first image, else its first file that is read by a package for it.
    fn of(address: &str, files: &[ArchivedFile]) -> Option<Self> {
        let is_read = |file: &ArchivedFile| READERS.iter().position(|it| it.reads(&file.name));
        let known = files.iter().filter_map(|file| Some((is_read(file)?, file)));
        let (number, file) = known.min_by_key(|(number, _)| *number)?;
        let reader = &READERS[number];
        // It opens the first file of an archive, if that is an image.
        let is_image = files
            .first()
            .is_some_and(|file| READERS[0].reads(&file.name));
        let fiji = (is_image && address.ends_with(".zip")).then(|| {
            let address = literal(address)?;
            Some(format!("open({address});"))
        });
        Some(Self {
            python: reader.lines(address, &file.name)?,
            package: reader.package,
            opened: message(&file.name),
            fiji: fiji.flatten(),
        })
    }
}

impl Reader {
    fn reads(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.endings.iter().any(|ending| name.ends_with(ending))
    }

    fn lines(&self, address: &str, name: &str) -> Option<[String; 2]> {
        let (address, name) = (literal(address)?, literal(name)?);
        let mut modules = ["io", "urllib.request", "zipfile", self.module];
        modules.sort_unstable();
        let fetched = format!("io.BytesIO(urllib.request.urlopen({address}).read())");
        let opened = format!("zipfile.ZipFile({fetched}).open({name})");
        Some([
            format!("import {}", modules.join(", ")),
            format!("{} = {}({opened})", self.result, self.call),
        ])
    }
}

/// A text as Python and ImageJ's macros have it, between quotes. One that cannot be shown as it is has none: nobody could tell
/// what is copied.
fn literal(text: &str) -> Option<String> {
    if text.len() > LONGEST || !untrusted::is_harmless(text) {
        return None;
    }
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[&str]) -> Option<Lines> {
        let files: Vec<_> = files
            .iter()
            .map(|name| ArchivedFile {
                name: (*name).to_owned(),
                size_bytes: 1,
            })
            .collect();
        Lines::of("https://kiosk/files/output/0a.zip", &files)
    }

    #[test]
    fn the_first_image_is_opened_else_what_there_is_a_package_for() {
        let two = lines(&["a_feature_0.tif", "b.tif", "lineage.json"]).expect("lines");
        assert_eq!(
            two.python,
            [
                "import io, tifffile, urllib.request, zipfile",
                "image = tifffile.imread(zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(\"https://kiosk/files/output/0a.zip\")\
                 .read())).open(\"a_feature_0.tif\"))"
            ]
        );
        let fiji = "open(\"https://kiosk/files/output/0a.zip\");";
        assert_eq!(two.fiji.as_deref(), Some(fiji));
        let late = lines(&["notes.txt", "t.csv", "d/c.TIFF"]).expect("lines");
        assert_eq!((late.opened.as_str(), late.fiji), ("d/c.TIFF", None));
        let table = lines(&["t.csv"]).expect("lines");
        assert!(table.python[1].starts_with("table = pandas.read_csv("));
        let json = lines(&["x.geojson"]).expect("lines");
        assert_eq!((json.package, json.opened.as_str()), ("", "x.geojson"));
        assert!(lines(&["notes.txt"]).is_none() && lines(&[]).is_none());
    }

    #[test]
    fn names_of_strangers_stay_within_their_quotes() {
        let quoted = lines(&["a\"); import os #\\.tif"]).expect("lines");
        let end = ".open(\"a\\\"); import os #\\\\.tif\"))";
        assert!(quoted.python[1].ends_with(end), "{}", quoted.python[1]);
        assert!(lines(&["a\nb.tif"]).is_none());
        assert!(lines(&["gpj.\u{202e}fit.tif"]).is_none());
    }
}
