//! Models that run in this process: ONNX files of a folder, `<name>/<version>/model.onnx`.

mod onnx_file;
#[cfg(feature = "ort")]
mod onnx_runtime;
mod peak;
mod rten;
mod session;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{ArrayD, Axis, Slice, concatenate};
use prometheus_client::registry::Registry;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use self::rten::RtenRuntime;
use self::session::{Runtime, Session};
pub(super) use self::settings::{Device, InProcessSettings, ModelRuntime, OnnxRuntimeSettings};
use super::backend::Backend;
use super::batch::{self, Inputs, Outputs};
use super::error::Error;
use super::layout;
use super::metrics::ServingMetrics;
use super::model::{ModelId, Served, Signature};
use super::model_directory::ModelDirectory;
use crate::compute;
use crate::memory::{MemoryBudget, Withheld};

/// Time between two looks for models that are idle.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The models of a folder, loaded when they are first asked for.
pub(super) struct InProcess {
    settings: InProcessSettings,
    directory: ModelDirectory,
    runtime: Arc<dyn Runtime>,
    memory: MemoryBudget,
    models: Arc<Mutex<Models>>,
    sweep: OnceLock<AbortOnDropHandle<()>>,
    metrics: ServingMetrics,
}

type Models = HashMap<ModelId, Arc<Entry>>;

/// A model that is loaded, or about to be.
struct Entry {
    loaded: OnceCell<Loaded>,
    last_used: Mutex<Instant>,
}

/// A model that can be run.
#[derive(Clone)]
struct Loaded {
    session: Arc<dyn Session>,
    /// Runs that it takes at once.
    turns: Arc<Semaphore>,
    signature: Signature,
    about: String,
    /// Its weights, and what it takes while it runs.
    _memory: Arc<Withheld>,
}

impl InProcess {
    /// The models of the folder, within this budget of memory. Nothing is read before the first is asked for.
    pub(super) fn new(
        settings: InProcessSettings,
        directory: ModelDirectory,
        memory: MemoryBudget,
    ) -> Self {
        Self {
            directory,
            runtime: runtime(&settings),
            memory,
            models: Arc::default(),
            sweep: OnceLock::new(),
            metrics: ServingMetrics::default(),
            settings,
        }
    }

    /// The model, loaded if it is not.
    async fn loaded(&self, model: &ModelId) -> Result<Loaded, Error> {
        if let Some(idle) = self.settings.idle {
            let sweep = || tokio::spawn(sweep(Arc::clone(&self.models), idle));
            self.sweep.get_or_init(|| AbortOnDropHandle::new(sweep()));
        }
        let entry = {
            let mut models = lock(&self.models);
            let entry = models.entry(model.clone()).or_insert_with(|| {
                Arc::new(Entry {
                    loaded: OnceCell::new(),
                    last_used: Mutex::new(Instant::now()),
                })
            });
            Arc::clone(entry)
        };
        *entry
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let loaded = entry.loaded.get_or_try_init(|| self.load(model)).await?;
        Ok(loaded.clone())
    }

    async fn load(&self, model: &ModelId) -> Result<Loaded, Error> {
        self.directory.fetch(model).await?;
        let source = self.directory.source(model);
        let source = source.map_err(|message| Error::ModelMissing {
            model: model.clone(),
            message,
        })?;
        let (runtime, tile) = (Arc::clone(&self.runtime), self.settings.tile);
        let began = Instant::now();
        let tried = compute::run(move || {
            let session = runtime.load(source.weights()?)?;
            let signature = layout::with_channels_last(Signature::new(session.inputs()));
            let trial = peak::of_trial(&*session, tile)?;
            Ok((session, signature, trial))
        });
        let (session, signature, trial) =
            tried.await.map_err(|message: String| Error::Unusable {
                model: model.clone(),
                message,
            })?;
        let threads = self.settings.threads.get();
        let at_once = session.runs_at_once().unwrap_or(threads);
        let memory = session.bytes() + trial.bytes * at_once as u64;
        let about = about(&*session, &trial);
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(%model, about, memory, seconds, "loaded a model");
        Ok(Loaded {
            session,
            turns: Arc::new(Semaphore::new(at_once)),
            signature,
            about,
            _memory: Arc::new(self.memory.withhold(memory)),
        })
    }
}

