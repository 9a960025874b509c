//! Models of the bucket, brought into the folder of models before they are first used.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use super::model::ModelId;
use super::model_files::{DESCRIPTION, FILE, MAX_BYTES};
use crate::error_class::ErrorClass;
use crate::model_store::{ModelStore, StoreError};

/// Files of one model.
const MAX_FILES: usize = 1000;

/// What begins the name of a model that is on its way.
const PARTIAL: &str = ".fetching-";

/// Age at which something on its way has been left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 3600);

/// Brings models from a folder of the bucket.
pub(super) struct ModelFetch {
    store: Arc<dyn ModelStore>,
    prefix: String,
    directory: PathBuf,
    /// One model at a time: two jobs that want the same one fetch it once.
    turn: Mutex<()>,
}

/// Something in the bucket that is a model, and the place for it here.
struct Found {
    /// Its files: key, and path below the place.
    files: Vec<(String, PathBuf)>,
    place: PathBuf,
}

impl ModelFetch {
    pub(super) fn new(store: Arc<dyn ModelStore>, prefix: &str, directory: PathBuf) -> Self {
        Self {
            store,
            prefix: prefix.trim_matches('/').to_owned(),
            directory,
            turn: Mutex::new(()),
        }
    }

    /// Where models are looked for, for people.
    pub(super) fn place(&self) -> String {
        format!("MODEL_PREFIX {} of the bucket", self.prefix)
    }

    /// Brings the model, unless `is_there` by now. Nothing happens if the bucket does not have it.
    ///
    /// # Errors
    /// Why it cannot be fetched.
    pub(super) async fn fetch(
        &self,
        model: &ModelId,
        is_there: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        if is_there() {
            return Ok(());
        }
        let Some(found) = self.look_for(model).await? else {
            return Ok(());
        };
        self.remove_left_behind();
        let partial = self
            .directory
            .join(format!("{PARTIAL}{:016x}", fastrand::u64(..)));
        let brought = self.bring(&found, &partial).await;
        if brought.is_err() {
            remove(&partial);
        }
        brought
    }

    /// The model in the bucket: a folder for the version, a folder, or either as a zip, like in the folder of models.
    async fn look_for(&self, model: &ModelId) -> Result<Option<Found>, StoreError> {
        let ModelId { name, version } = model;
        let folder = format!("{}/{name}", self.prefix);
        let folder = folder.trim_start_matches('/');
        let place = self.directory.join(name);
        let version_place = place.join(version.to_string());
        let folders = [
            (
                format!("{folder}/{version}/"),
                version_place,
                &[FILE, DESCRIPTION][..],
            ),
            (format!("{folder}/"), place, &[DESCRIPTION][..]),
        ];
        for (folder, place, marks) in &folders {
            if let Some(found) = self.look_in(folder, place, marks).await? {
                return Ok(Some(found));
            }
        }
        for (folder, place, _) in folders {
            let key = format!("{}.zip", folder.trim_end_matches('/'));
            let listed = self.store.list(&key, 1).await?;
            if listed.first().is_some_and(|(found, _)| *found == key) {
                check_size(&key, &listed)?;
                return Ok(Some(Found {
                    files: vec![(key, PathBuf::new())],
                    place: PathBuf::from(format!("{}.zip", place.display())),
                }));
            }
        }
        Ok(None)
    }

    async fn look_in(
        &self,
        folder: &str,
        place: &Path,
        marks: &[&str],
    ) -> Result<Option<Found>, StoreError> {
        let listed = self.store.list(folder, MAX_FILES + 1).await?;
        let is_model = listed.iter().any(|(key, _)| {
            let below = key.strip_prefix(folder);
            below.is_some_and(|below| marks.contains(&below))
        });
        if !is_model {
            return Ok(None);
        }
        check_size(folder, &listed)?;
        let files = listed.into_iter().filter_map(|(key, _)| {
            let below = PathBuf::from(key.strip_prefix(folder)?);
            is_below(&below).then_some((key, below))
        });
        Ok(Some(Found {
            files: files.collect(),
            place: place.to_owned(),
        }))
    }

    /// Fetches all files to where nobody looks, and puts them at their place at once.
    async fn bring(&self, found: &Found, partial: &Path) -> Result<(), StoreError> {
        for (key, below) in &found.files {
            let file = if below.as_os_str().is_empty() {
                partial.to_owned()
            } else {
                partial.join(below)
            };
            made(file.parent())?;
            self.store.fetch(key, &file).await?;
        }
        made(found.place.parent())?;
        match std::fs::rename(partial, &found.place) {
            Ok(()) => {
                tracing::info!(place = %found.place.display(), files = found.files.len(), "fetched a model");
                Ok(())
            }
            // Another process that shares the folder was faster.
            Err(_) if found.place.exists() => {
                remove(partial);
                Ok(())
            }
            Err(error) => Err(unwritable(&found.place, &error)),
        }
    }

    fn remove_left_behind(&self) {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        for entry in entries.flatten() {
            let is_partial = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(PARTIAL));
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|modified| {
                let age = SystemTime::now().duration_since(modified);
                age.is_ok_and(|age| age > LEFT_BEHIND)
            });
            if is_partial && is_old {
                remove(&entry.path());
            }
        }
    }
}

/// Refuses what would fill the disk.
fn check_size(what: &str, listed: &[(String, u64)]) -> Result<(), StoreError> {
    let bytes: u64 = listed.iter().map(|(_, bytes)| bytes).sum();
    if bytes <= MAX_BYTES && listed.len() <= MAX_FILES {
        return Ok(());
    }
    Err(StoreError {
        message: format!(
            "`{what}` in the bucket is no model: it has {} files or more of {bytes} bytes, and at most {MAX_FILES} of \
             {MAX_BYTES} bytes are fetched",
            listed.len()
        ),
        class: ErrorClass::TooLarge,
    })
}

/// Whether a path, which comes from a key, leads to nowhere but below.
fn is_below(path: &Path) -> bool {
    let mut parts = path.components();
    path.as_os_str().is_empty() || parts.all(|part| matches!(part, Component::Normal(_)))
}

fn made(folder: Option<&Path>) -> Result<(), StoreError> {
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError {
        message: format!(
            "MODEL_DIR, where models of the bucket are kept, cannot be written: {}: {error}",
            path.display()
        ),
        class: ErrorClass::Internal,
    }
}

fn remove(path: &Path) {
    // Whichever it is; one that stays is removed later.
    let _ = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
}
