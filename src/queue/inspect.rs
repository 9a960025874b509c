//! What kind of server Redis is, and what about it puts jobs at risk.

use redis::{InfoDict, RedisResult};

use super::{Error, Queue};

impl Queue {
    /// What an operator should know about the server: whether it may throw jobs away, and whether a restart loses them.
    ///
    /// Nothing is said of a server that does not let itself be asked. Waits until Redis answers.
    pub async fn risks(&self) -> Result<Vec<String>, Error> {
        let operation = "ask for the state of the server";
        let info: RedisResult<InfoDict> = self
            .inner
            .commands
            .persist_command(operation, &redis::cmd("INFO"))
            .await;
        Ok(info
            .map(|info| self.state(&info).risks())
            .unwrap_or_default())
    }

    /// What kind of server it is. Asks once.
    pub(crate) async fn server_state(&self) -> Result<ServerState, Error> {
        let info: RedisResult<InfoDict> = self.inner.commands.command(&redis::cmd("INFO")).await;
        let operation = "tell about itself";
        info.map(|info| self.state(&info))
            .map_err(|cause| Error { operation, cause })
    }

    /// Runs a script that does nothing, once: the right to do so may be missing.
    pub(crate) async fn try_scripts(&self) -> Result<(), Error> {
        let mut call = super::SET.key(self.auxiliary("check"));
        call.arg("nobody").arg("field").arg("value");
        let operation = "run a script";
        let answer: RedisResult<u8> = self.inner.commands.attempt(operation, &call).await;
        answer.map(drop).map_err(|cause| Error { operation, cause })
    }

    fn state(&self, info: &InfoDict) -> ServerState {
        ServerState {
            address: self
                .server_address()
                .map(|(host, port)| format!("{host}:{port}"))
                .unwrap_or_default(),
            version: info.get("redis_version").unwrap_or_default(),
            role: info.get("role").unwrap_or_default(),
            eviction: info.get("maxmemory_policy").unwrap_or_default(),
            has_log: info.get::<u8>("aof_enabled") != Some(0),
        }
    }
}

/// What a Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerState {
    /// `host:port` of the one that is used.
    pub(crate) address: String,
    pub(crate) version: String,
    /// `master` or `slave`.
    pub(crate) role: String,
    /// What it does when memory runs short.
    eviction: String,
    /// Whether it keeps an append-only file, as far as it says.
    has_log: bool,
}

impl ServerState {
    /// What puts jobs at risk.
    pub(crate) fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        let policy = &self.eviction;
        if !policy.is_empty() && policy != "noeviction" {
            risks.push(format!(
                "maxmemory-policy of Redis is `{policy}`: when memory runs short it throws keys away, jobs and results among \
                 them; set it to `noeviction`"
            ));
        }
        if !self.has_log {
            risks.push(
                "Redis keeps no append-only file: when it restarts, jobs since its last snapshot are gone".to_owned(),
            );
        }
        risks
    }
}
