//! The client of models, wherever they run.

use std::path::PathBuf;
use std::sync::Arc;

use ndarray::ArrayD;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::backend::Backend;
use super::batch::{Inputs, Outputs};
use super::conversion;
use super::error::Error;
use super::floats::Floats;
use super::in_process::InProcess;
use super::layout;
use super::metadata_cache::MetadataCache;
use super::model::{Input, ModelId, Served, Signature};
use super::model_directory::ModelDirectory;
use super::model_fetch::ModelFetch;
use super::pooling::Pooling;
use super::protocol::open_inference::OpenInference;
use super::protocol::tf_serving::TfServing;
use super::protocol::unknown::Unknown;
use super::remote::Remote;
use super::settings::{ModelServerKind, ServingSettings};
use crate::compute;
use crate::memory::MemoryBudget;
use crate::model_store::ModelStore;
use crate::shared_cache::SharedCache;

/// A client of all models. Clones share connections and limits; nothing connects before the first call. Every call may
/// be dropped at any time: the server is told to stop.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    packages: ModelDirectory,
    backend: Box<dyn Backend>,
    metadata: MetadataCache,
    in_flight: Semaphore,
    pooling: Option<Pooling>,
    limits: BatchRule,
}

/// What decides how much goes into a request.
struct BatchRule {
    max_in_flight: usize,
    max_batch_size: usize,
    min_model_size: usize,
    tensor_name: Option<String>,
    tile: Option<usize>,
    has_version_0: bool,
}

/// What a client may use of the process around it.
pub struct Surroundings {
    /// Metadata are shared through it.
    pub cache: Option<Arc<dyn SharedCache>>,
    /// Has models that the folder of models lacks.
    pub models: Option<Arc<dyn ModelStore>>,
    /// Gives memory to models that run in the process.
    pub memory: MemoryBudget,
}

impl Client {
    /// A client with these settings that shares metadata through `cache`, as consumers in Python do: what other servers
    /// than TensorFlow Serving say of a model is not put there.
    pub fn new(settings: ServingSettings, cache: Option<Arc<dyn SharedCache>>) -> Self {
        let memory = MemoryBudget::new(0);
        Self::within(
            settings,
            Surroundings {
                cache,
                models: None,
                memory,
            },
        )
    }

    /// The same, with all that it may use of the process.
    pub fn within(settings: ServingSettings, surroundings: Surroundings) -> Self {
        let Surroundings {
            cache,
            models,
            memory,
        } = surroundings;
        let fetch = models.zip(settings.model_prefix.as_deref());
        let folder = &settings.in_process.directory;
        let fetch = fetch.map(|(store, prefix)| ModelFetch::new(store, prefix, folder.clone()));
        let directory = ModelDirectory::new(folder.clone(), fetch);
        let cache = cache.filter(|_| settings.kind == ModelServerKind::Tfs);
        let remote = |protocol| Box::new(Remote::new(settings.clone(), protocol));
        let backend: Box<dyn Backend> = match settings.kind {
            ModelServerKind::Tfs => remote(Box::new(TfServing)),
            ModelServerKind::Oip => remote(Box::new(OpenInference)),
            ModelServerKind::Onnx => {
                let settings = settings.in_process.clone();
                Box::new(InProcess::new(settings, directory.clone(), memory))
            }
            ModelServerKind::Auto => remote(Box::<Unknown>::default()),
        };
        Self::with(backend, directory, &settings, cache)
    }

