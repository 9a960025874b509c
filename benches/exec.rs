//! What a command as a consumer costs: jobs a second of `true` in a process each and of a Python command that is kept, what is
//! added to the command's own time, and the memory of the daemon while a command prints a hundred megabytes.
//!
//! Prints a table; nothing fails for being slow.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::peers::redis::Redis;

#[path = "../tests/peers/mod.rs"]
mod peers;

/// A command that answers at once, and keeps the times of its own work: none.
const NO_OP: &str = "import json, sys
for line in sys.stdin:
    print('::done ' + json.loads(line)['id'], flush=True)
";

/// A consumer that ends with its value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("no_op.py");
    std::fs::write(&script, NO_OP).expect("a script");
    let python = format!("python3 {}", script.display());
    println!("{:44}{:>8}{:>12}{:>14}", "", "slots", "jobs/s", "ms a job");
    for slots in [1, 2, 4, 8] {
        let once = [("EXEC_COMMAND", "true")];
        rate("once, `true`", slots, 1000, &once);
    }
    for slots in [1, 2, 4, 8] {
        let kept = [
            ("EXEC_COMMAND", python.as_str()),
            ("EXEC_MODE", "persistent"),
        ];
        rate(
            "persistent, Python that answers at once",
            slots,
            6000,
            &kept,
        );
    }
    println!("\nof one `true` started by hand: {:.2} ms", by_hand());
    noise();
}

fn daemon(redis: &Redis, bucket: &std::path::Path, settings: &[(&str, &str)]) -> Daemon {
    let path = option_env!("PATH").unwrap_or("/usr/bin:/bin");
    let child = Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .env_clear()
        .env("PATH", path)
        .env("QUEUE", "q")
        .env("CONSUMER_TYPE", "exec")
        .env("EXEC_RESULT", "none")
        .env("HOSTNAME", "bench")
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis.port().to_string())
        .env("STORAGE_BUCKET", format!("file://{}", bucket.display()))
        .env("LOG_LEVEL", "ERROR")
        .envs(settings.iter().copied())
        .spawn();
    Daemon(child.expect("the program starts"))
}

/// Jobs without inputs.
fn submit(redis: &Redis, jobs: usize) {
    for chunk in (0..jobs).collect::<Vec<_>>().chunks(500) {
        let keys: Vec<_> = chunk.iter().map(|job| format!("q:{job}")).collect();
        for key in &keys {
            let _: u32 = redis.ask(&["HSET", key, "status", "new", "created_at", "x"]);
        }
        let mut push = vec!["LPUSH", "q"];
        push.extend(keys.iter().map(String::as_str));
        let _: u32 = redis.ask(&push);
    }
}

/// Works so many jobs, and prints how fast. The clock runs between the first and the last end of a job.
fn rate(what: &str, slots: usize, jobs: usize, settings: &[(&str, &str)]) {
    let (redis, bucket) = (
        Redis::start_in_memory(),
        tempfile::tempdir().expect("a folder"),
    );
    submit(&redis, jobs);
    let concurrency = slots.to_string();
    let mut all = vec![("CONCURRENCY", concurrency.as_str())];
    all.extend_from_slice(settings);
    let _daemon = daemon(&redis, bucket.path(), &all);
    let left = || redis.ask::<usize>(&["LLEN", "q"]);
    // Until all slots have a process.
    wait(|| left() < jobs - 20 * slots);
    let (began, before) = (Instant::now(), left());
    wait(|| left() == 0);
    let took = began.elapsed().as_secs_f64();
    let each = took / before as f64;
    println!(
        "{what:44}{slots:>8}{:>12.0}{:>14.2}",
        1.0 / each,
        each * 1e3 * slots as f64
    );
}

fn wait(is_over: impl Fn() -> bool) {
    while !is_over() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Milliseconds of a process that does nothing.
fn by_hand() -> f64 {
    let began = Instant::now();
    for _ in 0..200 {
        let status = Command::new("true").env_clear().status();
        assert!(status.expect("it runs").success());
    }
    began.elapsed().as_secs_f64() * 1e3 / 200.0
}

/// The memory of the daemon while a command prints, and after it.
fn noise() {
    let (redis, bucket) = (
        Redis::start_in_memory(),
        tempfile::tempdir().expect("a folder"),
    );
    let shell = [
        (
            "EXEC_COMMAND",
            "yes 'a line, again and again' | head -c 100000000",
        ),
        ("EXEC_SHELL", "true"),
        ("EXEC_LOG", "none"),
        ("CONCURRENCY", "1"),
    ];
    let daemon = daemon(&redis, bucket.path(), &shell);
    let memory = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.0.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim_start_matches(':').trim().split(' ').next());
        kilobytes
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1e3
    };
    std::thread::sleep(Duration::from_secs(1));
    let idle = memory("VmRSS");
    let began = Instant::now();
    submit(&redis, 1);
    wait(|| {
        redis
            .hash("q:0")
            .get("status")
            .is_some_and(|status| status == "done")
    });
    println!(
        "\na command that prints 100 MB: daemon {idle:.1} MB before, {:.1} MB at most, {:.1} s",
        memory("VmHWM"),
        began.elapsed().as_secs_f64()
    );
}
