//! What about the server puts jobs at risk.

use redis::InfoDict;

use super::{Error, Queue};

impl Queue {
    /// What an operator should know about the server: whether it may throw jobs away, and whether a restart loses them.
    ///
    /// Nothing is said of a server that does not let itself be asked. Waits until Redis answers.
    pub async fn risks(&self) -> Result<Vec<String>, Error> {
        let mut risks = Vec::new();
        let Ok(memory) = self.info("memory").await else { return Ok(risks) };
        let policy: String = memory.get("maxmemory_policy").unwrap_or_default();
        if !policy.is_empty() && policy != "noeviction" {
            risks.push(format!(
                "maxmemory-policy of Redis is `{policy}`: when memory runs short it throws keys away, jobs and results among \
                 them; set it to `noeviction`"
            ));
        }
        let Ok(persistence) = self.info("persistence").await else { return Ok(risks) };
        if persistence.get::<u8>("aof_enabled") == Some(0) {
            risks.push(
                "Redis keeps no append-only file: when it restarts, jobs since its last snapshot are gone".to_owned(),
            );
        }
        Ok(risks)
    }

    async fn info(&self, section: &str) -> Result<InfoDict, Error> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        self.command("ask for the state of the server", &info).await
    }
}
