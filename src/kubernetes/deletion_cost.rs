//! Publishes what it would cost to delete this pod, so that scaling down removes idle pods first.

use std::time::Duration;

use tracing::warn;

use super::api::{Kubernetes, KubernetesSettings};
use crate::queue::Queues;
use crate::settings::{Loader, Switch};

/// The annotation that the controller of a `ReplicaSet` reads.
const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Least time between two changes; each is a write to the cluster's store.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// Time between two looks at the worker.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What a pod with a job costs, before the minutes that it has been busy without a break.
const BUSY_COST: u64 = 100;

crate::settings! {
    /// The deletion cost of this pod.
    struct DeletionCostVariables {
        /// Annotate this pod with its deletion cost, so that Kubernetes scales down idle pods first.
        pod_deletion_cost: Switch = Switch(false),
    }
}

/// Where the cost is published.
#[derive(Clone, Debug)]
pub(crate) struct DeletionCostSettings {
    /// The address of the namespace's pods; none to publish nothing.
    pods: Option<String>,
}

impl DeletionCostSettings {
    /// Loads `POD_DELETION_COST`, and where Kubernetes is.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let DeletionCostVariables { pod_deletion_cost } = loader.load();
        let settings = KubernetesSettings::load(loader);
        if !pod_deletion_cost.0 {
            return Self { pods: None };
        }
        let pods = settings.pods();
        if pods.is_none() || settings.namespace.is_none() {
            let message = "needs POD_NAMESPACE, and a cluster or KUBERNETES_API";
            loader.problem("POD_DELETION_COST", message);
        }
        Self { pods }
    }
}

/// Keeps the annotation of this pod up to date until the future is dropped. A failure is logged once and has no other effect.
///
/// # Errors
///
/// A client of the API cannot be set up.
pub(crate) async fn publish(settings: DeletionCostSettings, queues: Queues) -> anyhow::Result<()> {
    let Some(pods) = settings.pods else {
        return std::future::pending().await;
    };
    let kubernetes = Kubernetes::open(pods)?;
    let (mut published, mut is_failing) = (None, false);
    loop {
        let cost = cost(&queues);
        if published == Some(cost) {
            tokio::time::sleep(POLL_INTERVAL).await;
            continue;
        }
        let value = cost.to_string();
        match kubernetes
            .annotate(queues.first().consumer(), ANNOTATION, &value)
            .await
        {
            Ok(()) => (published, is_failing) = (Some(cost), false),
            Err(error) if !is_failing => {
                let error = format!("{error:#}");
                warn!(error, "cannot publish the pod's deletion cost; retrying");
                is_failing = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(MIN_INTERVAL).await;
    }
}

fn cost(queues: &Queues) -> u64 {
    queues
        .busy_for()
        .map_or(0, |time| BUSY_COST + time.as_secs() / 60)
}
