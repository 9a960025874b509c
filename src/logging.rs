//! Log lines: which are written, and in which form. What users and peers have written is escaped and cut in every form.

mod human;
mod json;

use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use self::human::HumanFields;
use self::json::{JsonFields, JsonLines};
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
        let lines = self.format.lines(std::io::stderr);
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

impl LogFormat {
    /// Writes events in this form.
    fn lines<S, W>(self, writer: W) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
        match self {
            Self::Json => lines.fmt_fields(JsonFields).event_format(JsonLines).boxed(),
            Self::Human => lines
                .fmt_fields(HumanFields)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
        }
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
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::Value;
    use tracing::{info, info_span, warn};

    use super::*;
    use crate::settings::Env;
    use crate::wire::JobKey;

    /// Where log lines go in tests.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a job whose key and errors are a hostile user's.
    fn lines_of_a_hostile_job(format: LogFormat) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = format.lines(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        let forged = "a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u{202e}gpj\u{9b}2J";
        tracing::subscriber::with_default(subscriber, || {
            let key = JobKey(format!("q:{forged}{}:1", "k".repeat(200_000)).into_bytes());
            let _span = info_span!("job", job.key = %key, queue = "q", file = forged).entered();
            info!(
                crashes = 2_u64,
                share = 0.5,
                is_last = true,
                "claimed a job"
            );
            warn!(error = %forged, text = forged, debugged = ?forged, "no such file: {forged}");
        });
        let bytes = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("lines are text")
    }

    fn assert_harmless(lines: &str) {
        assert_eq!(lines.lines().count(), 2, "one line an event: {lines}");
        assert!(!lines.contains(['\x1b', '\u{202e}', '\u{9b}']), "{lines:?}");
        assert!(lines.len() < 4000, "{} bytes", lines.len());
    }

    #[test]
    fn text_of_users_is_harmless_in_lines_for_people() {
        let lines = lines_of_a_hostile_job(LogFormat::Human);
        assert_harmless(&lines);
        assert!(!lines.lines().any(|line| line.starts_with("2026-01-01")));
        let expected =
            r"WARN job{job.key=q:a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u{202e}gpj\u{9b}2Jkkk";
        assert!(lines.contains(expected), "{lines}");
        assert!(
            lines.contains("claimed a job crashes=2 share=0.5 is_last=true"),
            "{lines}"
        );
    }

    #[test]
    fn text_of_users_is_harmless_in_lines_for_programs() {
        let lines = lines_of_a_hostile_job(LogFormat::Json);
        assert_harmless(&lines);
        let events: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is an object"))
            .collect();
        let [claimed, refused] = events.as_slice() else {
            panic!("{lines}")
        };
        assert_eq!(claimed["message"], "claimed a job");
        assert_eq!(
            (&claimed["crashes"], &claimed["share"], &claimed["is_last"]),
            (&2.into(), &0.5.into(), &true.into())
        );
        assert_eq!(
            (&claimed["level"], &refused["level"]),
            (&"INFO".into(), &"WARN".into())
        );
        assert!(
            claimed["timestamp"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z'))
        );
        assert!(
            claimed["target"]
                .as_str()
                .is_some_and(|it| it.starts_with("redis_consumer::"))
        );
        assert_eq!(
            (&claimed["span"]["name"], &claimed["span"]["queue"]),
            (&"job".into(), &"q".into())
        );
        assert_eq!(claimed["spans"][0], claimed["span"]);
        assert_eq!(
            refused["error"],
            r"a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u{202e}gpj\u{9b}2J"
        );
    }

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