#[async_trait]
impl Backend for InProcess {
    async fn signature(&self, model: &ModelId) -> Result<Signature, Error> {
        Ok(self.loaded(model).await?.signature)
    }

    async fn predict(
        &self,
        model: &ModelId,
        signature: &Signature,
        inputs: Inputs,
    ) -> Result<Outputs, Error> {
        let loaded = self.loaded(model).await?;
        check(model, signature, &loaded.session.inputs(), &inputs)?;
        let rows = rows(&inputs);
        let step = signature.fixed_batch_size().unwrap_or(1);
        let inputs = Arc::new(inputs);
        let Some(rows) = rows else {
            return run(model.clone(), loaded, inputs, None).await;
        };
        self.metrics.sending(model, rows);
        let parts = stream::iter((0..rows).step_by(step)).map(|first| {
            let part = Part {
                first,
                rows: step.min(rows - first),
                step,
            };
            run(
                model.clone(),
                loaded.clone(),
                Arc::clone(&inputs),
                Some(part),
            )
        });
        let began = Instant::now();
        let parts: Result<Vec<_>, Error> = parts
            .buffered(self.settings.threads.get())
            .try_collect()
            .await;
        let code = if parts.is_ok() { "OK" } else { "INTERNAL" };
        self.metrics.answered(model, code, began.elapsed());
        let (parts, model) = (parts?, model.clone());
        compute::run(move || batch::join(&model, parts)).await
    }

    fn is_down(&self) -> bool {
        false
    }

    async fn until_up(&self) {}

    fn register(&self, all: &mut Registry) {
        self.metrics.register(all);
    }

    fn place(&self) -> String {
        format!(
            "in this process, from {}",
            self.settings.directory.display()
        )
    }

    async fn served(&self, _: &[String]) -> Result<Served, String> {
        let directory = self.directory.clone();
        Ok(compute::run(move || directory.models()).await)
    }

    async fn output_names(&self, model: &ModelId) -> Result<Vec<String>, Error> {
        Ok(self.loaded(model).await?.session.outputs())
    }

    async fn file_beside(&self, model: &ModelId, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let read = self.directory.file_beside(model, name);
        read.map_err(|message| Error::Unusable {
            model: model.clone(),
            message,
        })
    }

    async fn about(&self, model: &ModelId) -> Option<String> {
        Some(self.loaded(model).await.ok()?.about)
    }
}

/// Rows that are run at once.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    rows: usize,
    /// Rows that the model wants.
    step: usize,
}

/// Drops models that nobody has used for that long, for as long as it is polled.
async fn sweep(models: Arc<Mutex<Models>>, idle: Duration) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL.min(idle)).await;
        lock(&models).retain(|model, entry| {
            let last_used = *entry
                .last_used
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Whoever holds it runs it.
            let stays = last_used.elapsed() < idle || Arc::strong_count(entry) > 1;
            if !stays {
                tracing::info!(%model, "dropped a model that nobody uses");
            }
            stays
        });
    }
}

/// Runs a model on some rows of its inputs, or on all there is.
async fn run(
    model: ModelId,
    loaded: Loaded,
    inputs: Arc<Inputs>,
    part: Option<Part>,
) -> Result<Outputs, Error> {
    let Loaded { session, turns, .. } = loaded;
    // It is never closed. A turn is waited for here, for whoever waits in `compute` holds a thread.
    let turn = turns.acquire_owned().await.ok();
    let work = move || {
        let given = inputs.iter().map(|(name, array)| {
            let array = match part {
                Some(part) => rows_of(array, part),
                None => array.clone(),
            };
            (name.clone(), array)
        });
        let outputs = session.run(given.collect());
        drop(turn);
        outputs
    };
    let outputs = compute::run(work).await;
    let mut outputs = outputs.map_err(|message| Error::Failed { model, message })?;
    outputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(match part {
        Some(part) => batch::only(part.rows, outputs),
        None => outputs,
    })
}

