//! Where the master is: at the address that the operator gave, or where a Sentinel says.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates,
};
use secrecy::ExposeSecret as _;

use super::error::is_transient;
use super::refusals::Refusals;
use super::settings::{Login, RedisSettings, Tls};

/// The addresses that the operator gave: a Redis, or Sentinels that know where the master is.
pub(super) struct Server {
    addresses: Vec<(String, u16)>,
    /// Name of the monitored set, where a Sentinel monitors several.
    set: String,
    login: Login,
    tls: Option<Tls>,
    refusals: Refusals,
}

/// A connection to a master, and where that is.
pub(super) struct Master {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: (String, u16),
}

impl Server {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        Self {
            addresses: settings.addresses.clone(),
            set: settings.sentinel_set.clone(),
            login: settings.login.clone(),
            tls: settings.tls.clone(),
            refusals: Refusals::default(),
        }
    }

    /// Connects by the first address that leads to a master.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<Master> {
        let mut failure = no_master("no address was given".to_owned());
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
            Err(error) if is_transient(&error) || is_of_no_command(&error) => {
                let words = self.refusals.words((host, port), &self.login, &error);
                return Err(words.await.unwrap_or(error));
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
            _ => Err(no_master(format!("{host}:{port} is not the master yet"))),
        }
    }

    /// Opens the address that was given. A Sentinel may know nothing of the login, and has no databases.
    async fn open_first(
        &self,
        host: &str,
        port: u16,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let error = match self.open(host, port, &self.login, config).await {
            Err(error) if !is_transient(&error) => error,
            opened => return opened,
        };
        if self.login.password.is_none() && self.login.database == 0 {
            return Err(error);
        }
        let without_database = Login {
            database: 0,
            ..self.login.clone()
        };
        for login in [without_database, Login::default()] {
            if let Ok(mut connection) = self.open(host, port, &login, config).await
                && is_sentinel(&mut connection).await
            {
                return Ok(connection);
            }
        }
        Err(error)
    }

    async fn open(
        &self,
        host: &str,
        port: u16,
        login: &Login,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        // Without the name of the library, which needs a right of its own.
        let mut who = RedisConnectionInfo::default()
            .set_skip_set_lib_name()
            .set_db(login.database.into());
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
        let opened = client
            .get_multiplexed_async_connection_with_config(config)
            .await;
        match opened {
            Err(error) if self.tls.is_none() => {
                let words = self.refusals.words((host, port), login, &error).await;
                Err(words.unwrap_or(error))
            }
            opened => opened,
        }
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
            return Err(no_master(format!(
                "the Sentinel does not monitor a set `{}`, but: {}",
                self.set,
                names.join(", ")
            )));
        };
        let port = master.get("port").and_then(|port| port.parse().ok());
        let address = master.get("ip").cloned().zip(port);
        address.ok_or_else(|| no_master(format!("the Sentinel has no address for `{}`", self.set)))
    }
}

/// Whether a server answers everything like this, and so says nothing of whether it is a Sentinel; it may be no Redis at all.
fn is_of_no_command(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Parse || matches!(error.code(), Some("NOAUTH" | "DENIED"))
}

/// Whether this is a connection to a Sentinel.
async fn is_sentinel(connection: &mut MultiplexedConnection) -> bool {
    let role: RedisResult<Vec<redis::Value>> = redis::cmd("ROLE").query_async(connection).await;
    role.is_ok_and(|role| role.first() == Some(&redis::Value::BulkString(b"sentinel".to_vec())))
}

/// A transient error: there is no master now.
fn no_master(message: String) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, message).into()
}
