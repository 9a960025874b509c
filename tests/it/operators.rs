//! The commands with which operators look after jobs and queues, as processes, against real consumers.

/// Jobs that are ended.
mod cancelling;

/// Consumers that end by themselves.
mod consuming;

/// What has failed, and is tried again.
mod failures;

/// What the commands show.
mod overviews;

/// Queues that are paused, purged and moved.
mod queues;

/// Jobs of files and objects, and how they are followed.
mod submit;

use crate::peers::cluster::Cluster;
use crate::peers::outcome::{objects, text};

/// The environment of an operator.
const ANA: [(&str, &str); 1] = [("USER", "ana")];

/// Runs a command that has to end with this status, and gives what it printed.
pub(crate) fn run(cluster: &Cluster, status: i32, arguments: &[&str]) -> String {
    let output = cluster.run(arguments, &ANA);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {output:?}"
    );
    text(&output.stdout)
}
