//! What a server says when it lets nobody in. It says so before it is asked, and hangs up: the client library may find the
//! connection closed before it reads that, or calls all of it a wrong password.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{
    AsyncConnectionConfig, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::settings::Login;

/// How long a server is listened to that says nothing of its own accord, as one that works does.
const PATIENCE: Duration = Duration::from_millis(300);
/// The longest words that are read; those about the protected mode are the longest that there are.
const LONGEST_WORDS: u64 = 4096;

/// Time between two questions to a server that has hung up: as a rule it has only ended.
const PAUSE: Duration = Duration::from_secs(10);

/// Asks servers for their words.
#[derive(Default)]
pub(super) struct Refusals {
    /// When one was asked last that had hung up.
    asked: Mutex<Option<Instant>>,
}

impl Refusals {
    /// The words with which a server refused a connection or, if `failure` speaks of a wrong password, a login; nothing if there
    /// are none.
    pub(super) async fn words(
        &self,
        (host, port): (&str, u16),
        login: &Login,
        failure: &RedisError,
    ) -> Option<RedisError> {
        let is_login = failure.kind() == ErrorKind::AuthenticationFailed;
        if !is_login && !self.may_be_asked(failure) {
            return None;
        }
        let unasked = tokio::time::timeout(PATIENCE, unasked_words(host, port)).await;
        match unasked {
            Ok(Some(words)) => Some(words),
            _ if is_login => answer_to_login(host, port, login).await,
            _ => None,
        }
    }

    fn may_be_asked(&self, failure: &RedisError) -> bool {
        let has_hung_up = !failure.is_connection_refusal() && !failure.is_timeout();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = asked.is_none_or(|at| at.elapsed() >= PAUSE);
        if has_hung_up && is_time {
            *asked = Some(Instant::now());
        }
        has_hung_up && is_time
    }
}

/// What a server says before it is asked anything: there are too many clients, or it is protected.
async fn unasked_words(host: &str, port: u16) -> Option<RedisError> {
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST_WORDS));
    reader.read_until(b'\n', &mut line).await.ok()?;
    let said = redis::parse_redis_value(&line).ok()?;
    said.extract_error().err()
}

/// The answer to the login alone, if it is an error.
async fn answer_to_login(host: &str, port: u16, login: &Login) -> Option<RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let nobody = RedisConnectionInfo::default().set_skip_set_lib_name();
    let address = (host, port).into_connection_info().ok()?;
    let client = redis::Client::open(address.set_redis_settings(nobody)).ok()?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .ok()?;
    let mut command = redis::cmd("AUTH");
    if let Some(username) = &login.username {
        command.arg(username);
    }
    command.arg(login.password.as_ref()?.expose_secret());
    command.query_async::<()>(&mut connection).await.err()
}
