//! The settings of the queue.

use std::fmt::{self, Display};
use std::num::NonZero;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::settings::{List, Loader, Parsed, Seconds, Secret, Switch};

/// The most jobs that one process works at the same time.
pub(super) const MOST_SLOTS: usize = 64;
const DEFAULT_LEASE: Seconds = Seconds::new(15);
const LONGEST_BEAT: Duration = Duration::from_secs(5);
const SHORTEST_BEAT_LIMIT: Duration = Duration::from_millis(500);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// What the Python consumer calls itself where `HOSTNAME` is missing (sic).
const UNNAMED: &str = "host-unkonwn";

crate::settings! {
    /// The work queue.
    pub(crate) struct WorkQueue {
        /// Base name of the work queue; turned into lower case.
        queue: Parsed<QueueName> = Parsed(QueueName("predict".to_owned()))
    }
}

crate::settings! {
    /// How this process reads the queue.
    struct ConsumerVariables {
        /// Name of this consumer, which must be unique. Kubernetes sets it to the pod's name.
        hostname: String = UNNAMED.to_owned(),
        /// Longest wait inside Redis for a job, in seconds; at most 1 is used.
        empty_queue_timeout: Seconds = Seconds::new(5),
        /// Jobs processed at the same time, from 1 to 64.
        concurrency: usize = cores().min(4) => "number of cores, at most 4",
    }
}

crate::settings! {
    /// Leases on jobs.
    struct LeaseVariables {
        /// Time without a heartbeat after which other consumers take over a job, in seconds; at least 1.
        lease_time: Seconds = DEFAULT_LEASE,
    }
}

crate::settings! {
    /// Where Redis is, and how to speak to it.
    struct RedisVariables {
        /// Host of Redis, or the hosts of its Sentinels: `a,b` or `a:26379,b:26380`.
        redis_host: List = List(vec!["redis-master".to_owned()]),
        /// Port of Redis, and of Sentinels that do not have a port of their own.
        redis_port: u16 = 6379,
        /// Name of the master to use if a Sentinel monitors several.
        redis_sentinel_master: String = "mymaster".to_owned(),
        /// ACL user of Redis; without it, the default user.
        redis_username: Option<String> = None,
        /// Password of that user.
        redis_password: Option<Secret> = None,
        /// Number of the database.
        redis_db: u32 = 0,
        /// Use TLS for Redis and its Sentinels.
        redis_tls: Switch = Switch(false),
        /// File with the certificate authority (PEM) of Redis; without it, those of the system.
        redis_ca_file: Option<String> = None,
        /// Longest delay between attempts to reach Redis, in seconds.
        redis_timeout: Seconds = Seconds::new(3),
    }
}

/// How and as whom this process reads the queue.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Name of the work queue, lower case.
    pub queue: String,
    /// Name of this consumer: the pod's.
    pub consumer: String,
    /// Where the queue is.
    pub server: RedisSettings,
    /// Longest wait inside Redis for a job before looking again.
    pub idle_wait: Duration,
    /// Jobs worked at the same time.
    pub slots: usize,
    /// How long a job stays ours without a heartbeat.
    pub lease: Duration,
}

/// Where Redis is, and how to speak to it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Hosts and ports of the Redis server or of its Sentinels, to be tried in turn.
    pub addresses: Vec<(String, u16)>,
    /// The set of servers to use where a Sentinel monitors several.
    pub sentinel_set: String,
    /// As whom to speak to Redis, and to a Sentinel that asks.
    pub login: Login,
    /// Protection of the connection; none is plain text.
    pub tls: Option<Tls>,
    /// Longest pause between attempts to reach Redis.
    pub reconnect_pause: Duration,
}

/// Name, password and database.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// A user of the access list; none is the default one.
    pub username: Option<String>,
    /// The password, of the default user too.
    pub password: Option<SecretString>,
    /// Number of the database.
    pub database: u32,
}

/// Protection of a connection.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who vouches for the server (PEM); none is whom the system trusts.
    pub authority: Option<Vec<u8>>,
}

impl QueueSettings {
    /// Loads `QUEUE`, `HOSTNAME`, `REDIS_HOST` and the like. The suffix is what the kind of consumer adds to the name of
    /// the queue.
    pub fn load(loader: &mut Loader<'_>, suffix: &str) -> Self {
        let queue = WorkQueue::load(loader);
        let variables: ConsumerVariables = loader.load();
        variables.check(loader);
        Self {
            queue: format!("{queue}{suffix}"),
            consumer: variables.hostname,
            server: RedisSettings::load(loader),
            idle_wait: variables.empty_queue_timeout.0,
            slots: variables.concurrency,
            lease: lease(loader),
        }
    }

    /// One slot of this name on a server, with the other settings at their defaults.
    pub fn new(server: RedisSettings, queue: &str, consumer: &str) -> Self {
        let (queue, consumer) = (queue.to_owned(), consumer.to_owned());
        Self {
            queue,
            consumer,
            server,
            idle_wait: Duration::from_secs(1),
            slots: 1,
            lease: DEFAULT_LEASE.0,
        }
    }

    /// How often leases and `updated_at` are renewed; a janitor spares what is younger than 15 s.
    pub fn beat_interval(&self) -> Duration {
        (self.lease / 6).min(LONGEST_BEAT)
    }

    /// How long the reply to a heartbeat may take. A network as slow as that still lets three of them through in a lease.
    pub(super) fn heartbeat_limit(&self) -> Duration {
        (self.lease / 3).clamp(SHORTEST_BEAT_LIMIT, LONGEST_BEAT)
    }

