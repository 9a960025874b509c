//! What the commands of operators cost: round trips, time of Redis and wall time of each with a thousand and with a million jobs
//! waiting; how fast failures are requeued; and how long uploads take beside a client that only sends the files.
//!
//! Prints tables; nothing fails for being slow. `-- commands`, `-- requeue` or `-- uploads` measures one of the three.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::peers::objects::noise_of;
use crate::peers::redis::Redis;
use crate::peers::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

#[path = "../tests/peers/mod.rs"]
mod peers;

/// Jobs that wait while commands are measured.
const WAITING: [usize; 2] = [1000, 1_000_000];
/// Jobs that have failed beside them.
const FAILED: usize = 10_000;
/// Failures that are requeued at once.
const REQUEUED: usize = 100_000;

/// Files of half a megabyte that are submitted.
const FILES: u64 = 5000;
const AT_ONCE: usize = 8;

/// The commands, in an order in which each finds something to do; FIRST and LAST are keys of jobs that wait.
const COMMANDS: [&str; 19] = [
    "status",
    "status q",
    "workers",
    "queue list",
    "job show FIRST",
    "job list --queue q",
    "job list --queue q --state failed",
    "failed --queue q",
    "failed --queue q --group",
    "requeue --queue q --limit 100 --yes",
    "cancel FIRST",
    "job bump LAST --yes",
    "job delete q:failed:9000 --yes",
    "queue pause q",
    "queue resume q",
    "queue move q p --yes",
    "queue move p q --yes",
    "queue purge q --yes",
    "queue untrash q",
];

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_wanted = |what: &str| wanted.as_ref().is_none_or(|wanted| wanted == what);
    if is_wanted("commands") {
        WAITING.iter().for_each(|&waiting| commands(waiting));
    }
    if is_wanted("requeue") {
        requeue();
    }
    if is_wanted("uploads") {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(uploads());
    }
}

/// Runs each command beside so many waiting jobs, and prints what it takes.
fn commands(waiting: usize) {
    let redis = Redis::start_in_memory();
    fill(&redis, waiting, FAILED);
    println!("\n{waiting} jobs wait, {FAILED} have failed");
    println!(
        "{:40}{:>12}{:>14}{:>12}{:>12}",
        "", "round trips", "Redis ms", "longest ms", "wall ms"
    );
    let (first, last) = ("q:waiting:1".to_owned(), format!("q:waiting:{waiting}"));
    for command in COMMANDS {
        let words = command.replace("FIRST", &first).replace("LAST", &last);
        // Twice, as the first one may take long and is logged itself.
        for _ in 0..2 {
            let _: String = redis.ask(&["SLOWLOG", "RESET"]);
        }
        let before = stat(&redis, "stats", "total_reads_processed:");
        let began = Instant::now();
        let output = operate(&redis, &words.split(' ').collect::<Vec<_>>());
        let wall = began.elapsed();
        // What the command itself did not ask: the question, and twice a connection.
        let asked = stat(&redis, "stats", "total_reads_processed:") - before;
        let (sum, longest) = server_time(&redis);
        println!(
            "{command:40}{asked:>12}{:>14.2}{:>12.2}{:>12.0}  {}",
            sum,
            longest,
            wall.as_secs_f64() * 1e3,
            if output.status.success() {
                ""
            } else {
                "failed"
            },
        );
    }
}

