//! Tells Kubernetes what it would cost to delete this pod, so that scaling down takes idle ones first.

use std::time::Duration;

use tracing::warn;

use crate::kubernetes::{Kubernetes, KubernetesSettings};
use crate::settings::{Loader, Switch};
use crate::worker::Signs;

/// The annotation that the controller of a `ReplicaSet` reads.
const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Least time between two changes; each is a write to the cluster's store.
const PAUSE: Duration = Duration::from_secs(30);

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What a pod with a job costs, before the minutes that it has worked without a break.
const BUSY: u64 = 100;

crate::settings! {
    /// The deletion cost of this pod.
    struct DeletionCostVariables {
        /// Annotate this pod with its deletion cost, so that Kubernetes scales down idle pods first.
        pod_deletion_cost: Switch = Switch(false),
    }
}

/// Where to tell it.
#[derive(Clone, Debug)]
pub(crate) struct DeletionCostSettings {
    kubernetes: Option<(String, KubernetesSettings)>,
}

impl DeletionCostSettings {
    /// Loads `POD_DELETION_COST`, and where Kubernetes is.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let DeletionCostVariables { pod_deletion_cost } = loader.load();
        let settings = KubernetesSettings::load(loader);
        if !pod_deletion_cost.0 {
            return Self { kubernetes: None };
        }
        if settings.api.is_none() || settings.namespace.is_none() {
            let message = "needs POD_NAMESPACE, and a cluster or KUBERNETES_API";
            loader.problem("POD_DELETION_COST", message);
        }
        Self {
            kubernetes: settings.api.clone().map(|api| (api, settings)),
        }
    }
}

/// Keeps the annotation of this pod true, until it is dropped. Trouble is told once and nothing else comes of it.
pub(crate) async fn tell(
    settings: DeletionCostSettings,
    pod: String,
    signs: Signs,
) -> anyhow::Result<()> {
    let Some((api, settings)) = settings.kubernetes else {
        return std::future::pending().await;
    };
    let kubernetes = Kubernetes::open(&api, &settings)?;
    let (mut told, mut in_trouble) = (None, false);
    loop {
        let cost = cost(&signs);
        if told == Some(cost) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match kubernetes
            .annotate(&pod, ANNOTATION, &cost.to_string())
            .await
        {
            Ok(()) => (told, in_trouble) = (Some(cost), false),
            Err(error) if !in_trouble => {
                warn!(
                    error = format!("{error:#}"),
                    "cannot tell Kubernetes whether this pod is busy; trying again"
                );
                in_trouble = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn cost(signs: &Signs) -> u64 {
    signs
        .busy_for()
        .map_or(0, |time| BUSY + time.as_secs() / 60)
}