    fn with(
        backend: Box<dyn Backend>,
        packages: ModelDirectory,
        settings: &ServingSettings,
        cache: Option<Arc<dyn SharedCache>>,
    ) -> Self {
        let limits = BatchRule {
            max_in_flight: settings.max_in_flight.get(),
            max_batch_size: settings.max_batch_size.get(),
            min_model_size: settings.min_model_size.get(),
            tensor_name: settings.tensor_name.clone(),
            tile: settings.tile,
            has_version_0: settings.kind != ModelServerKind::Oip,
        };
        let inner = Inner {
            packages,
            backend,
            metadata: MetadataCache::new(cache, settings.metadata_ttl),
            in_flight: Semaphore::new(limits.max_in_flight),
            pooling: settings.batch_wait.map(Pooling::new),
            limits,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// A client of what a test has made.
    #[cfg(test)]
    pub(super) fn of(backend: Box<dyn Backend>, settings: &ServingSettings) -> Self {
        let packages = ModelDirectory::new(settings.in_process.directory.clone(), None);
        Self::with(backend, packages, settings, None)
    }

    /// Adds the counters of the client to a registry.
    pub(crate) fn register(&self, all: &mut Registry) {
        self.inner.backend.register(all);
    }

    /// Where the models run, for people.
    pub(crate) fn place(&self) -> String {
        self.inner.backend.place()
    }

    /// Where the package of a model lies, a folder or a zip: in `MODEL_DIR`, wherever the model itself runs. One of the bucket
    /// is fetched there.
    ///
    /// # Errors
    /// [`Error::ModelMissing`] if there is none, [`Error::NotFetched`] if the bucket fails.
    pub async fn package(&self, model: &ModelId) -> Result<PathBuf, Error> {
        self.inner.packages.fetch(model).await?;
        let found = self.inner.packages.package(model);
        found.map_err(|message| Error::ModelMissing {
            model: model.clone(),
            message,
        })
    }

    /// Names of what a model gives, in its own order where that is known.
    ///
    /// # Errors
    /// As [`Self::signature`].
    pub async fn output_names(&self, model: &ModelId) -> Result<Vec<String>, Error> {
        self.inner.backend.output_names(model).await
    }

    /// A small file that lies beside a model, or beside its versions; none where models are on a server.
    ///
    /// # Errors
    /// [`Error`] if the file is there and cannot be read.
    pub async fn file_beside(&self, model: &ModelId, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.inner.backend.file_beside(model, name).await
    }

    /// What a model is like, for people, where that is known.
    pub(crate) async fn about(&self, model: &ModelId) -> Option<String> {
        self.inner.backend.about(model).await
    }

    /// Models that can be used now, by their names: all of them where the server lists them, else those of these names.
    ///
    /// # Errors
    /// That there is no server, in words.
    pub(crate) async fn served(&self, names: &[String]) -> Result<Served, String> {
        self.inner.backend.served(names).await
    }

    /// Whether the server can have a version of this number; one that cannot is asked for the newest.
    pub(crate) fn can_have(&self, model: &ModelId) -> bool {
        model.version != 0 || self.inner.limits.has_version_0
    }

    /// The models whose metadata are known.
    pub fn known_models(&self) -> Vec<ModelId> {
        self.inner.metadata.models()
    }

    /// Requests that may be under way at once.
    pub fn max_in_flight(&self) -> usize {
        self.inner.limits.max_in_flight
    }

    /// How many batch entries go into one request to a model, at least 1.
    pub fn batch_size(&self, signature: &Signature) -> usize {
        let limits = &self.inner.limits;
        signature.batch_size(limits.max_batch_size, limits.min_model_size)
    }

    /// The input that takes the image: the only one, else the one that the settings name.
    pub fn image_input<'s>(&self, signature: &'s Signature) -> Option<&'s Input> {
        signature.image_input(self.inner.limits.tensor_name.as_deref())
    }

    /// Whether the last call found no server, and none has been seen since.
    pub fn is_down(&self) -> bool {
        self.inner.backend.is_down()
    }

    /// Waits until a server is not known to be away.
    pub async fn until_up(&self) {
        self.inner.backend.until_up().await;
    }

    /// What a model takes: from memory, from the shared cache, or from the server.
    ///
    /// # Errors
    /// [`Error`] if the server does not have the model, does not say what it takes, or cannot be asked.
    pub async fn signature(&self, model: &ModelId) -> Result<Arc<Signature>, Error> {
        let signature = self.untiled_signature(model).await?;
        Ok(match self.inner.limits.tile {
            Some(tile) => Arc::new(layout::with_tiles(&signature, tile)),
            None => signature,
        })
    }

