//! What the Redis says of itself, for pages.

use redis::InfoDict;

use super::super::admin::Admin;
use super::super::error::Error;
use super::super::server_info::ServerInfo;

/// How the server fares.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    pub(crate) info: ServerInfo,
    pub(crate) uptime_s: u64,
    pub(crate) clients: u64,
    /// Bytes that it uses, and how many it may; 0 is no limit.
    pub(crate) used_bytes: u64,
    pub(crate) most_bytes: u64,
    pub(crate) keys: u64,
}

impl Admin {
    /// What the server says of itself, in one round trip.
    pub(crate) async fn server(&self) -> Result<ServerState, Error> {
        let mut all = redis::pipe();
        all.cmd("INFO").cmd("DBSIZE");
        let (info, keys): (InfoDict, u64) = self
            .pipeline("ask for the state of the server", &all)
            .await?;
        let number = |name: &str| info.get::<u64>(name).unwrap_or(0);
        Ok(ServerState {
            info: ServerInfo::read(String::new(), &info),
            uptime_s: number("uptime_in_seconds"),
            clients: number("connected_clients"),
            used_bytes: number("used_memory"),
            most_bytes: number("maxmemory"),
            keys,
        })
    }
}
