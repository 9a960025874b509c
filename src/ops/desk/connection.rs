//! The Redis that commands speak to, and who speaks.

use std::time::Duration;

use clap::Args;

use crate::figures::Span;
use crate::queue::{Admin, RedisSettings};
use crate::settings::{Env, Loader};
use crate::storage::{Storage, StorageSettings};

crate::settings! {
    /// The operator.
    struct OperatorVariables {
        /// Who is recorded for what commands change.
        user: String = "unknown".to_owned(),
        /// What the terminal can do.
        term: String = String::new(),
    }
}

#[derive(Args)]
pub(crate) struct DeskArguments {
    /// The Redis to speak to, in place of `REDIS_HOST` and `REDIS_PORT`.
    #[arg(long, value_name = "HOST[:PORT]")]
    redis: Option<String>,
    /// How long to wait for a Redis that does not answer.
    #[arg(long, default_value = "10s", value_name = "TIME")]
    patience: Span,
}

/// What a command works with.
pub(crate) struct Desk {
    pub(crate) admin: Admin,
    /// Who is recorded for what is changed.
    pub(crate) who: String,
    /// What the terminal can do, as it calls itself.
    pub(crate) term: String,
}

impl DeskArguments {
    /// Reads the environment; connects when it is first needed.
    pub(crate) fn open(&self) -> anyhow::Result<Desk> {
        Ok(self.open_with(|_| ())?.0)
    }

    /// The same, and `load` loads what the command needs beside it.
    pub(crate) fn open_with<T>(
        &self,
        load: impl FnOnce(&mut Loader<'_>) -> T,
    ) -> anyhow::Result<(Desk, T)> {
        let mut env = Env::from_process();
        if let Some(address) = &self.redis {
            env.set("REDIS_HOST", address);
        }
        let mut loader = Loader::new(&env);
        let server = RedisSettings::load(&mut loader);
        let operator: OperatorVariables = loader.load();
        let more = load(&mut loader);
        loader.finish()?;
        let patience = Duration::from(self.patience);
        let desk = Desk {
            admin: Admin::new(&server).with_patience(patience),
            who: operator.user,
            term: operator.term,
        };
        Ok((desk, more))
    }

    /// The same with the bucket, if the settings name one that can be used: some batches keep their lists there.
    pub(crate) fn open_with_bucket(&self) -> anyhow::Result<(Desk, Option<Storage>)> {
        Ok((self.open()?, known_bucket()))
    }
}

/// The bucket, if the settings name one that can be used.
pub(crate) fn known_bucket() -> Option<Storage> {
    let env = Env::from_process();
    let mut loader = Loader::new(&env);
    let settings = StorageSettings::load(&mut loader);
    loader.finish().ok()?;
    Storage::open(&settings).ok()
}

impl Desk {
    /// Records what the operator has changed: the command, what it was about, and what came of it.
    pub(crate) async fn record(
        &self,
        command: &str,
        about: &str,
        result: &str,
    ) -> anyhow::Result<()> {
        Ok(self.admin.record(&self.who, command, about, result).await?)
    }
}
