//! How operators ask a Redis: how long they wait for it, about many keys at once, and through all keys.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, ScriptInvocation};

use super::super::connection::{Connection, REPLY_LIMIT};
use super::super::error::Error;
use super::super::metrics::ConnectionMetrics;
use super::super::settings::RedisSettings;

/// Keys looked at by one `SCAN`.
const SCAN_COUNT: usize = 1000;
/// Keys asked about in one round trip.
pub(super) const CHUNK: usize = 500;

/// A handle on everything that a Redis holds. Clones share one connection.
#[derive(Clone)]
pub struct Admin {
    pub(super) connection: Arc<Connection>,
    patience: Patience,
}

/// How long an [`Admin`] waits for a Redis that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it answers.
    Endless,
    /// So long, which is what a person waits for.
    Within(Duration),
    /// Not at all: what cannot be asked now is an error.
    None,
}

impl Admin {
    /// A handle that connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Self {
        Self::over(
            Arc::new(Connection::new(
                settings,
                REPLY_LIMIT,
                ConnectionMetrics::default(),
            )),
            Patience::Endless,
        )
    }

    /// The same handle, but a Redis that is away is waited for no longer than this.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Patience::Within(patience);
        self
    }

    /// The same handle, but a Redis that is away is not waited for.
    #[must_use]
    pub(crate) fn impatient(mut self) -> Self {
        self.patience = Patience::None;
        self
    }

    pub(super) fn over(connection: Arc<Connection>, patience: Patience) -> Self {
        Self {
            connection,
            patience,
        }
    }

    /// All keys that match a pattern, each once.
    pub(in super::super) async fn scan(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Error> {
        let (mut cursor, mut found) = (0, Vec::new());
        loop {
            let (next, keys) = self.some_keys(pattern, cursor).await?;
            found.extend(keys);
            if next == 0 {
                found.sort();
                found.dedup();
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// Hands over all keys that match a pattern, some hundred at a time; a key may come twice.
    pub(in super::super) async fn each_key<E: From<Error>>(
        &self,
        pattern: &str,
        mut each: impl AsyncFnMut(Vec<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = 0;
        loop {
            let (next, keys) = self.some_keys(pattern, cursor).await?;
            each(keys).await?;
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Some keys that match a pattern, and where to go on; 0 is the begin and the end.
    pub(in super::super) async fn some_keys(
        &self,
        pattern: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_COUNT);
        self.command("look through the keys", &scan).await
    }

    pub(in super::super) async fn command<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        let patient = self.connection.persist_command(operation, command);
        self.answer(operation, patient, self.connection.command(command))
            .await
    }

    pub(in super::super) async fn script<T: FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let patient = self.connection.persist(operation, call);
        self.answer(operation, patient, self.connection.attempt(operation, call))
            .await
    }

    pub(in super::super) async fn pipeline<T: FromRedisValue>(
        &self,
        operation: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        let patient = self.connection.persist_pipeline(operation, pipeline);
        self.answer(operation, patient, self.connection.pipeline(pipeline))
            .await
    }

    /// The answer to something that can be sent again and again or once.
    async fn answer<T>(
        &self,
        operation: &'static str,
        again_and_again: impl Future<Output = RedisResult<T>>,
        once: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Error> {
        let answer = match self.patience {
            Patience::Endless => again_and_again.await,
            Patience::Within(limit) => {
                let answer = tokio::time::timeout(limit, again_and_again).await;
                answer.unwrap_or_else(|_| Err(no_answer(limit)))
            }
            Patience::None => once.await,
        };
        answer.map_err(Error::refused(operation))
    }

    /// Values of single keys; an error about one of them is no answer for it.
    pub(in super::super) async fn ask_pipeline(
        &self,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut pipeline = pipeline.clone();
        pipeline.ignore_errors();
        let replies: Vec<RedisResult<Option<Vec<u8>>>> =
            self.pipeline("ask about many keys", &pipeline).await?;
        Ok(replies
            .into_iter()
            .map(|reply| reply.ok().flatten())
            .collect())
    }

    /// Asks the same about many keys, some hundreds in each round trip. An error about one key is no answer for it.
    pub(in super::super) async fn ask_each<T: FromRedisValue>(
        &self,
        keys: &[Vec<u8>],
        ask: impl Fn(&[u8]) -> Cmd,
    ) -> Result<Vec<Option<T>>, Error> {
        let operation = "ask about many keys";
        let mut answers = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            let mut pipeline = redis::pipe();
            pipeline.ignore_errors();
            chunk.iter().for_each(|key| {
                pipeline.add_command(ask(key));
            });
            let replies: Vec<RedisResult<T>> = self.pipeline(operation, &pipeline).await?;
            answers.extend(replies.into_iter().map(Result::ok));
        }
        Ok(answers)
    }
}

fn no_answer(limit: Duration) -> redis::RedisError {
    let text = format!("no answer for {} s", limit.as_secs());
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}
