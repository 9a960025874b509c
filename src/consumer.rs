//! The seam: what a kind of job is, and how one is added.
//!
//! A consumer is a struct with the handles and settings it needs, and a `ConsumerKind` that says its name and how to build
//! it. A binary of one's own is `redis_consumer::run(Registry::builtin().with(MINE))`.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::job::{Children, Job, Output};
use crate::memory::MemoryBudget;
use crate::serving::{self, ServingSettings};
use crate::settings::Loader;
use crate::shared_cache::SharedCache;
use crate::storage::Storage;

/// Works the jobs of one kind.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Refuses a job before any work is done, for instance by the type of its file.
    ///
    /// An error fails the job with that error as its reason.
    fn check(&self, _job: &Job) -> anyhow::Result<()> {
        Ok(())
    }

    /// The models that jobs are given to, for `redis-consumer check`.
    fn models(&self) -> Vec<ModelRequirement> {
        Vec::new()
    }

    /// Waits until jobs may be claimed. Most consumers are ready at all times.
    async fn until_ready(&self) {}

    /// Why no job can be worked now, for `/readyz`; nothing if any can.
    fn obstacle(&self) -> Option<String> {
        None
    }

    /// What comes out where the consumer tries itself on what its models bring, for `redis-consumer check`.
    async fn rehearse(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// What can be said without a job of whether jobs could be worked here, for `redis-consumer check`.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Does the work of one job and says where the result lies.
    ///
    /// May be called more than once for one job, in this process or another: after a crash, a lost lease or a
    /// shutdown the job starts over, from the beginning. Results go to [`Job::output_key`], which is the same each
    /// time. An error fails the job, or has it retried if its [class](crate::error_class::ErrorClass) is transient. A panic
    /// counts as a crash; the process goes on. When the job is lost to another consumer, a step takes too long, or the grace
    /// period of a shutdown ends, the future is dropped at an await and nothing it did is recorded.
    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome>;
}

/// Something that a consumer has found out about the place where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in a word.
    pub part: &'static str,
    /// How it was found.
    pub verdict: Verdict,
    /// What was found, and what to do if it is not as it should be.
    pub text: String,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but is not as it should be.
    Warning,
    /// Jobs will wait or fail because of it.
    Wrong,
}

/// A model that a consumer asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRequirement {
    /// Its name and version.
    pub model: serving::ModelId,
    /// What it is given.
    pub inputs: ModelInputs,
    /// Whether there are jobs that do without it.
    pub is_optional: bool,
}

/// What a model is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelInputs {
    /// Images `[batch, row, column, channel]`.
    Image {
        /// How many channels they have.
        channels: usize,
    },
    /// Images of as many channels as it takes.
    AnyImage,
    /// What its package says.
    AsItsPackageSays,
    /// Tensors of these names.
    Tensors(&'static [&'static str]),
}

impl ModelRequirement {
    /// A model that every job needs, and that is given images of so many channels.
    pub fn of_images(model: &serving::ModelId, channels: usize) -> Self {
        Self {
            model: model.clone(),
            inputs: ModelInputs::Image { channels },
            is_optional: false,
        }
    }

    /// A model that every job needs, and that is given images of as many channels as it takes.
    pub fn of_any_images(model: &serving::ModelId) -> Self {
        Self {
            model: model.clone(),
            inputs: ModelInputs::AnyImage,
            is_optional: false,
        }
    }

    /// A model that every job needs, and that is given what its package says.
    pub fn of_a_package(model: &serving::ModelId) -> Self {
        Self {
            inputs: ModelInputs::AsItsPackageSays,
            ..Self::of_any_images(model)
        }
    }

    /// A model that every job needs, and that is given tensors of these names.
    pub fn of_tensors(model: &serving::ModelId, names: &'static [&'static str]) -> Self {
        Self {
            model: model.clone(),
            inputs: ModelInputs::Tensors(names),
            is_optional: false,
        }
    }

    /// The same for some jobs only.
    #[must_use]
    pub fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }
}