/// Some rows of an array, the last of them repeated where the model wants more.
fn rows_of(array: &ArrayD<f32>, part: Part) -> ArrayD<f32> {
    let rows = array.slice_axis(Axis(0), Slice::from(part.first..part.first + part.rows));
    if part.rows == part.step {
        return rows.to_owned();
    }
    let last = rows.slice_axis(Axis(0), Slice::from(-1..));
    let filled = std::iter::repeat_n(last, part.step - part.rows);
    let views: Vec<_> = std::iter::once(rows.view()).chain(filled).collect();
    concatenate(Axis(0), &views).unwrap_or_else(|_| rows.to_owned())
}

/// The rows that all inputs have.
fn rows(inputs: &Inputs) -> Option<usize> {
    let mut counts = inputs.iter().map(|(_, array)| array.shape().first());
    let first = *counts.next()??;
    counts
        .all(|count| count == Some(&first))
        .then_some(first)
        .filter(|rows| *rows > 0)
}

/// Refuses what the model does not take: no server does it here.
fn check(
    model: &ModelId,
    signature: &Signature,
    wanted: &[super::model::Input],
    inputs: &Inputs,
) -> Result<(), Error> {
    let mut found: Vec<_> = inputs.iter().map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    let expected: Vec<_> = signature.inputs.iter().map(|it| it.name.as_str()).collect();
    if found != expected {
        return Err(Error::BadInputs {
            model: model.clone(),
            expected: format!("[{}]", expected.join(", ")),
            found: format!("[{}]", found.join(", ")),
        });
    }
    for (name, array) in inputs {
        let input = wanted.iter().find(|input| input.name == *name);
        let Some(input) = input else { continue };
        let fits = input.shape.len() == array.ndim()
            && input
                .shape
                .iter()
                .zip(array.shape())
                .skip(1)
                .all(|(want, have)| usize::try_from(*want).map_or(true, |want| want == *have));
        if !fits {
            return Err(Error::BadShape {
                model: model.clone(),
                tensor: name.clone(),
                expected: input.shape.clone(),
                found: array.shape().to_vec(),
            });
        }
    }
    Ok(())
}

/// What runs models.
fn runtime(settings: &InProcessSettings) -> Arc<dyn Runtime> {
    #[cfg(feature = "ort")]
    if let Some(onnx_runtime) = settings.onnx_runtime.clone() {
        let threads = settings.threads.get();
        return Arc::new(onnx_runtime::OnnxRuntime::new(onnx_runtime, threads));
    }
    Arc::new(RtenRuntime::new(settings.threads))
}

/// What a model is like, for people.
fn about(session: &dyn Session, trial: &peak::Trial) -> String {
    let outputs = session.outputs().join(", ");
    let size = match session.parameters() {
        Some(parameters) => format!("{:.2} million parameters", parameters as f64 / 1e6),
        None => format!("{:.1} MB of weights", session.bytes() as f64 / 1e6),
    };
    let sizes: Vec<_> = trial.shape.iter().map(ToString::to_string).collect();
    format!(
        "{size}, gives {outputs}; [{}] takes {:.0} ms and {} MB",
        sizes.join(", "),
        trial.took.as_secs_f64() * 1000.0,
        trial.bytes.div_ceil(1_000_000),
    )
}

/// Loads what may be an ONNX file, and forgets it.
///
/// # Errors
/// Why it cannot be run.
#[cfg(any(test, feature = "testing"))]
pub fn load_onnx(bytes: Vec<u8>) -> Result<(), String> {
    static RUNTIME: OnceLock<RtenRuntime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| RtenRuntime::new(std::num::NonZeroUsize::MIN));
    let weights = super::model_directory::Weights::Bytes(bytes);
    runtime.load(weights).map(|_| ())
}

fn lock(models: &Mutex<Models>) -> MutexGuard<'_, Models> {
    models.lock().unwrap_or_else(PoisonError::into_inner)
}
