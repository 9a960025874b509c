//! The settings of the queue.

use std::fmt::{self, Display};
use std::num::NonZero;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::settings::Reader;

/// What the Python consumer calls itself where `HOSTNAME` is missing (sic).
const UNNAMED: &str = "host-unkonwn";

/// How and as whom this process reads the queue.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Name of the work queue, lower case.
    pub queue: String,
    /// Name of this consumer: the pod's.
    pub consumer: String,
    /// Host of the Redis server or of a Sentinel.
    pub host: String,
    /// Port of the Redis server or of a Sentinel.
    pub port: u16,
    /// The set of servers to use where a Sentinel monitors several.
    pub sentinel_set: String,
    /// As whom to speak to Redis, and to a Sentinel that asks.
    pub login: Login,
    /// Protection of the connection; none is plain text.
    pub tls: Option<Tls>,
    /// Longest pause between attempts to reach Redis.
    pub reconnect_pause: Duration,
    /// Longest wait inside Redis for a job before looking again.
    pub idle_wait: Duration,
    /// Jobs worked at the same time.
    pub slots: usize,
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
        let QueueName(queue) = reader.parsed("QUEUE", QueueName("predict".to_owned()), "base name of the work queue");
        let consumer = reader.text("HOSTNAME", UNNAMED, "name of this consumer, the pod's; must be unique");
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
            host: reader.text("REDIS_HOST", "redis-master", "host of Redis or of a Sentinel"),
            port: reader.parsed("REDIS_PORT", 6379, "port of Redis or of a Sentinel"),
            sentinel_set: reader.text(
                "REDIS_SENTINEL_MASTER",
                "mymaster",
                "set of servers, where a Sentinel monitors several",
            ),
            login: Login {
                username: reader.optional("REDIS_USERNAME", "user of Redis' access list; else the default one"),
                password: reader.secret("REDIS_PASSWORD", "password of that user"),
                database: reader.parsed("REDIS_DB", 0, "number of the database"),
            },
            tls: tls(reader),
            reconnect_pause: reader.seconds(
                "REDIS_TIMEOUT",
                3.0,
                "longest pause between attempts to reach Redis, seconds",
            ),
            idle_wait: reader.seconds(
                "EMPTY_QUEUE_TIMEOUT",
                5.0,
                "longest wait inside Redis for a job, seconds (1 at most)",
            ),
            slots: slots(reader),
        }
    }
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let wanted = reader.flag("REDIS_TLS", false, "encrypt the way to Redis and its Sentinels");
    let file = reader.optional("REDIS_CA_FILE", "certificate authority of Redis (PEM); else the system's");
    if !wanted {
        return None;
    }
    let Some(path) = file else { return Some(Tls::default()) };
    match std::fs::read(&path) {
        Ok(pem) => Some(Tls { authority: Some(pem) }),
        Err(error) => {
            reader.problem("REDIS_CA_FILE", format!("`{path}` cannot be read: {error}"));
            None
        }
    }
}

/// The name of a queue, in lower case whatever was written.
#[derive(Clone)]
struct QueueName(String);

impl FromStr for QueueName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_name(text)?;
        let name = text.to_lowercase();
        if name.contains("processing-") { Err("it must not contain `processing-`".to_owned()) } else { Ok(Self(name)) }
    }
}

impl Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Readers of the processing lists split their names at colons.
fn check_name(name: &str) -> Result<(), String> {
    if name.contains(':') { Err(format!("`{name}` contains a `:`")) } else { Ok(()) }
}

fn slots(reader: &mut Reader<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let slots = reader.parsed("CONCURRENCY", cores.min(4), "jobs worked at the same time");
    if !(1..=64).contains(&slots) {
        reader.problem("CONCURRENCY", format!("`{slots}` cannot be used: expected 1 to 64"));
    }
    slots
}
