//! The image consumer as a Kiosk meets it: the real program, a real Redis, a bucket, and a gRPC model server.

/// What a job may ask for, and what comes of it.
mod fields;

/// Entries of the queue, the lists of the slots, kills and SIGTERM.
mod queue;

/// Model servers, Redis and buckets that are slow, late or away.
mod servers;

use crate::peers::cluster::{Cluster, IMAGE, NUCLEI};

/// The models of all images, and [`NUCLEI`] in the bucket.
async fn cluster() -> Cluster {
    let cluster = Cluster::open().await;
    cluster.put(NUCLEI, IMAGE);
    cluster
}