    /// Average time between two looks for expired leases. With the lease it bounds how long the job of a dead consumer waits:
    /// 15 s from its last heartbeat, and 3.6 s at most until somebody looks.
    pub(crate) fn reclaim_interval(&self) -> Duration {
        self.lease / 5
    }
}

impl RedisSettings {
    /// Loads `REDIS_HOST`, `REDIS_PASSWORD` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: RedisVariables = loader.load();
        Self {
            addresses: variables.addresses(loader),
            tls: variables.tls(loader),
            sentinel_set: variables.redis_sentinel_master,
            login: Login {
                username: variables.redis_username,
                password: variables.redis_password.map(|Secret(password)| password),
                database: variables.redis_db,
            },
            reconnect_pause: variables.redis_timeout.0,
        }
    }

    /// A server in plain text that asks for no password.
    pub fn plain(host: &str, port: u16) -> Self {
        Self {
            addresses: vec![(host.to_owned(), port)],
            sentinel_set: String::new(),
            login: Login::default(),
            tls: None,
            reconnect_pause: Duration::from_secs(1),
        }
    }
}

impl WorkQueue {
    /// Loads `QUEUE`, the name of the work queue.
    pub(crate) fn load(loader: &mut Loader<'_>) -> String {
        let Parsed(QueueName(name)) = loader.load::<Self>().queue;
        name
    }
}

impl ConsumerVariables {
    fn check(&self, loader: &mut Loader<'_>) {
        if let Err(why) = check_name(&self.hostname) {
            loader.refuse("HOSTNAME", &self.hostname, why);
        }
        if self.hostname == UNNAMED {
            loader.warn(
                "HOSTNAME is not set: two consumers without a name take each other's jobs for their own leftovers",
            );
        }
        if !(1..=MOST_SLOTS).contains(&self.concurrency) {
            let expected = format!("expected a whole number from 1 to {MOST_SLOTS}");
            loader.refuse("CONCURRENCY", self.concurrency, expected);
        }
    }
}

impl RedisVariables {
    /// One address, or several Sentinels; each may have a port of its own.
    fn addresses(&self, loader: &mut Loader<'_>) -> Vec<(String, u16)> {
        let mut addresses = Vec::new();
        for host in &self.redis_host.0 {
            match address(host, self.redis_port) {
                Some(address) => addresses.push(address),
                None => loader.refuse("REDIS_HOST", host, "expected host or host:port"),
            }
        }
        if self.redis_host.0.is_empty() {
            loader.problem("REDIS_HOST", "names no host: expected host or host:port");
        }
        addresses
    }

    fn tls(&self, loader: &mut Loader<'_>) -> Option<Tls> {
        if !self.redis_tls.0 {
            return None;
        }
        let Some(path) = &self.redis_ca_file else {
            return Some(Tls::default());
        };
        match std::fs::read(path) {
            Ok(pem) => Some(Tls {
                authority: Some(pem),
            }),
            Err(error) => {
                loader.problem("REDIS_CA_FILE", format!("`{path}` cannot be read: {error}"));
                None
            }
        }
    }
}

/// The parts of `host` or `host:port`; nothing if the port is not one.
fn address(text: &str, default_port: u16) -> Option<(String, u16)> {
    // More than one colon is an IPv6 address without a port, unless it is in brackets.
    let parts = text
        .rsplit_once(':')
        .filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    let (name, port) = match parts {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (text, default_port),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    Some((name.to_owned(), port))
}

/// Loads `LEASE_TIME`.
pub(crate) fn lease(loader: &mut Loader<'_>) -> Duration {
    let LeaseVariables { lease_time } = loader.load();
    if lease_time.0 < SHORTEST_LEASE {
        let seconds = lease_time.0.as_secs_f64();
        loader.refuse("LEASE_TIME", seconds, "expected 1 second or more");
    }
    lease_time.0
}

/// Cores of this machine, or those that the container may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The name of a queue, in lower case whatever was written.
#[derive(Clone, Debug)]
pub(crate) struct QueueName(pub(crate) String);

impl FromStr for QueueName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_name(text)?;
        let name = text.to_lowercase();
        if name.contains("processing-") {
            Err("the name must not contain `processing-`".to_owned())
        } else {
            Ok(Self(name))
        }
    }
}

impl Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Readers of the processing lists split their names at colons.
fn check_name(name: &str) -> Result<(), String> {
    if name.contains(':') {
        Err("the name must not contain `:`".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    fn read(hosts: &str) -> Result<Vec<(String, u16)>, String> {
        let env: Env = [("REDIS_HOST", hosts), ("REDIS_PORT", "26379")]
            .into_iter()
            .collect();
        let mut loader = Loader::new(&env);
        let server = RedisSettings::load(&mut loader);
        loader
            .finish()
            .map(|_| server.addresses)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn one_or_several_addresses_with_or_without_ports() {
        let found = |hosts: &str| read(hosts).expect(hosts);
        assert_eq!(found("redis"), [("redis".to_owned(), 26379)]);
        assert_eq!(
            found("a, b:1,"),
            [("a".to_owned(), 26379), ("b".to_owned(), 1)]
        );
        assert_eq!(
            found("::1,[fe80::2],[fe80::3]:7")
                .iter()
                .map(|(host, port)| (host.as_str(), *port))
                .collect::<Vec<_>>(),
            [("::1", 26379), ("fe80::2", 26379), ("fe80::3", 7)]
        );
        assert!(
            read("a:b").is_err_and(|text| text.contains("REDIS_HOST") && text.contains("`a:b`"))
        );
    }
}
