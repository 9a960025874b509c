//! The settings of the queue.

use std::fmt::{self, Display};
use std::num::NonZero;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::settings::Reader;

/// The most jobs that one process works at the same time.
pub(super) const MOST_SLOTS: usize = 64;
const DEFAULT_LEASE: Duration = Duration::from_secs(30);
const LONGEST_BEAT: Duration = Duration::from_secs(5);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// What the Python consumer calls itself where `HOSTNAME` is missing (sic).
const UNNAMED: &str = "host-unkonwn";

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
    /// Reads `QUEUE`, `HOSTNAME`, `REDIS_HOST` and the like.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        let QueueName(queue) = reader.parsed(
            "QUEUE",
            QueueName("predict".to_owned()),
            "base name of the work queue",
        );
        let consumer = reader.text(
            "HOSTNAME",
            UNNAMED,
            "name of this consumer, the pod's; must be unique",
        );
        if let Err(message) = check_name(&consumer) {
            reader.problem("HOSTNAME", message);
        }
        if consumer == UNNAMED {
            reader.warn(
                "HOSTNAME is not set: two consumers without a name take each other's jobs for their own leftovers",
            );
        }
        Self {
            queue,
            consumer,
            server: RedisSettings::load(reader),
            idle_wait: reader.seconds(
                "EMPTY_QUEUE_TIMEOUT",
                5.0,
                "longest wait inside Redis for a job, seconds (1 at most)",
            ),
            slots: slots(reader),
            lease: lease(reader),
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
            lease: DEFAULT_LEASE,
        }
    }

    /// How often leases and `updated_at` are renewed; a janitor spares what is younger than 15 s.
    pub fn beat_interval(&self) -> Duration {
        (self.lease / 6).min(LONGEST_BEAT)
    }
}

impl RedisSettings {
    /// Reads `REDIS_HOST`, `REDIS_PASSWORD` and the like.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        Self {
            addresses: addresses(reader),
            sentinel_set: reader.text(
                "REDIS_SENTINEL_MASTER",
                "mymaster",
                "set of servers, where a Sentinel monitors several",
            ),
            login: Login {
                username: reader.optional(
                    "REDIS_USERNAME",
                    "user of Redis' access list; else the default one",
                ),
                password: reader.secret("REDIS_PASSWORD", "password of that user"),
                database: reader.parsed("REDIS_DB", 0, "number of the database"),
            },
            tls: tls(reader),
            reconnect_pause: reader.seconds(
                "REDIS_TIMEOUT",
                3.0,
                "longest pause between attempts to reach Redis, seconds",
            ),
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

/// One address, or several Sentinels separated by commas; each may have a port of its own.
fn addresses(reader: &mut Reader<'_>) -> Vec<(String, u16)> {
    let hosts = reader.text(
        "REDIS_HOST",
        "redis-master",
        "host of Redis, or of Sentinels: a,b or a:26379,b:26380",
    );
    let port = reader.parsed(
        "REDIS_PORT",
        6379,
        "port of Redis or of Sentinels without one of their own",
    );
    let mut addresses = Vec::new();
    for host in hosts
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
    {
        // More than one colon is an IPv6 address without a port, unless it is in brackets.
        let parts = host
            .rsplit_once(':')
            .filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
        let bare = |name: &str| {
            name.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned()
        };
        match parts.map(|(name, port)| (name, port.parse::<u16>())) {
            None => addresses.push((bare(host), port)),
            Some((name, Ok(port))) => addresses.push((bare(name), port)),
            Some((_, Err(_))) => {
                reader.problem(
                    "REDIS_HOST",
                    format!("`{host}` cannot be used: expected host or host:port"),
                );
            }
        }
    }
    if addresses.is_empty() {
        addresses.push((hosts, port));
    }
    addresses
}

/// Reads `LEASE_TIME`.
pub(crate) fn lease(reader: &mut Reader<'_>) -> Duration {
    let default = DEFAULT_LEASE.as_secs_f64();
    let lease = reader.seconds(
        "LEASE_TIME",
        default,
        "time after which a silent consumer's jobs go to others, seconds",
    );
    if lease < SHORTEST_LEASE {
        reader.problem(
            "LEASE_TIME",
            format!("`{}` is too short: expected 1 or more", lease.as_secs_f64()),
        );
    }
    lease
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let wanted = reader.flag(
        "REDIS_TLS",
        false,
        "encrypt the way to Redis and its Sentinels",
    );
    let file = reader.optional(
        "REDIS_CA_FILE",
        "certificate authority of Redis (PEM); else the system's",
    );
    if !wanted {
        return None;
    }
    let Some(path) = file else {
        return Some(Tls::default());
    };
    match std::fs::read(&path) {
        Ok(pem) => Some(Tls {
            authority: Some(pem),
        }),
        Err(error) => {
            reader.problem("REDIS_CA_FILE", format!("`{path}` cannot be read: {error}"));
            None
        }
    }
}

/// The name of a queue, in lower case whatever was written.
#[derive(Clone)]
pub(crate) struct QueueName(pub(crate) String);

impl FromStr for QueueName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_name(text)?;
        let name = text.to_lowercase();
        if name.contains("processing-") {
            Err("it must not contain `processing-`".to_owned())
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
        Err(format!("`{name}` contains a `:`"))
    } else {
        Ok(())
    }
}

fn slots(reader: &mut Reader<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let slots = reader.parsed("CONCURRENCY", cores.min(4), "jobs worked at the same time");
    if !(1..=MOST_SLOTS).contains(&slots) {
        reader.problem(
            "CONCURRENCY",
            format!("`{slots}` cannot be used: expected 1 to {MOST_SLOTS}"),
        );
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    fn read(hosts: &str) -> Result<Vec<(String, u16)>, String> {
        let env: Env = [("REDIS_HOST", hosts), ("REDIS_PORT", "26379")]
            .into_iter()
            .collect();
        let mut reader = Reader::new(&env);
        let addresses = addresses(&mut reader);
        reader
            .finish()
            .map(|_| addresses)
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
