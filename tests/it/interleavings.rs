//! Random interleavings of steps on a real Redis, for the models of queues and of batches. Both have one queue, whose jobs a
//! Python consumer takes as well, and operators who use the commands of the program.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::FromRedisValue;
use redis_consumer::queue::{Queue, QueueSettings, RedisSettings};

use crate::peers::redis::Redis;

pub(crate) const QUEUE: &str = "q";
/// The processing list of a consumer in Python, which knows no leases and no batches.
const PYTHON: &str = "processing-q:python";

/// How many interleavings are tried.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub(crate) fn config(cases: u32) -> Config {
    let wanted = std::env::var("PROPTEST_CASES");
    Config {
        cases: wanted
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Takes random steps, again and again, each time from the beginning.
pub(crate) fn run<S: Clone + Debug>(
    config: Config,
    step: impl Strategy<Value = S>,
    take: impl AsyncFn(&Asker, &[S]) -> Result<(), TestCaseError>,
) {
    let server = Redis::start_in_memory();
    let redis = Asker {
        connection: RefCell::new(server.connection()),
        server,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let result = TestRunner::new(config).run(&prop::collection::vec(step, 1..60), |steps| {
        let _: String = redis.ask(&["FLUSHALL"]);
        runtime.block_on(take(&redis, &steps))
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// A Redis and one connection to it, as thousands of questions are asked.
pub(crate) struct Asker {
    server: Redis,
    connection: RefCell<redis::Connection>,
}

impl Asker {
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let answer = redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut self.connection.borrow_mut());
        answer.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    pub(crate) fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", pattern]);
        keys.sort();
        keys
    }

    pub(crate) fn hash(&self, key: &str) -> HashMap<String, String> {
        self.ask(&["HGETALL", key])
    }

    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        self.ask(&["LRANGE", key, "0", "-1"])
    }

    /// The queue as this consumer has it. Claims do not wait for jobs that are not there.
    pub(crate) fn queue(&self, consumer: &str, slots: usize) -> Queue {
        let server = RedisSettings::plain("127.0.0.1", self.server.port());
        Queue::new(QueueSettings {
            slots,
            idle_wait: Duration::ZERO,
            ..QueueSettings::new(server, QUEUE, consumer)
        })
    }

    /// So much time passes that all members of a sorted set are due.
    pub(crate) fn set_scores(&self, zset: &str) {
        for member in self.ask::<Vec<String>>(&["ZRANGE", zset, "0", "-1"]) {
            let _: u32 = self.ask(&["ZADD", zset, "XX", "1", &member]);
        }
    }

    pub(crate) fn take_as_python(&self) {
        let taken: Option<String> = self.ask(&["RPOPLPUSH", QUEUE, PYTHON]);
        if let Some(job) = taken.filter(|job| self.ask::<u32>(&["EXISTS", job]) == 1) {
            let _: u32 = self.ask(&["HSET", &job, "updated_by", "python"]);
        }
    }

    /// Ends what was taken, each job with the status that its work gives.
    pub(crate) fn finish_as_python(&self, work: impl Fn(&str) -> &'static str) {
        for job in self.list(PYTHON) {
            let status: Option<String> = self.ask(&["HGET", &job, "status"]);
            if status.is_some_and(|status| status == "new") {
                let _: u32 = self.ask(&["HSET", &job, "status", work(&job)]);
            }
            let _: u32 = self.ask(&["LREM", PYTHON, "1", &job]);
        }
    }

    /// The program as an operator runs it.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-consumer"));
        command
            .args(words)
            .env_clear()
            .env("USER", "ana")
            .env("REDIS_HOST", "127.0.0.1")
            .env("REDIS_PORT", self.server.port().to_string());
        command
    }
}

/// Runs a command of an operator: its status, and what it printed.
pub(crate) fn operate(mut command: Command) -> (i32, String) {
    let output = command.output().expect("the program starts");
    let status = output.status.code();
    // Done, not all could be done, no such thing, or not now.
    let is_known = matches!(status, Some(0 | 4 | 64 | 75));
    assert!(is_known, "{command:?}: {output:?}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (status.unwrap_or(1), printed)
}
