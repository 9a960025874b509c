//! Jobs that become many and come back as one: archives and movies; and spots, which archives of images are made for, too.

/// Archives of images, whoever works their children.
mod archives;

/// Archives whose consumers die, are cut off, or may not do what they must.
mod archives_in_trouble;

/// Large archives and results, on an S3 server.
mod large_archives;

/// Movies, whose frames are jobs.
mod movies;

/// Spots, alone and in cells.
mod spots;

use std::collections::HashMap;

use crate::peers::cluster::{Cluster, PodSettings, eventually};
use crate::peers::s3::S3Server;

/// A consumer of archives.
pub(super) fn zip_pod(cluster: &Cluster, name: &str) -> PodSettings {
    cluster
        .pod(name)
        .set("CONSUMER_TYPE", "zip")
        .set("LEASE_TIME", "2")
}

/// The same with its bucket on an S3 server, and quick to try again.
fn zip_pod_on(cluster: &Cluster, name: &str, s3: &S3Server) -> PodSettings {
    zip_pod(cluster, name)
        .set("STORAGE_MAX_BACKOFF", "0.01")
        .set("RETRY_BACKOFF", "0.1")
        .set_all(s3.environment())
}

/// The hash of a job that waits for its children, as soon as it does.
fn waiting(cluster: &Cluster, key: &str) -> HashMap<String, String> {
    let mut hash = HashMap::new();
    eventually("it waits for its children", || {
        hash = cluster.redis.hash(key);
        hash["status"] == "waiting"
    });
    hash
}

/// Whether no list or set of any of the queues has an entry.
fn is_quiet(cluster: &Cluster) -> bool {
    let left = [
        "segmentation-zip",
        "rc:lease:segmentation-zip",
        "rc:parked:segmentation-zip",
        "rc:delayed:segmentation-zip",
    ];
    cluster.is_quiet()
        && left
            .iter()
            .all(|key| cluster.redis.ask::<u32>(&["EXISTS", key]) == 0)
        && cluster.redis.keys("rc:pending:*").is_empty()
}