/// How a job ended that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The result is stored.
    Done(Output),
    /// No job can be worked now, whatever it is: it goes back to the front of the queue, and nothing counts against it. The
    /// consumer should not be [ready](Consumer::until_ready) for a while, or else it gets the same job again.
    Release,
    /// The job waits for others that it creates. When they are final it is claimed again, and [`Job::children`] knows them.
    Wait(Children),
}

/// The handles a consumer may take what it needs from, when it is built.
#[derive(Clone)]
pub struct Clients {
    /// The bucket.
    pub storage: Storage,
    /// The model server.
    pub serving: serving::Client,
    /// The memory that all jobs share.
    pub memory: MemoryBudget,
}

impl Clients {
    /// Models come from the bucket where the settings say so; what is known of them is shared through `cache`.
    pub(crate) fn new(
        storage: Storage,
        serving: ServingSettings,
        memory: MemoryBudget,
        cache: Option<Arc<dyn SharedCache>>,
    ) -> Self {
        let surroundings = serving::Surroundings {
            cache,
            models: Some(Arc::new(storage.clone())),
            memory: memory.clone(),
        };
        Self {
            storage,
            serving: serving::Client::within(serving, surroundings),
            memory,
        }
    }
}

/// Builds a consumer from the settings it has read.
pub type Factory = Box<dyn FnOnce(&Clients) -> Box<dyn Consumer> + Send>;

/// A kind of consumer, as `CONSUMER_TYPE` names it.
#[derive(Clone, Copy)]
pub struct ConsumerKind {
    /// The value of `CONSUMER_TYPE`.
    pub name: &'static str,
    /// Other values that mean the same.
    pub aliases: &'static [&'static str],
    /// What it does, in a line.
    pub summary: &'static str,
    /// What follows `QUEUE` in the name of the queue that it consumes; nothing for most.
    pub queue_suffix: &'static str,
    /// Loads the settings of this kind; mistakes are left with the loader. The handles come later.
    pub configure: fn(&mut Loader<'_>) -> Factory,
}

impl ConsumerKind {
    /// All values of `CONSUMER_TYPE` that mean this kind: aliases, and the name.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.aliases.iter().copied().chain([self.name])
    }
}

/// The kinds of consumer that a binary knows.
#[derive(Clone)]
pub struct Registry(pub(crate) Vec<ConsumerKind>);

impl Registry {
    /// The same with one more kind, which wins over a builtin of the same name.
    #[must_use]
    pub fn with(mut self, kind: ConsumerKind) -> Self {
        self.0.insert(0, kind);
        self
    }

    /// All kinds, in the order in which names are looked up.
    pub fn kinds(&self) -> &[ConsumerKind] {
        &self.0
    }

    /// The kind of this name or alias, in any case.
    pub fn find(&self, name: &str) -> Option<ConsumerKind> {
        let is = |word: &str| word.eq_ignore_ascii_case(name);
        self.0.iter().copied().find(|kind| kind.words().any(is))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::settings::Env;

    #[test]
    fn names_and_aliases_are_unique() {
        let registry = Registry::builtin();
        let words = registry.kinds().iter().flat_map(ConsumerKind::words);
        let mut seen = HashSet::new();
        for word in words {
            assert!(seen.insert(word), "`{word}` names two kinds");
        }
    }

    #[test]
    fn every_alias_finds_its_kind_in_any_case() {
        let registry = Registry::builtin();
        for kind in registry.kinds() {
            for word in kind.words() {
                assert_eq!(
                    registry.find(&word.to_uppercase()).map(|found| found.name),
                    Some(kind.name)
                );
            }
        }
    }

    #[test]
    fn every_kind_is_configured_from_defaults() {
        // No command is right for everybody.
        let env: Env = [("EXEC_COMMAND", "true")].into_iter().collect();
        for kind in Registry::builtin().kinds() {
            let mut loader = Loader::new(&env);
            let _build = (kind.configure)(&mut loader);
            assert!(
                loader.finish().is_ok(),
                "the defaults of `{}` are wrong",
                kind.name
            );
        }
    }
}
