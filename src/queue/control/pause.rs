//! Queues from which nothing is claimed for a while.

use std::time::Duration;

use redis::Cmd;
use serde::{Deserialize, Serialize};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{Keys, millis, timestamp};

/// Who has paused a queue, when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) by: String,
    pub(crate) at: String,
    #[serde(default)]
    pub(crate) why: String,
}

impl Pause {
    /// A pause from now on.
    pub(crate) fn now(by: &str, why: &str) -> Self {
        Self {
            by: by.to_owned(),
            at: timestamp(),
            why: why.to_owned(),
        }
    }

    /// What a key holds; whatever it is, its being there means a pause.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            by: "somebody".to_owned(),
            at: String::new(),
            why: text.to_owned(),
        })
    }
}

impl Admin {
    /// Has our consumers claim nothing from a queue, until it is resumed or this long.
    pub(crate) async fn pause(
        &self,
        queue: &str,
        pause: &Pause,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let text = serde_json::to_string(pause).unwrap_or_default();
        let mut set = redis::cmd("SET");
        set.arg(Keys::new(queue).paused()).arg(text);
        if let Some(limit) = limit {
            set.arg("PX").arg(millis(limit).max(1));
        }
        self.command("pause a queue", &set).await
    }

    /// Ends a pause. False if there was none.
    pub(crate) async fn resume(&self, queue: &str) -> Result<bool, Error> {
        let resumed = Cmd::del(Keys::new(queue).paused());
        self.command("resume a queue", &resumed).await
    }
}
