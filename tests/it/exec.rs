//! Commands as consumers: the real daemon, and small commands in shell and Python that do what commands do.

/// Jobs that commands ask for and wait for, and items that they gather.
mod children;

/// How commands end, and what that means for their jobs.
mod endings;

/// What commands may touch.
mod fences;

/// The examples of the documents.
mod examples;

/// Processes that are left, and daemons that are killed.
mod processes;

/// Commands that are tried without a queue.
mod rehearsals;

/// What a command is given, says and leaves.
mod results;

/// Commands that are kept warm.
mod warm;

use std::collections::HashMap;
use std::fs;

use crate::peers::cluster::{Cluster, PodSettings};
use crate::peers::redis::Redis;

/// Redis and a bucket with one input.
pub(crate) async fn cluster() -> Cluster {
    let cluster = Cluster::with(Redis::start_in_memory(), Vec::new()).await;
    cluster.put("uploads/a b.txt", b"some input\n");
    cluster
}

/// A consumer that runs this in a shell for each job, with what may fail soon failing soon.
pub(crate) fn shell(cluster: &Cluster, script: &str) -> PodSettings {
    exec(cluster, script).set("EXEC_SHELL", "1")
}

/// The same without a shell.
pub(crate) fn exec(cluster: &Cluster, command: &str) -> PodSettings {
    let path = option_env!("PATH").unwrap_or("/usr/bin:/bin");
    cluster
        .pod("pod-1")
        .set("CONSUMER_TYPE", "exec")
        .set("EXEC_COMMAND", command)
        .set("EXEC_STOP_GRACE", "0.5")
        .set("LEASE_TIME", "2")
        .set("RETRY_BACKOFF", "0.1")
        .set("PATH", path)
}

/// A job that tells the command what to do.
pub(crate) fn submit(cluster: &Cluster, what: &str) -> String {
    cluster.submit("uploads/a b.txt", &[("do", what)])
}

/// Status, class of error, and the last line of the reason.
pub(crate) fn end(hash: &HashMap<String, String>) -> (&str, &str, &str) {
    let text = |name: &str| hash.get(name).map_or("", String::as_str);
    let reason = text("reason").lines().last().unwrap_or_default();
    (text("status"), text("error_class"), reason)
}

/// The processes whose command line has this word.
pub(crate) fn processes_with(word: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("linux").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_alive = !line.is_empty();
        is_alive && String::from_utf8_lossy(&line).contains(word)
    })
    .collect()
}
