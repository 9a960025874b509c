//! Commands that do the same.

use super::super::command::command;

/// What ends the plan of a batch.
const END: &str = "PLAN";

/// The command that queues one job.
pub(super) fn of_job(queue: &str, key: &str, words: &[String]) -> String {
    let first = ["submit", "--queue", queue, "--key", key, "--id", "name"];
    let words = words.iter().map(String::as_str);
    command(first.into_iter().chain(words).map(str::as_bytes))
}

/// The command that begins a batch, with its plan behind it.
pub(super) fn of_batch(plan: &str, skips_rules: bool) -> String {
    let mut words = vec!["submit", "--plan", "/dev/stdin"];
    if skips_rules {
        words.push("--skip-verify");
    }
    let command = command(words.into_iter().map(str::as_bytes));
    format!("{command} <<'{END}'\n{plan}{END}")
}