    /// Rows and columns of an input `[batch, row, column, channel]`, where the model takes no others.
    ///
    /// # Errors
    /// As [`Self::signature`].
    pub async fn fixed_tile(
        &self,
        model: &ModelId,
        input: &str,
    ) -> Result<[Option<usize>; 2], Error> {
        let signature = self.untiled_signature(model).await?;
        let shape = signature.input(input).map(|input| input.shape.as_slice());
        let side = |axis: usize| {
            usize::try_from(*shape?.get(axis)?)
                .ok()
                .filter(|side| *side > 0)
        };
        Ok([side(1), side(2)])
    }

    /// The same, whatever the settings say of tiles.
    async fn untiled_signature(&self, model: &ModelId) -> Result<Arc<Signature>, Error> {
        let Inner {
            metadata, backend, ..
        } = &*self.inner;
        if let Some(signature) = metadata.get(model).await {
            return Ok(signature);
        }
        let signature = backend.signature(model).await?;
        Ok(metadata.put(model, signature).await)
    }

    /// Runs a model on arrays in its own order of axes: all outputs as it gives them, in byte order of their names.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub async fn predict_as_it_is(
        &self,
        model: &ModelId,
        inputs: Vec<(&str, ArrayD<f32>)>,
    ) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
        let signature = self.untiled_signature(model).await?;
        let permit = self.inner.in_flight.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        let backend = &self.inner.backend;
        let outputs = backend.predict(model, &signature, owned(inputs)).await?;
        Ok(conversion::arrays(outputs).await)
    }

    /// Runs a model: all outputs, in byte order of their names, as arrays of float32. Otherwise as [`Self::answer`].
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub async fn predict(
        &self,
        model: &ModelId,
        inputs: Vec<(&str, ArrayD<f32>)>,
    ) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
        let outputs = self.answer(model, inputs).await?;
        Ok(conversion::arrays(outputs).await)
    }

    /// Runs a model: all outputs, in byte order of their names, as they came.
    ///
    /// The inputs are arrays `[batch, …]` under the names that [`Self::signature`] gives, in any order. They are sent
    /// in the type that the model wants. Images have their channels last, whatever the model wants.
    ///
    /// # Errors
    /// [`Error`] if names or number of the inputs are not the model's, if the server refuses them, or if no attempt
    /// brought an answer that can be read.
    pub async fn answer(
        &self,
        model: &ModelId,
        inputs: Vec<(&str, ArrayD<f32>)>,
    ) -> Result<Vec<(String, Floats)>, Error> {
        let signature = self.untiled_signature(model).await?;
        let inputs = owned(inputs);
        let Some(pooling) = &self.inner.pooling else {
            return self.send(model, &signature, inputs).await;
        };
        let most = self.batch_size(&signature);
        let (client, id) = (self.clone(), model.clone());
        let send = move |inputs| {
            let (client, id, signature) = (client.clone(), id.clone(), Arc::clone(&signature));
            async move { client.send(&id, &signature, inputs).await }
        };
        pooling.predict(model, inputs, most, send).await
    }

    /// Makes a request, or several, when there is room for them.
    async fn send(
        &self,
        model: &ModelId,
        signature: &Signature,
        inputs: Inputs,
    ) -> Result<Outputs, Error> {
        let Inner {
            in_flight, backend, ..
        } = &*self.inner;
        let permit = in_flight.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        if !signature.channels_first {
            return backend.predict(model, signature, inputs).await;
        }
        let turn = |(name, array)| (name, layout::to_first(array));
        let inputs: Inputs = compute::run(move || inputs.into_iter().map(turn).collect()).await;
        let outputs = backend.predict(model, signature, inputs).await?;
        let turn = |(name, floats): (String, Floats)| {
            let array = layout::to_last(floats.into_array());
            (name, array.into())
        };
        Ok(compute::run(move || outputs.into_iter().map(turn).collect()).await)
    }
}

fn owned(inputs: Vec<(&str, ArrayD<f32>)>) -> Inputs {
    let inputs = inputs.into_iter();
    inputs
        .map(|(name, array)| (name.to_owned(), array))
        .collect()
}
