//! The folder of models, `<name>/<version>/model.onnx`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::serving::model::ModelId;

/// Name of the file of a model.
const FILE: &str = "model.onnx";

/// Models that an error lists, at most.
const LISTED: usize = 10;

/// The folder of models.
pub(super) struct ModelDirectory(PathBuf);

impl ModelDirectory {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The file of a model.
    ///
    /// # Errors
    /// That there is none, and which there are.
    pub(super) fn file(&self, model: &ModelId) -> Result<PathBuf, String> {
        // Names come from jobs: one that is a path must not lead out of the folder.
        let mut parts = Path::new(&model.name).components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == OsStr::new(&model.name));
        let path = self
            .0
            .join(&model.name)
            .join(model.version.to_string())
            .join(FILE);
        if is_name && path.is_file() {
            return Ok(path);
        }
        let folder = self.0.display();
        Err(format!(
            "MODEL_DIR {folder} has no {}/{}/{FILE}; it has {}",
            model.name,
            model.version,
            self.list()
        ))
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
        let file = self.file(model)?;
        let version = file.parent();
        let folders = version.into_iter().chain(version.and_then(Path::parent));
        let mut found = folders.map(|folder| folder.join(name));
        let Some(path) = found.find(|path| path.is_file()) else {
            return Ok(None);
        };
        let read = std::fs::read(&path);
        read.map(Some)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The models that there are, for people.
    fn list(&self) -> String {
        let mut found: Vec<String> = folders(&self.0)
            .flat_map(|(name, folder)| {
                let versions = folders(&folder).filter(|(_, folder)| folder.join(FILE).is_file());
                let versions: Vec<_> = versions
                    .map(|(version, _)| format!("{name}:{version}"))
                    .collect();
                versions
            })
            .collect();
        found.sort();
        let more = found.len().saturating_sub(LISTED);
        found.truncate(LISTED);
        match (found.is_empty(), more) {
            (true, _) => "none".to_owned(),
            (false, 0) => found.join(", "),
            (false, more) => format!("{}, and {more} more", found.join(", ")),
        }
    }
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
        let models = ModelDirectory::new(folder.path().to_owned());
        assert!(models.file(&ModelId::new("Nuclei", 2)).is_ok());
        for (name, version) in [
            ("Nuclei", 3),
            ("Empty", 1),
            ("../Nuclei", 1),
            ("Nuclei/", 1),
            (".", 1),
            ("", 1),
        ] {
            let error = models.file(&ModelId::new(name, version)).expect_err(name);
            assert!(error.ends_with("it has Nuclei:1, Nuclei:2"), "{error}");
        }
        let nowhere = ModelDirectory::new(folder.path().join("nowhere"));
        let error = nowhere
            .file(&ModelId::new("Nuclei", 1))
            .expect_err("no folder");
        assert!(error.ends_with("it has none"), "{error}");
    }
}
