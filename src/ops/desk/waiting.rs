//! Jobs whose end a command waits for without a word.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connection::Desk;
use crate::queue::JobKey;
use crate::queue::control::Standing;
use crate::wire;

/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Desk {
    /// Waits until these jobs have ended or vanished, and gives where they stand then; nothing if it is told to stop before.
    pub(crate) async fn wait_for(
        &self,
        jobs: &[JobKey],
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Vec<Option<Standing>>>> {
        loop {
            let standings = self.admin.standings(jobs).await?;
            if !standings.iter().any(|standing| is_open(standing.as_ref())) {
                return Ok(Some(standings));
            }
            let pause = tokio::time::sleep(LOOK);
            if stop.run_until_cancelled(pause).await.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Whether a job is there and has not ended.
pub(crate) fn is_open(standing: Option<&Standing>) -> bool {
    standing.is_some_and(|standing| !wire::is_final(Some(standing.status.as_bytes())))
}