/// Requeues all of many failures.
fn requeue() {
    let redis = Redis::start_in_memory();
    fill(&redis, 0, REQUEUED);
    let began = Instant::now();
    let output = operate(&redis, &["requeue", "--queue", "q", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "\nrequeue of {REQUEUED} failures: {seconds:.1} s, {:.0} a second (wanted >= 5000), longest step {:.1} ms",
        REQUEUED as f64 / seconds,
        server_time(&redis).1,
    );
}

/// Writes jobs that wait in the queue `q`, and some that have failed for a few causes.
fn fill(redis: &Redis, waiting: usize, failed: usize) {
    let script = "
        for i = ARGV[1], ARGV[2] do
          local job = 'q:waiting:' .. i
          redis.call('HSET', job, 'status', 'new', 'input_file_name', 'uploads/' .. i .. '.tif', 'created_at', '2026-01-01T00:00:00Z')
          redis.call('LPUSH', 'q', job)
        end
        for i = ARGV[3], ARGV[4] do
          local job = 'q:failed:' .. i
          redis.call('HSET', job, 'status', 'failed', 'reason', 'ValueError: cause ' .. ('abc'):rep(i % 7), 'error_class', 'invalid_input')
          redis.call('ZADD', 'rc:failed:q', 1700000000000 + i, job)
        end
        redis.call('SADD', 'rc:queues', 'q')";
    let step = 10_000;
    for from in (1..=waiting).step_by(step) {
        let until = waiting.min(from + step - 1);
        let _: Option<u32> = redis.ask(&[
            "EVAL",
            script,
            "0",
            &from.to_string(),
            &until.to_string(),
            "1",
            "0",
        ]);
    }
    for from in (1..=failed).step_by(step) {
        let until = failed.min(from + step - 1);
        let _: Option<u32> = redis.ask(&[
            "EVAL",
            script,
            "0",
            "1",
            "0",
            &from.to_string(),
            &until.to_string(),
        ]);
    }
    let _: String = redis.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    let _: String = redis.ask(&["CONFIG", "SET", "slowlog-max-len", "100000"]);
}

fn operate(redis: &Redis, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(words)
        .env_clear()
        .env("USER", "ana")
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis.port().to_string())
        .output()
        .expect("the program starts")
}

/// A number of a section of `INFO`.
fn stat(redis: &Redis, section: &str, name: &str) -> u64 {
    let text: String = redis.ask(&["INFO", section]);
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// The time of all commands since the log of them was emptied, and of the longest one, in milliseconds. A script is one command.
fn server_time(redis: &Redis) -> (f64, f64) {
    let script = "
        local sum, most = 0, 0
        for _, entry in ipairs(redis.call('SLOWLOG', 'GET', -1)) do
          sum, most = sum + entry[3], math.max(most, entry[3])
        end
        return { sum, most }";
    let (sum, most): (i64, i64) = redis.ask(&["EVAL", script, "0"]);
    (sum as f64 / 1e3, most as f64 / 1e3)
}

/// Submits files, and sends them with the least that can be done.
async fn uploads() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = folder.path().join("images");
    fs::create_dir(&images).expect("a folder");
    for number in 0..FILES {
        let path = images.join(format!("t{number:04}.tif"));
        fs::write(path, noise_of(number, 500_000)).expect("a file");
    }
    let redis = Redis::start_in_memory();
    println!();
    for round in 0..2 {
        let bucket = S3Server::start();
        let minimal = minimal_client(&bucket, &images).await;
        drop(bucket);
        let bucket = S3Server::start();
        let own = own_client(&bucket, &redis, &images, &format!("q{round}"));
        println!(
            "{FILES} files of 0.5 MB: minimal client {minimal:.1} s, submit {own:.1} s, ratio {:.2} (wanted <= 1.3)",
            own / minimal
        );
    }
}

async fn minimal_client(bucket: &S3Server, images: &Path) -> f64 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store: Arc<dyn ObjectStore> = Arc::new(
        AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_endpoint(bucket.endpoint())
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_allow_http(true)
            .build()
            .expect("a client"),
    );
    let begun = Instant::now();
    let mut files: Vec<_> = fs::read_dir(images)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let sending = files.into_iter().map(|path| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let body = tokio::fs::read(&path).await.expect("a file");
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let key = object_store::path::Path::from(format!("uploads/minimal/{name}"));
            store.put(&key, body.into()).await.expect("it is stored");
        })
    });
    let mut sent = stream::iter(sending).buffer_unordered(AT_ONCE);
    while let Some(sent) = sent.next().await {
        sent.expect("it ends");
    }
    begun.elapsed().as_secs_f64()
}

fn own_client(bucket: &S3Server, redis: &Redis, images: &Path, queue: &str) -> f64 {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(["submit", "--queue", queue, "--quiet"])
        .arg(images)
        .env_clear()
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis.port().to_string())
        .env("STORAGE_ACL", "none")
        .envs(bucket.environment())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(redis.ask::<u64>(&["LLEN", queue]), FILES);
    begun.elapsed().as_secs_f64()
}
