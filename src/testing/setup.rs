//! What a consumer under test runs against: a folder as bucket, a model server in this process, settings.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::consumer::{Clients, Consumer, ConsumerKind};
use crate::memory::MemoryBudget;
use crate::serving::{self, Model, ModelServer, ServingSettings};
use crate::settings::{Env, Loader};
use crate::storage::{Storage, StorageSettings};

/// The objects of a bucket by key.
pub(super) type Objects = BTreeMap<String, Vec<u8>>;

/// The surroundings of a consumer. They end with this value.
pub(super) struct Setup {
    bucket: TempDir,
    objects: Objects,
    variables: Vec<(String, String)>,
    _models: ModelServer,
}

impl Setup {
    /// A bucket with these objects and a server of these models.
    pub(super) async fn new(
        objects: Objects,
        models: Vec<Model>,
        variables: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let bucket = tempfile::tempdir().context("a folder for the bucket")?;
        let models = ModelServer::start(0, models)
            .await
            .context("a model server")?;
        let address = models.address();
        let own = [
            (
                "STORAGE_BUCKET",
                format!("file://{}", bucket.path().display()),
            ),
            ("TF_HOST", address.ip().to_string()),
            ("TF_PORT", address.port().to_string()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let setup = Self {
            bucket,
            objects,
            variables: own.iter().chain(variables).cloned().collect(),
            _models: models,
        };
        setup.reset()?;
        Ok(setup)
    }

    /// A consumer that has just been built.
    pub(super) fn consumer(&self, kind: &ConsumerKind) -> anyhow::Result<Box<dyn Consumer>> {
        let env: Env = self.variables.iter().cloned().collect();
        let mut loader = Loader::new(&env);
        let storage = StorageSettings::load(&mut loader);
        let serving = ServingSettings::load(&mut loader);
        let factory = (kind.configure)(&mut loader);
        loader.finish()?;
        Ok(factory(&Clients {
            storage: Storage::open(&storage)?,
            serving: serving::Client::new(serving, None),
            memory: MemoryBudget::new(0),
        }))
    }

    /// What was in the bucket at first.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Puts the bucket back to what it was at first.
    pub(super) fn reset(&self) -> anyhow::Result<()> {
        for key in self.stored()?.keys() {
            self.remove(key)?;
        }
        for (key, body) in &self.objects {
            self.put(key, body)?;
        }
        Ok(())
    }

    /// Replaces an object, or removes it.
    pub(super) fn replace(&self, key: &str, body: Option<&[u8]>) -> anyhow::Result<()> {
        match body {
            Some(body) => self.put(key, body),
            None => self.remove(key),
        }
    }

    /// What is in the bucket now.
    pub(super) fn stored(&self) -> anyhow::Result<Objects> {
        let mut found = Objects::new();
        let mut folders = vec![self.bucket.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(body) = fs::read(&path) {
                    // What is gone by now was on its way to somewhere else.
                    found.insert(self.key(&path), body);
                }
            }
        }
        Ok(found)
    }

    fn put(&self, key: &str, body: &[u8]) -> anyhow::Result<()> {
        let path = self.path(key);
        fs::create_dir_all(path.parent().context("an object needs a name")?)?;
        Ok(fs::write(path, body)?)
    }

    fn remove(&self, key: &str) -> anyhow::Result<()> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.bucket.path().join(key)
    }

    fn key(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.bucket.path()).unwrap_or(path);
        below.to_string_lossy().into_owned()
    }
}
