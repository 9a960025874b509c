//! What Redis refuses, and for how long.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// An error that waiting does not cure, such as a queue name that holds another type.
#[derive(Debug, thiserror::Error)]
#[error("redis refused to {operation}: {}", words(cause))]
pub struct Error {
    operation: &'static str,
    cause: RedisError,
}

impl Error {
    /// Says what was attempted when Redis refused.
    pub(super) fn refused(operation: &'static str) -> impl FnOnce(RedisError) -> Self {
        move |cause| Self { operation, cause }
    }

    /// Whether the server is away, rather than that it has refused.
    pub(crate) fn is_away(&self) -> bool {
        !is_refusal(&self.cause)
    }
}

/// What the server has said, as it said it; the first, if it was asked several things. Else what went wrong on the way.
pub(super) fn words(error: &RedisError) -> String {
    let said = error.clone().into_server_errors();
    match said.as_deref() {
        Some([(_, first), ..]) => {
            let details = first.details().unwrap_or_default();
            format!("{} {details}", first.code()).trim_end().to_owned()
        }
        _ => error.to_string(),
    }
}

/// Codes of answers that say "not now".
const NOT_NOW: [&str; 11] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT", // flushed between loading it and the call
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// What a server without a free connection says, under the code of all other errors.
const TOO_MANY_CLIENTS: &str = "max number of clients reached";

/// Whether the server has answered, and with a refusal; not if it is away.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some() || error.kind() == ErrorKind::AuthenticationFailed
}

/// Whether the user has no right to do this, be it for the command or for the key.
pub(super) fn is_want_of_right(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
}

/// Whether the same command may well succeed later, on a fresh connection.
pub(super) fn is_transient(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoScript, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io => true,
        ErrorKind::Server(
            BusyLoading | ClusterDown | MasterDown | NoScript | ReadOnly | TryAgain,
        ) => true,
        _ if error.is_connection_dropped() => true,
        _ if error.code().is_some_and(|code| NOT_NOW.contains(&code)) => true,
        // Before Redis 7, what a command inside a script answered came in the text: `… @user_script: 12: -READONLY You …`.
        _ => error.detail().is_some_and(|text| {
            text.contains(TOO_MANY_CLIENTS)
                || NOT_NOW
                    .iter()
                    .any(|code| text.contains(&format!("-{code} ")))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        let value = value.expect("an answer").extract_error();
        value.expect_err("an error")
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for passing in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "ERR max number of clients reached",
            "ERR Error running script: @user_script: 12: -OOM command not allowed when used memory > 'maxmemory'.",
        ] {
            assert!(is_transient(&answer(passing)), "{passing}");
            assert_eq!(words(&answer(passing)), passing);
        }
        for lasting in [
            "DENIED Redis is running in protected mode because …",
            "NOPERM User consumer has no permissions to run the 'blmove' command",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "ERR unknown command",
        ] {
            assert!(!is_transient(&answer(lasting)), "{lasting}");
            assert!(is_refusal(&answer(lasting)), "{lasting}");
        }
        let away: RedisError = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        assert!(is_transient(&away) && !is_refusal(&away));
    }
}
