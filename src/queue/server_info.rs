//! What Redis says of itself, and which of its settings put jobs at risk.

use redis::{InfoDict, RedisResult};

use super::client::Queue;
use super::error::Error;
use super::lease::RELEASE;

impl Queue {
    /// What an operator should know about the server: whether it may evict jobs, and whether a restart loses them.
    ///
    /// Nothing is said of a server that does not let itself be asked. Waits until Redis answers.
    pub async fn warnings(&self) -> Vec<String> {
        let operation = "ask for the state of the server";
        let info: RedisResult<InfoDict> = self
            .inner
            .commands
            .persist_command(operation, &redis::cmd("INFO"))
            .await;
        info.map(|info| self.describe(&info).warnings())
            .unwrap_or_default()
    }

    /// What kind of server it is. Asks once.
    pub(crate) async fn server_info(&self) -> Result<ServerInfo, Error> {
        let info: RedisResult<InfoDict> = self.inner.commands.command(&redis::cmd("INFO")).await;
        let operation = "tell about itself";
        info.map(|info| self.describe(&info))
            .map_err(Error::refused(operation))
    }

    /// Runs a script that changes nothing, once, with the keys of this consumer: the right to do so may be missing, and a
    /// cluster may have them on several servers.
    pub(crate) async fn try_scripts(&self) -> Result<(), Error> {
        let keys = &self.inner.keys;
        let mut call = RELEASE.key(keys.probe());
        call.key(self.processing_list(0))
            .key(keys.leases())
            .key(keys.delayed())
            .key(self.name())
            .arg("nobody");
        let operation = "run a script";
        let answer: RedisResult<String> = self.inner.commands.attempt(operation, &call).await;
        answer.map(drop).map_err(Error::refused(operation))
    }

    fn describe(&self, info: &InfoDict) -> ServerInfo {
        let address = self.server_address();
        let address = address.map(|(host, port)| format!("{host}:{port}"));
        ServerInfo::read(address.unwrap_or_default(), info)
    }
}

impl ServerInfo {
    /// What a server at this address has answered to `INFO`.
    pub(super) fn read(address: String, info: &InfoDict) -> Self {
        Self {
            address,
            version: version(info),
            role: info.get("role").unwrap_or_default(),
            master: master(info),
            is_cluster: info.get::<u8>("cluster_enabled") == Some(1),
            eviction: info.get("maxmemory_policy").unwrap_or_default(),
            has_log: info.get::<u8>("aof_enabled") != Some(0),
        }
    }
}

/// Name and version; Valkey calls itself a Redis 7.2 besides.
fn version(info: &InfoDict) -> String {
    match info.get::<String>("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => {
            let version: String = info.get("redis_version").unwrap_or_default();
            format!("Redis {version}")
        }
    }
}

fn master(info: &InfoDict) -> Option<String> {
    let (host, port): (String, u16) = info.get("master_host").zip(info.get("master_port"))?;
    Some(format!("{host}:{port}"))
}

/// What a Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// `host:port` of the one that is used.
    pub(crate) address: String,
    /// Name and version.
    pub(crate) version: String,
    /// `master` or `slave`.
    pub(crate) role: String,
    /// `host:port` of the server that a replica follows.
    pub(crate) master: Option<String>,
    /// Whether it is part of a Redis Cluster.
    pub(crate) is_cluster: bool,
    /// What it does when memory runs short.
    eviction: String,
    /// Whether it keeps an append-only file, as far as it says.
    has_log: bool,
}

impl ServerInfo {
    /// What puts jobs at risk.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let policy = &self.eviction;
        if !policy.is_empty() && policy != "noeviction" {
            warnings.push(format!(
                "maxmemory-policy of Redis is `{policy}`: when memory runs short it evicts keys, jobs and results among them; \
                 set it to `noeviction`"
            ));
        }
        if !self.has_log {
            warnings.push(
                "the append-only file of Redis is disabled: a restart loses the jobs since its last snapshot".to_owned(),
            );
        }
        warnings
    }
}
