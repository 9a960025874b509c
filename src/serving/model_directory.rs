//! The folder of models: `<name>/<version>/model.onnx`, or packages of BioImage.IO.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::error::Error;
use super::model::{ModelId, Served};
use super::model_fetch::ModelFetch;
use super::model_files::{DESCRIPTION, FILE, MAX_BYTES};
use bioimage_model::{Package, PackageError, WeightsFormat};

/// Models that an error lists, at most.
const LISTED: usize = 10;

/// The folder of models. Clones share what fetches others.
#[derive(Clone)]
pub(super) struct ModelDirectory {
    folder: PathBuf,
    fetch: Option<Arc<ModelFetch>>,
}

impl ModelDirectory {
    /// The folder, and what brings models that it lacks.
    pub(super) fn new(folder: PathBuf, fetch: Option<ModelFetch>) -> Self {
        Self {
            folder,
            fetch: fetch.map(Arc::new),
        }
    }

    /// Brings a model that is not there from the bucket, if that has it.
    ///
    /// # Errors
    /// Why it cannot be fetched.
    pub(super) async fn fetch(&self, model: &ModelId) -> Result<(), Error> {
        let is_there = || self.source(model).is_ok();
        let Some(fetch) = &self.fetch else {
            return Ok(());
        };
        if !is_name(&model.name) || is_there() {
            return Ok(());
        }
        let fetched = fetch.fetch(model, is_there).await;
        fetched.map_err(|error| Error::NotFetched {
            model: model.clone(),
            message: error.message,
            class: error.class,
        })
    }

    /// What a model is run from: its file, or its package.
    ///
    /// # Errors
    /// That there is neither, and which models there are.
    pub(super) fn source(&self, model: &ModelId) -> Result<Source, String> {
        if is_name(&model.name) {
            let file = self.version(model).join(FILE);
            if file.is_file() {
                return Ok(Source::File(file));
            }
        }
        self.package(model).map(Source::Package)
    }

    /// The package of a model: `<name>/<version>`, `<name>`, or either as a zip.
    ///
    /// # Errors
    /// That there is none, and which models there are.
    pub(super) fn package(&self, model: &ModelId) -> Result<PathBuf, String> {
        if is_name(&model.name) {
            let places = [self.version(model), self.folder.join(&model.name)];
            let zip = |path: &PathBuf| PathBuf::from(format!("{}.zip", path.display()));
            let zips = places.each_ref().map(zip);
            let mut folders = places.into_iter().filter(|path| is_package(path));
            let mut zips = zips.into_iter().filter(|path| path.is_file());
            if let Some(path) = folders.next().or_else(|| zips.next()) {
                return Ok(path);
            }
        }
        let (ModelId { name, version }, folder) = (model, self.folder.display());
        let bucket = self.fetch.as_ref().map(|fetch| fetch.place());
        let bucket = bucket.map_or(String::new(), |place| format!(", nor has {place}"));
        Err(format!(
            "MODEL_DIR {folder} has no {name}/{version}/{FILE} and no package {name}{bucket}; it has {}",
            self.list()
        ))
    }

    fn version(&self, model: &ModelId) -> PathBuf {
        self.folder
            .join(&model.name)
            .join(model.version.to_string())
    }

    /// A file beside that of a model, or beside its versions.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn file_beside(
        &self,
        model: &ModelId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        if !is_name(&model.name) {
            return Ok(None);
        }
        let folders = [self.version(model), self.folder.join(&model.name)];
        let mut found = folders.into_iter().map(|folder| folder.join(name));
        let Some(path) = found.find(|path| path.is_file()) else {
            return Ok(None);
        };
        let read = std::fs::read(&path);
        read.map(Some)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The models that lie here. Packages may have no versions.
    pub(super) fn models(&self) -> Served {
        let models = folders(&self.folder).map(|(name, folder)| {
            let versions = folders(&folder).filter(|(_, folder)| folder.join(FILE).is_file());
            let versions: BTreeSet<_> = versions.map(|(version, _)| version).collect();
            (name, versions, is_package(&folder))
        });
        let there = models.filter(|(_, versions, is_package)| *is_package || !versions.is_empty());
        there.map(|(name, versions, _)| (name, versions)).collect()
    }

