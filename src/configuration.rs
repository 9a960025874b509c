//! Everything that the environment says, found right before anything is connected.

use tracing::warn;

use crate::consumer::{ConsumerKind, Factory, Registry};
use crate::http::HttpSettings;
use crate::kubernetes::deletion_cost::DeletionCostSettings;
use crate::logging::LogSettings;
use crate::memory::MemoryBudget;
use crate::queue::{QueueName, QueueSettings};
use crate::serving::ServingSettings;
use crate::settings::{Env, Loaded, Loader, Owner, Problems};
use crate::storage::StorageSettings;
use crate::traces::{TraceSettings, Traces, WorkerIdentity};
use crate::worker::RetryPolicy;

/// Variables that only consumers before 0.5 read; a warning names those that are set.
pub(crate) const REMOVED_VARIABLES: [&str; 9] = [
    "HASH_PREFIX",
    "CUTS",
    "DP_HOST",
    "DP_PORT",
    "STATUS",
    "MODEL_NAME",
    "MODEL_VERSION",
    "POSTPROCESS_FUNCTION",
    "TF_TENSOR_DTYPE",
];

crate::settings! {
    /// The kind of consumer.
    struct KindVariables {
        /// Kind of jobs that this process consumes; `redis-consumer consumers` lists them.
        consumer_type: String = "image".to_owned(),
    }
}

/// Everything read from the environment and found right.
pub(crate) struct Configuration {
    /// Every setting in force and every warning, for those who ask.
    pub(crate) loaded: Loaded,
    /// Name of the kind of consumer.
    pub(crate) kind: &'static str,
    /// Builds the consumer.
    pub(crate) build: Factory,
    pub(crate) queue: QueueSettings,
    /// Queues that are consumed after that of the settings.
    pub(crate) other_queues: Vec<String>,
    queue_suffix: &'static str,
    pub(crate) storage: StorageSettings,
    pub(crate) serving: ServingSettings,
    pub(crate) memory: MemoryBudget,
    pub(crate) policy: RetryPolicy,
    pub(crate) http: HttpSettings,
    pub(crate) deletion_cost: DeletionCostSettings,
    traces: TraceSettings,
    log: LogSettings,
}

impl Configuration {
    /// Loads and checks every setting.
    ///
    /// # Errors
    ///
    /// Variables that cannot be used, all of them.
    pub(crate) fn load(registry: &Registry, env: &Env) -> Result<Self, Problems> {
        let mut loader = Loader::new(env);
        let kind = choose(registry, &mut loader);
        let configuration = Self::read(kind, &mut loader);
        warn_of_removed(env, &mut loader);
        Ok(Self {
            loaded: loader.finish()?,
            ..configuration
        })
    }

    /// The owners of the settings of a consumer of this kind.
    pub(crate) fn owners(kind: ConsumerKind) -> Vec<Owner> {
        let env = Env::default();
        let mut loader = Loader::new(&env);
        loader.load::<KindVariables>();
        Self::read(kind, &mut loader);
        loader.owners().to_vec()
    }

    /// Asks each owner of settings; mistakes stay with the loader.
    fn read(kind: ConsumerKind, loader: &mut Loader<'_>) -> Self {
        Self {
            loaded: Loaded::default(),
            kind: kind.name,
            queue: QueueSettings::load(loader, kind.queue_suffix),
            other_queues: Vec::new(),
            queue_suffix: kind.queue_suffix,
            storage: StorageSettings::load(loader),
            serving: ServingSettings::load(loader),
            build: (kind.configure)(loader),
            memory: MemoryBudget::load(loader),
            policy: RetryPolicy::load(loader),
            http: HttpSettings::load(loader),
            deletion_cost: DeletionCostSettings::load(loader),
            traces: TraceSettings::load(loader),
            log: LogSettings::load(loader),
        }
    }

    /// The same for these queues, in this order of preference, instead of that of the settings; for none it is as it was.
    pub(crate) fn for_queues(mut self, names: &[QueueName]) -> Self {
        let mut names = names
            .iter()
            .map(|name| format!("{name}{}", self.queue_suffix));
        if let Some(first) = names.next() {
            self.queue.queue = first;
            self.other_queues = names.collect();
        }
        self
    }

    /// The same for one job, under a name of its own: a consumer of the name of the settings may be running.
    pub(crate) fn for_one_job(mut self) -> Self {
        self.queue.slots = 1;
        let id = fastrand::u32(..);
        self.queue.consumer = format!("{}-job-{id:08x}", self.queue.consumer);
        self
    }

    /// From now on logs and traces go where they belong. Wants a runtime.
    pub(crate) fn start_logs_and_traces(&self) -> anyhow::Result<Traces> {
        let traces = Traces::start(
            &self.traces,
            WorkerIdentity {
                queue: self.queue.queue.clone(),
                consumer: self.queue.consumer.clone(),
                kind: self.kind,
            },
        )?;
        self.log.start(&traces);
        self.loaded
            .warnings
            .iter()
            .for_each(|warning| warn!("{warning}"));
        Ok(traces)
    }
}

/// The kind that `CONSUMER_TYPE` names; any after a mistake, which ends the start anyway.
fn choose(registry: &Registry, loader: &mut Loader<'_>) -> ConsumerKind {
    let KindVariables { consumer_type } = loader.load();
    if let Some(kind) = registry.find(&consumer_type) {
        return kind;
    }
    let known: Vec<_> = registry
        .kinds()
        .iter()
        .flat_map(ConsumerKind::words)
        .collect();
    let expected = format!("expected one of {}", known.join(", "));
    loader.refuse("CONSUMER_TYPE", consumer_type, expected);
    registry.kinds()[0]
}

fn warn_of_removed(env: &Env, loader: &mut Loader<'_>) {
    let set: Vec<_> = REMOVED_VARIABLES
        .into_iter()
        .filter(|name| env.get(name).is_some())
        .collect();
    if !set.is_empty() {
        loader.warn(format!(
            "without effect since version 0.5: {}",
            set.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_variable_is_declared_twice() {
        for kind in Registry::builtin().kinds() {
            let mut seen = BTreeMap::new();
            for owner in Configuration::owners(*kind) {
                for field in owner.fields {
                    let earlier = seen.insert(field.name, owner.about);
                    assert_eq!(earlier, None, "{} of `{}`", field.variable(), kind.name);
                }
            }
        }
    }

    #[test]
    fn a_suffix_of_the_kind_is_part_of_the_name_of_the_queue() {
        let env: Env = [
            ("CONSUMER_TYPE", "zip"),
            ("QUEUE", "Predict"),
            ("STORAGE_BUCKET", "s3://b"),
        ]
        .into_iter()
        .collect();
        let configuration =
            Configuration::load(&Registry::builtin(), &env).expect("usable settings");
        assert_eq!(configuration.queue.queue, "predict-zip");
    }
}
