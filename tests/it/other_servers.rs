//! The tests that depend most on the server, again on Redis 8 and Valkey 8, which `scripts/need-other-servers` brings. Each server
//! has this program run once more, with `REDIS_SERVER`, so that whatever is added there runs on all of them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What runs on every server: rights, scripts in random order, crashes, outages, clocks, failovers, refusals.
const TESTS: [&str; 13] = [
    "redis_access::a_child",
    "redis_access::a_wrong_password",
    "redis_access::the_documented_user",
    "queue_model::",
    "reliability::attempts::",
    "reliability::reclaiming::",
    "reliability::peers_in_trouble::a_failover",
    "check::what_redis_says",
    "metrics_and_probes::a_pod_on_a_",
    "image_job::queue::a_killed",
    "image_job::queue::no_queue_entry",
    "image_job::queue::on_sigterm",
    "image_job::servers::a_restart_of_redis",
];

/// Where the script puts a server.
fn server(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is missing: run scripts/need-other-servers",
        program.display()
    );
    program
}

/// Runs them, and gives what was printed.
fn run_on(name: &str) {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args(TESTS)
        // They wait more than they work.
        .args(["--test-threads", "4"])
        .env("REDIS_SERVER", server(name))
        // What went wrong is not to drown in it.
        .env("RUST_BACKTRACE", "0")
        // Half of what runs on the installed server.
        .env("PROPTEST_CASES", "50")
        .output()
        .expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on {name}:\n{printed}");
    for test in TESTS {
        assert!(
            printed.contains(&format!("test {test}")),
            "no test is `{test}`"
        );
    }
}

#[test]
fn redis_8_passes() {
    run_on("redis-8");
}

#[test]
fn valkey_8_passes() {
    run_on("valkey-8");
}
