//! A Redis server of the test's own.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, ToRedisArgs};
use tempfile::TempDir;

use super::clock::Clock;
use super::cluster::PATIENCE;

/// A `redis-server` on a free loopback port, which ends with the value.
pub(crate) struct Redis {
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    login: RedisConnectionInfo,
    clock: Option<Clock>,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server that writes an append-only file, so that it can be stopped and started again.
    pub(crate) fn start() -> Self {
        Self::start_with(
            &["--appendonly", "yes", "--appendfsync", "always"],
            RedisConnectionInfo::default(),
        )
    }

    /// Starts a server that never waits for a disk, and forgets everything when it ends.
    pub(crate) fn start_in_memory() -> Self {
        Self::start_with(&[], RedisConnectionInfo::default())
    }

    /// Starts a Redis Cluster of one node.
    pub(crate) fn start_cluster() -> Self {
        // Its nodes speak to each other on a port that lies so much higher.
        let port = loop {
            let port = free_port();
            if port < 22_700 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
                break port;
            }
        };
        let arguments = ["--cluster-enabled", "yes"];
        let redis = Self::start_on(port, None, &arguments, RedisConnectionInfo::default());
        let _: String = redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        let started = Instant::now();
        while !redis
            .ask::<String>(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
        {
            assert!(started.elapsed() < PATIENCE, "the cluster is not up");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> redis::Connection {
        self.try_connection().expect("the server answers")
    }

    /// Stops the server; what it has acknowledged stays on disk.
    pub(crate) fn pause(&mut self) {
        if let Some(mut child) = self.child.take() {
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            )
            .expect("it runs");
            let _ = child.wait();
        }
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal)
            .expect("it runs");
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// From now on it takes writes only while a replica follows.
    pub(crate) fn refuse_writes_without_replica(&self) {
        for (name, value) in [
            ("min-replicas-to-write", "1"),
            ("min-replicas-max-lag", "2"),
        ] {
            let _: String = self.ask(&["CONFIG", "SET", name, value]);
        }
    }

    /// Whether it takes writes.
    pub(crate) fn is_master(&self) -> bool {
        let role = self.try_ask::<Vec<redis::Value>>(&["ROLE"]);
        role.is_ok_and(|role| role.first() == Some(&redis::Value::BulkString(b"master".to_vec())))
    }

    /// Whether a replica has everything that was written so far.
    pub(crate) fn replicas_have_it(&self) -> bool {
        self.try_ask::<u32>(&["WAIT", "1", "1000"])
            .is_ok_and(|replicas| replicas >= 1)
    }

    /// Hangs up on all clients, and gives their number.
    pub(crate) fn drop_clients(&self) -> u64 {
        self.try_ask(&["CLIENT", "KILL", "TYPE", "normal"])
            .unwrap_or(0)
    }

    /// Sends several commands, and tells whether all were answered.
    pub(crate) fn try_pipeline(&self, pipeline: &redis::Pipeline) -> redis::RedisResult<()> {
        pipeline.query(&mut self.try_connection()?)
    }

    /// Starts the server on the same port and data.
    pub(crate) fn resume(&mut self) {
        self.begin();
        let started = Instant::now();
        let process = loop {
            if let Ok(process) = self.process_id() {
                break process;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "redis-server does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        let child = self.child.as_mut().expect("it was started");
        let ended = child.try_wait().expect("it can be asked");
        assert_eq!(
            (ended, process),
            (None, Some(child.id())),
            "another server has taken port {}",
            self.port
        );
    }

    /// The same without waiting until it answers, and with these arguments besides.
    pub(crate) fn begin_with(&mut self, arguments: &[&str]) {
        let more = arguments.iter().map(|&argument| argument.to_owned());
        self.arguments.extend(more);
        self.begin();
    }

    fn begin(&mut self) {
        let clock = self.clock.iter().flat_map(Clock::environment);
        let child = Command::new(program())
            .envs(clock)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(&self.arguments)
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (`make test` sees to it)");
        self.child = Some(child);
    }

    /// The process that answers on the port, once it is ready.
    fn process_id(&self) -> redis::RedisResult<Option<u32>> {
        let _: String = self.try_ask(&["PING"])?;
        let info: String = self.try_ask(&["INFO", "server"])?;
        let id = |line: &str| line.strip_prefix("process_id:")?.parse::<u32>().ok();
        Ok(info.lines().find_map(id))
    }

    /// Sends a command and takes its answer.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command)
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The same, if the server answers. While it changes its role, a Sentinel cuts its clients off.
    pub(crate) fn try_ask<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut self.try_connection()?)
    }

    /// Sends a command whose last arguments are bytes.
    pub(crate) fn ask_bytes<T: FromRedisValue>(
        &self,
        command: &str,
        arguments: &[impl ToRedisArgs],
    ) -> T {
        redis::cmd(command)
            .arg(arguments)
            .query(&mut self.connection())
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// All fields of a hash, empty if there is none.
    pub(crate) fn hash(&self, key: &str) -> HashMap<String, String> {
        self.ask(&["HGETALL", key])
    }

    /// All fields of many hashes, if the server answers.
    pub(crate) fn try_hashes(
        &self,
        keys: &[String],
    ) -> redis::RedisResult<Vec<HashMap<String, String>>> {
        let mut connection = self.try_connection()?;
        let mut hashes = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(1000) {
            let mut pipeline = redis::pipe();
            chunk.iter().for_each(|key| {
                pipeline.hgetall(key);
            });
            hashes.extend(pipeline.query::<Vec<HashMap<String, String>>>(&mut connection)?);
        }
        Ok(hashes)
    }

    /// The entries of a list, left to right.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        self.ask(&["LRANGE", key, "0", "-1"])
    }

    /// All keys that match a pattern.
    pub(crate) fn keys(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern])
    }

    /// All that it holds. The order of a large hash may change by itself, so its fields are sorted.
    pub(crate) fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let dump = |key: String| {
            let kind: String = self.ask(&["TYPE", &key]);
            let dump = match kind.as_str() {
                "hash" => {
                    let fields: BTreeMap<Vec<u8>, Vec<u8>> = self.ask(&["HGETALL", &key]);
                    format!("{fields:?}").into_bytes()
                }
                _ => self.ask(&["DUMP", &key]),
            };
            (key, dump)
        };
        self.keys("*").into_iter().map(dump).collect()
    }

    /// Begins to record what the server is asked.
    pub(crate) fn monitor(&self) -> Monitor {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.write_all(b"MONITOR\r\n").expect("the server reads");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        let mut reader = BufReader::new(stream);
        let mut answer = String::new();
        reader.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "+OK\r\n");
        Monitor { reader }
    }

    /// Starts a server with these arguments, to which the test speaks as this user.
    pub(crate) fn start_with(arguments: &[&str], login: RedisConnectionInfo) -> Self {
        Self::start_on(free_port(), None, arguments, login)
    }

    /// Starts a server with a clock of its own.
    pub(crate) fn start_with_clock(arguments: &[&str]) -> Self {
        let login = RedisConnectionInfo::default();
        Self::start_on(free_port(), Some(Clock::new()), arguments, login)
    }

    /// Puts the clock of its own this far from the system's.
    pub(crate) fn set_clock(&self, seconds: i64) {
        let clock = self.clock.as_ref();
        clock
            .expect("it was started with a clock of its own")
            .set(seconds);
    }

    fn start_on(
        port: u16,
        clock: Option<Clock>,
        arguments: &[&str],
        login: RedisConnectionInfo,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Redis");
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let mut redis = Self {
            port,
            folder,
            arguments,
            login,
            clock,
            child: None,
        };
        redis.resume();
        redis
    }

    fn try_connection(&self) -> redis::RedisResult<redis::Connection> {
        let address = ("127.0.0.1", self.port).into_connection_info()?;
        let client = redis::Client::open(address.set_redis_settings(self.login.clone()))?;
        client.get_connection_with_timeout(Duration::from_secs(5))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A Sentinel that monitors one Redis.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    child: Child,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts a Sentinel that monitors this server under a name.
    pub(crate) fn start(redis: &Redis, set: &str) -> Self {
        Self::start_with(redis, set, "")
    }

    /// Starts one with more lines of configuration.
    pub(crate) fn start_with(redis: &Redis, set: &str, more: &str) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder for the Sentinel");
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {set} 127.0.0.1 {} 1\n{more}",
            redis.port
        );
        std::fs::write(&file, text).expect("its settings");
        let child = Command::new(program())
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the Sentinel does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            port,
            child,
            _folder: folder,
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sentinel {
    /// Whether there is a server that could become master.
    pub(crate) fn knows_a_replica(&self, set: &str) -> bool {
        self.ask::<Vec<HashMap<String, String>>>(&["SENTINEL", "REPLICAS", set])
            .is_ok_and(|replicas| replicas.iter().any(|replica| replica["flags"] == "slave"))
    }

    /// Makes a replica the master.
    pub(crate) fn fail_over(&self, set: &str) {
        let started = Instant::now();
        while !self.try_fail_over(set) {
            assert!(
                started.elapsed() < PATIENCE,
                "the Sentinel does not fail over"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The same once; false if the Sentinel does not do it now.
    pub(crate) fn try_fail_over(&self, set: &str) -> bool {
        self.ask::<String>(&["SENTINEL", "FAILOVER", set]).is_ok()
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(("127.0.0.1", self.port).into_connection_info()?)?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut connection)
    }
}

/// A second server that follows a first.
pub(crate) struct Replica {
    pub(crate) redis: Redis,
}

impl Replica {
    /// Starts one.
    pub(crate) fn start(master: &Redis) -> Self {
        let port = master.port.to_string();
        let arguments = [
            "--appendonly",
            "yes",
            "--replicaof",
            "127.0.0.1",
            &port,
            "--repl-diskless-sync-delay",
            "0",
        ];
        Self {
            redis: Redis::start_with(&arguments, RedisConnectionInfo::default()),
        }
    }

    /// Waits until it has all that the master had.
    pub(crate) fn catch_up(&self, master: &Redis) {
        let started = Instant::now();
        while !master.replicas_have_it() {
            assert!(started.elapsed() < PATIENCE, "the replica does not follow");
        }
    }
}

/// A record of commands, as `MONITOR` prints them.
pub(crate) struct Monitor {
    reader: BufReader<TcpStream>,
}

impl Monitor {
    /// The commands so far, each a line such as `"RPOPLPUSH" "queue" "list"`, with those of scripts among them.
    pub(crate) fn lines(mut self, redis: &Redis) -> Vec<String> {
        let _: String = redis.ask(&["ECHO", "end of the record"]);
        let mut lines = Vec::new();
        loop {
            let line = self.next_line();
            if line.contains("end of the record") {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Waits for a command like this, and gives its line; those before it are passed over.
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let line = self.next_line();
            if wanted(&line) {
                return line;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "waited in vain, last came {line}"
            );
        }
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        let read = self
            .reader
            .read_line(&mut line)
            .expect("the record goes on");
        assert!(read > 0, "the server has hung up");
        line.trim_end().to_owned()
    }
}

/// Holds a record to the order of statuses of an image's job. A stage that is over within half a second is not written.
pub(crate) fn assert_stages_in_order(lines: &[String]) {
    let order = [
        "started",
        "pre-processing",
        "predicting",
        "saving-results",
        "done",
    ];
    let of_line = |line: &String| {
        order
            .iter()
            .position(|status| line.contains(&format!("\"{status}\"")))
    };
    let written: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("HSET"))
        .filter_map(of_line)
        .collect();
    assert!(
        written.is_sorted() && written.contains(&2) && written.contains(&4),
        "{written:?} in {lines:#?}"
    );
}

/// `redis-server`, or what `REDIS_SERVER` names: another version, or Valkey. `tests/it/other_servers.rs` goes through some.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub(crate) fn program() -> std::ffi::OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// A loopback port that nobody listened on a moment ago, and that no other test of this process is given. It lies below those
/// that the system hands out by itself, to outgoing connections and to whoever asks for any port.
pub(crate) fn free_port() -> u16 {
    /// How many were tried.
    static TRIED: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 17_000;
    // Processes that run at once begin far from each other.
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + tried) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
