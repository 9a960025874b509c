//! One connection to Redis that comes back by itself, through a Sentinel if there is one.
//!
//! Every command has a time limit. What fails because the server is away, restarting, loading or demoted is repeated
//! on a fresh connection after a pause with jitter, without end: an absent Redis is a reason to wait, not to stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
    TlsCertificates,
};
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::metrics::ConnectionMetrics;
use super::settings::{Login, RedisSettings, Tls};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Connection {
    server: Server,
    config: AsyncConnectionConfig,
    longest_pause: Duration,
    current: Mutex<Option<MultiplexedConnection>>,
    was_connected: AtomicBool,
    metrics: ConnectionMetrics,
}

impl Connection {
    /// A connection that gives up on a reply after `reply_limit`. It connects when it is first used.
    pub(super) fn new(
        settings: &RedisSettings,
        reply_limit: Duration,
        metrics: ConnectionMetrics,
    ) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(reply_limit));
        let (server, longest_pause) = (Server::new(settings), settings.reconnect_pause);
        Self {
            server,
            config,
            longest_pause,
            current: Mutex::default(),
            was_connected: AtomicBool::default(),
            metrics,
        }
    }

    /// Runs a script once; after a failure the next call starts on a fresh connection.
    pub(super) async fn attempt<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let began = Instant::now();
        let result = call.invoke_async(&mut connection).await;
        self.metrics.script(what, began.elapsed());
        self.note(result).await
    }

    /// Runs a script until the server has answered it. Fit only for scripts that may run twice.
    pub(super) async fn persist<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut outage = Outage::new(what, self.longest_pause);
        loop {
            match self.attempt(what, call).await {
                Err(error) if is_transient(&error) => outage.wait(&error).await,
                result => return outage.end(result),
            }
        }
    }

    /// Sends a command until the server has answered it. Fit only for commands that may run twice.
    pub(super) async fn persist_command<T: FromRedisValue>(
        &self,
        what: &str,
        command: &redis::Cmd,
    ) -> RedisResult<T> {
        let mut outage = Outage::new(what, self.longest_pause);
        loop {
            match self.command(command).await {
                Err(error) if is_transient(&error) => outage.wait(&error).await,
                result => return outage.end(result),
            }
        }
    }

    /// Sends commands together until the server has answered them. Fit only for commands that may run twice.
    pub(super) async fn persist_pipeline<T: FromRedisValue>(
        &self,
        what: &str,
        pipeline: &redis::Pipeline,
    ) -> RedisResult<T> {
        let mut outage = Outage::new(what, self.longest_pause);
        loop {
            match self.pipeline(pipeline).await {
                Err(error) if is_transient(&error) => outage.wait(&error).await,
                result => return outage.end(result),
            }
        }
    }

    /// Sends a command once.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let result = command.query_async(&mut connection).await;
        self.note(result).await
    }

    /// Sends commands together once.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &redis::Pipeline,
    ) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let result = pipeline.query_async(&mut connection).await;
        self.note(result).await
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connected = self.server.connect(&self.config).await;
        let Master {
            connection,
            address,
        } = connected.inspect_err(|error| self.metrics.failed(error))?;
        if self.was_connected.swap(true, Ordering::Relaxed) {
            self.metrics.reconnected();
        }
        self.metrics.connected(address);
        Ok(current.insert(connection).clone())
    }

    async fn note<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        match &result {
            Ok(_) => self.metrics.answered(),
            Err(error) => {
                self.metrics.failed(error);
                if is_transient(error) {
                    *self.current.lock().await = None;
                }
            }
        }
        result
    }
}

/// The addresses that the operator gave: a Redis, or Sentinels that know where the master is.
struct Server {
    addresses: Vec<(String, u16)>,
    /// Name of the monitored set, where a Sentinel monitors several.
    set: String,
    login: Login,
    tls: Option<Tls>,
}

/// A connection to a master, and where that is.
struct Master {
    connection: MultiplexedConnection,
    address: (String, u16),
}

impl Server {
    fn new(settings: &RedisSettings) -> Self {
        Self {
            addresses: settings.addresses.clone(),
            set: settings.sentinel_set.clone(),
            login: settings.login.clone(),
            tls: settings.tls.clone(),
        }
    }

