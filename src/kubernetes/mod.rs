//! The Kubernetes API: which pods are running, and what deleting this one would cost.

mod api;
pub(crate) mod deletion_cost;

pub(crate) use self::api::{Kubernetes, KubernetesSettings};