    /// The models that there are, for people.
    fn list(&self) -> String {
        let all = self.models().into_iter();
        let mut found: Vec<_> = all
            .flat_map(|(name, versions)| match versions.is_empty() {
                true => vec![name],
                false => versions.iter().map(|it| format!("{name}:{it}")).collect(),
            })
            .collect();
        let more = found.len().saturating_sub(LISTED);
        found.truncate(LISTED);
        match (found.is_empty(), more) {
            (true, _) => "none".to_owned(),
            (false, 0) => found.join(", "),
            (false, more) => format!("{}, and {more} more", found.join(", ")),
        }
    }
}

/// What a model is run from.
#[derive(Debug)]
pub(super) enum Source {
    /// An ONNX file.
    File(PathBuf),
    /// A package, which holds one.
    Package(PathBuf),
}

/// An ONNX file, or its bytes.
pub(super) enum Weights {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Source {
    /// The weights. Those of a package are held against its checksum.
    ///
    /// # Errors
    /// Why there are none that can be run in the process.
    pub(super) fn weights(self) -> Result<Weights, String> {
        match self {
            Self::File(path) => Ok(Weights::File(path)),
            Self::Package(path) => match onnx(&path).map_err(|error| error.to_string())? {
                Some((bytes, false)) => Ok(Weights::Bytes(bytes)),
                Some((_, true)) => Err(SECOND_FILE.to_owned()),
                None => Err(NO_ONNX.to_owned()),
            },
        }
    }
}

/// The ONNX weights of a package, and whether there is more to them than one file.
fn onnx(package: &Path) -> Result<Option<(Vec<u8>, bool)>, PackageError> {
    let mut package = Package::open(package)?;
    let mut weights = package.description()?.weights.into_iter();
    let onnx = weights.find(|weights| weights.format == WeightsFormat::Onnx);
    let read = onnx.map(|onnx| {
        let bytes = package.read_verified(&onnx.file, MAX_BYTES)?;
        Ok((bytes, onnx.external_data.is_some()))
    });
    read.transpose()
}

const SECOND_FILE: &str =
    "its package keeps numbers of the network in a second file: save the network as one file";

const NO_ONNX: &str = "its package has no weights in ONNX's format, which is what runs in this process: add them with \
    `bioimageio add-weights`";

/// Whether a name, which may come from a job, names something in the folder, and nothing elsewhere.
fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let first = parts.next();
    matches!((first, parts.next()), (Some(Component::Normal(only)), None) if only == OsStr::new(name))
}

fn is_package(folder: &Path) -> bool {
    folder.join(DESCRIPTION).is_file()
}

/// The folders of a folder by their names.
fn folders(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let path = entry.path();
        let name = entry.file_name().into_string().ok()?;
        path.is_dir().then_some((name, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_and_others_are_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        for place in ["Nuclei/1", "Nuclei/2", "Empty/1"] {
            std::fs::create_dir_all(folder.path().join(place)).expect("a folder");
        }
        for place in ["Nuclei/1", "Nuclei/2"] {
            std::fs::write(folder.path().join(place).join(FILE), "").expect("a file");
        }
        let models = ModelDirectory::new(folder.path().to_owned(), None);
        assert!(models.source(&ModelId::new("Nuclei", 2)).is_ok());
        for (name, version) in [
            ("Nuclei", 3),
            ("Empty", 1),
            ("../Nuclei", 1),
            ("Nuclei/", 1),
            (".", 1),
            ("", 1),
        ] {
            let error = models.source(&ModelId::new(name, version)).expect_err(name);
            assert!(error.ends_with("it has Nuclei:1, Nuclei:2"), "{error}");
        }
        let nowhere = ModelDirectory::new(folder.path().join("nowhere"), None);
        let error = nowhere
            .source(&ModelId::new("Nuclei", 1))
            .expect_err("no folder");
        assert!(error.ends_with("it has none"), "{error}");
    }
}