    /// Connects by the first address that leads to a master.
    async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<Master> {
        let mut failure = absent("no address was given".to_owned());
        for (host, port) in &self.addresses {
            match self.connect_by(host, *port, config).await {
                Ok(master) => return Ok(master),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Connects to this server or, if it is a Sentinel, to the master that it names now.
    async fn connect_by(
        &self,
        host: &str,
        port: u16,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Master> {
        let mut connection = self.open_first(host, port, config).await?;
        let masters = redis::cmd("SENTINEL")
            .arg("MASTERS")
            .query_async(&mut connection)
            .await;
        let masters: Vec<HashMap<String, String>> = match masters {
            Ok(masters) => masters,
            Err(error) if is_transient(&error) || error.code() == Some("NOAUTH") => {
                return Err(error);
            }
            // Only a Sentinel knows the command.
            Err(_) => {
                return Ok(Master {
                    connection,
                    address: (host.to_owned(), port),
                });
            }
        };
        let (host, port) = self.master(&masters)?;
        let mut connection = self.open(&host, port, &self.login, config).await?;
        let role: redis::Value = redis::cmd("ROLE").query_async(&mut connection).await?;
        match role {
            redis::Value::Array(parts)
                if parts.first() == Some(&redis::Value::BulkString(b"master".to_vec())) =>
            {
                Ok(Master {
                    connection,
                    address: (host, port),
                })
            }
            _ => Err(absent(format!("{host}:{port} is not the master yet"))),
        }
    }

    /// Opens the address that was given. A Sentinel may know nothing of the login, and has no databases.
    async fn open_first(
        &self,
        host: &str,
        port: u16,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let first = self.open(host, port, &self.login, config).await;
        match first {
            Err(error)
                if !is_transient(&error)
                    && (self.login.password.is_some() || self.login.database > 0) =>
            {
                let nobody = Login {
                    username: None,
                    password: None,
                    database: 0,
                };
                let somebody = Login {
                    database: 0,
                    ..self.login.clone()
                };
                for login in [somebody, nobody] {
                    let Ok(mut sentinel) = self.open(host, port, &login, config).await else {
                        continue;
                    };
                    let role: RedisResult<Vec<redis::Value>> =
                        redis::cmd("ROLE").query_async(&mut sentinel).await;
                    let is_sentinel = |role: Vec<redis::Value>| {
                        role.first() == Some(&redis::Value::BulkString(b"sentinel".to_vec()))
                    };
                    if role.is_ok_and(is_sentinel) {
                        return Ok(sentinel);
                    }
                }
                Err(error)
            }
            first => first,
        }
    }

    async fn open(
        &self,
        host: &str,
        port: u16,
        login: &Login,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let mut who = RedisConnectionInfo::default().set_db(login.database.into());
        if let Some(username) = &login.username {
            who = who.set_username(username);
        }
        if let Some(password) = &login.password {
            who = who.set_password(password.expose_secret());
        }
        let client = match &self.tls {
            None => {
                redis::Client::open((host, port).into_connection_info()?.set_redis_settings(who))?
            }
            Some(tls) => {
                let address = ConnectionAddr::TcpTls {
                    host: host.to_owned(),
                    port,
                    insecure: false,
                    tls_params: None,
                };
                let address = address.into_connection_info()?.set_redis_settings(who);
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: tls.authority.clone(),
                };
                redis::Client::build_with_tls(address, certificates)?
            }
        };
        client
            .get_multiplexed_async_connection_with_config(config)
            .await
    }

    fn master(&self, masters: &[HashMap<String, String>]) -> RedisResult<(String, u16)> {
        let named = masters
            .iter()
            .find(|master| master.get("name") == Some(&self.set));
        let Some(master) = named.or(if masters.len() == 1 {
            masters.first()
        } else {
            None
        }) else {
            let names: Vec<_> = masters
                .iter()
                .filter_map(|master| master.get("name").map(String::as_str))
                .collect();
            return Err(absent(format!(
                "the Sentinel does not monitor a set `{}`, but: {}",
                self.set,
                names.join(", ")
            )));
        };
        let port = master.get("port").and_then(|port| port.parse().ok());
        let address = master.get("ip").cloned().zip(port);
        address.ok_or_else(|| absent(format!("the Sentinel has no address for `{}`", self.set)))
    }
}

/// A transient error: there is no master now.
fn absent(message: String) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, message).into()
}

/// Codes of answers that say "not now".
const NOT_NOW: [&str; 10] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// Whether the same command may well succeed later, on a fresh connection.
pub(super) fn is_transient(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io => true,
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain) => true,
        _ if error.is_connection_dropped() => true,
        _ if error.code().is_some_and(|code| NOT_NOW.contains(&code)) => true,
        // Before Redis 7, what a command inside a script answered came in the text: `… @user_script: 12: -READONLY You …`.
        _ => error.detail().is_some_and(|text| {
            NOT_NOW
                .iter()
                .any(|code| text.contains(&format!("-{code} ")))
        }),
    }
}

/// The time during which the server did not answer: one warning at its start, one line at its end.
pub(super) struct Outage<'a> {
    what: &'a str,
    pause: Duration,
    longest: Duration,
    failures: u32,
}

impl<'a> Outage<'a> {
    pub(super) fn new(what: &'a str, longest: Duration) -> Self {
        Self {
            what,
            pause: FIRST_PAUSE.min(longest),
            longest,
            failures: 0,
        }
    }

    pub(super) async fn wait(&mut self, error: &RedisError) {
        if self.failures == 0 {
            warn!(redis.operation = self.what, error = %error, "redis does not answer; trying again until it does");
        }
        self.failures += 1;
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(self.longest);
    }

    pub(super) fn end<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if self.failures > 0 && result.is_ok() {
            info!(
                redis.operation = self.what,
                attempts = self.failures + 1,
                "redis answers again"
            );
        }
        result
    }
}
