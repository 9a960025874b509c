//! What the system says of a consumer that runs.

use std::fs;

use crate::peers::cluster::Pod;

/// CPU time that a consumer has had so far, in seconds, in steps of 10 ms.
pub(crate) fn cpu_seconds(pod: &Pod) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pod.id())).expect("the consumer runs");
    let (_, after_name) = stat.rsplit_once(") ").expect("the name is in brackets");
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    ticks as f64 / 100.0
}

/// Memory of a consumer in bytes, by the name that the system has for it, such as `VmRSS` (in RAM, the program's own pages
/// included) or `VmHWM` (the most of that so far).
pub(crate) fn memory(pod: &Pod, name: &str) -> f64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", pod.id())).expect("the consumer runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("Linux says it");
    let kibibytes: f64 = line
        .trim_matches([':', ' ', '\t', 'k', 'B'])
        .parse()
        .expect("a number");
    kibibytes * 1024.0
}
