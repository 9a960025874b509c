//! Log lines: which are written, and in which form.

use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::settings::{Loader, Switch, Word};
use crate::traces::{self, Traces};

crate::settings! {
    /// Log lines.
    struct LogVariables {
        /// What is logged: `ERROR`, `WARN`, `INFO` or `DEBUG`, each with those before it.
        log_level: Option<String> = None => "that of `DEBUG`, else `DEBUG`",
        /// Counts if `LOG_LEVEL` is not set: on is `DEBUG`, off is `INFO`.
        debug: Option<Switch> = None,
        /// Form of log lines: `human` or `json`.
        log_format: Word<LogFormat> = Word(LogFormat::Human),
    }
}

/// How much is logged, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSettings {
    level: Level,
    format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogFormat {
    Human,
    Json,
}

impl LogSettings {
    /// Loads `LOG_LEVEL`, `LOG_FORMAT` and `DEBUG`.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: LogVariables = loader.load();
        Self {
            level: variables.level(loader),
            format: variables.log_format.0,
        }
    }

    /// Sends log lines to standard error from now on, and spans where traces go.
    pub(crate) fn start(self, traces: &Traces) {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match self.format {
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
            LogFormat::Human => lines
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
        };
        let wanted = Targets::new()
            .with_default(Level::WARN)
            .with_target("redis_consumer", self.level);
        let traced = Targets::new().with_target(traces::TARGET, Level::INFO);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(wanted));
        // A second start within one process (tests of a user's binary) keeps the first one's.
        let _ = subscriber
            .with(traces.layer().map(|layer| layer.with_filter(traced)))
            .try_init();
    }
}

impl LogVariables {
    /// A word that is not a level means `DEBUG`, as it always has.
    fn level(&self, loader: &mut Loader<'_>) -> Level {
        let level = match (&self.log_level, self.debug) {
            (Some(word), _) => match word.to_uppercase().as_str() {
                "CRITICAL" | "ERROR" => Level::ERROR,
                "WARN" | "WARNING" => Level::WARN,
                "INFO" => Level::INFO,
                _ => Level::DEBUG,
            },
            (None, Some(Switch(false))) => Level::INFO,
            (None, Some(Switch(true)) | None) => Level::DEBUG,
        };
        match (&self.log_level, self.debug) {
            (None, Some(_)) => loader.derive_from("DEBUG", "LOG_LEVEL", level),
            _ => loader.derive("LOG_LEVEL", level),
        }
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    fn level(pairs: &[(&str, &str)]) -> Level {
        let env: Env = pairs.iter().copied().collect();
        LogSettings::load(&mut Loader::new(&env)).level
    }

    #[test]
    fn the_level_is_that_of_log_level_and_otherwise_of_debug() {
        assert_eq!(level(&[]), Level::DEBUG);
        assert_eq!(level(&[("DEBUG", "False")]), Level::INFO);
        assert_eq!(level(&[("DEBUG", "")]), Level::INFO);
        assert_eq!(level(&[("DEBUG", "yes")]), Level::DEBUG);
        assert_eq!(
            level(&[("LOG_LEVEL", "warning"), ("DEBUG", "1")]),
            Level::WARN
        );
        assert_eq!(level(&[("LOG_LEVEL", "everything")]), Level::DEBUG);
    }
}
