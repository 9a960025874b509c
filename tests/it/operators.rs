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

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::peers::cluster::Cluster;
use crate::peers::redis::Redis;

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
    printed(&output)
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The objects that a command prints, one a line.
fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// Everything that a Redis holds.
fn dump(redis: &Redis) -> BTreeMap<String, Vec<u8>> {
    let keys = redis.keys("*").into_iter();
    keys.map(|key| (key.clone(), redis.ask::<Vec<u8>>(&["DUMP", &key])))
        .collect()
}
