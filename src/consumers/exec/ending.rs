//! How a command can end, and what that means for its job.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::settings::{Codes, Mode};
use crate::error_class::{ErrorClass, error_of};

/// A failure in the words of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    class: String,
    text: String,
}

/// How the work of a command on a job has ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// By itself, perhaps after it had told of a failure.
    Exited(ExitStatus, Option<Told>),
    /// A persistent command has answered that the job is done.
    Done,
    /// It has answered that the job has failed.
    Failed(Told),
    /// It took longer than this.
    Overdue(Duration),
    /// Its processes took so much memory, in bytes, and may take so much.
    Memory(u64, u64),
    /// The same of the disk.
    Disk(u64, u64),
}

/// What becomes of a job.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The outputs are its result.
    Worked,
    Failed(anyhow::Error),
    /// No job can be worked: this is why.
    NotRunnable(String),
}

/// Words for failures that a command may use.
const CLASSES: [(&str, ErrorClass); 5] = [
    ("invalid_input", ErrorClass::InvalidInput),
    ("unsupported", ErrorClass::Unsupported),
    ("too_large", ErrorClass::TooLarge),
    ("unavailable", ErrorClass::Unavailable),
    ("internal", ErrorClass::Internal),
];

impl Ending {
    /// What it means; `last` is the last line of the command's errors.
    pub(super) fn verdict(self, mode: Mode, last: Option<&str>, retry: &Codes) -> Verdict {
        Verdict::Failed(match self {
            Self::Done => return Verdict::Worked,
            Self::Failed(told) => told.into_error(),
            Self::Exited(status, told) => {
                let verdict = exited(status, told, last, retry);
                return match mode {
                    Mode::Once => verdict,
                    Mode::Persistent => without_answer(verdict),
                };
            }
            Self::Overdue(limit) => {
                let text = format!(
                    "the command was still running after {} s",
                    limit.as_secs_f64()
                );
                error_of(ErrorClass::Deadline, text)
            }
            Self::Memory(taken, limit) => {
                too_large("memory", (taken, limit), "EXEC_MEMORY, rc_memory")
            }
            Self::Disk(taken, limit) => too_large("disk", (taken, limit), "EXEC_DISK"),
        })
    }
}

impl Told {
    pub(super) fn new(class: &str, text: &str) -> Self {
        let (class, text) = (class.to_owned(), text.to_owned());
        Self { class, text }
    }

    fn into_error(self) -> anyhow::Error {
        let Self { class, text } = self;
        match CLASSES.iter().find(|(word, _)| *word == class) {
            Some((_, class)) if !text.is_empty() => error_of(*class, text),
            Some((word, class)) => error_of(*class, format!("the command says {word}")),
            None => error_of(ErrorClass::Internal, format!("{class} {text}")),
        }
    }
}

fn exited(status: ExitStatus, told: Option<Told>, last: Option<&str>, retry: &Codes) -> Verdict {
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or(0);
        let text = format!("the command was ended by signal {signal}{}", with(last));
        return Verdict::Failed(error_of(ErrorClass::Crash, text));
    };
    if let Some(told) = told {
        return Verdict::Failed(told.into_error());
    }
    let text = format!("exit status {code}{}", with(last));
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    let class = match code {
        0 => return Verdict::Worked,
        _ if retry.contain(code) => ErrorClass::Unavailable,
        65 | 66 => ErrorClass::InvalidInput,
        69 | 75 => ErrorClass::Unavailable,
        64 | 78 | 126 | 127 => return Verdict::NotRunnable(text),
        _ => ErrorClass::Internal,
    };
    Verdict::Failed(error_of(class, text))
}

/// A persistent command that ends owes an answer, whatever its exit status.
fn without_answer(verdict: Verdict) -> Verdict {
    let text = "the command ended without an answer";
    match verdict {
        Verdict::Worked => Verdict::Failed(error_of(ErrorClass::Crash, text.to_owned())),
        Verdict::Failed(error) => {
            Verdict::Failed(error_of(ErrorClass::Crash, format!("{text}: {error}")))
        }
        Verdict::NotRunnable(why) => Verdict::NotRunnable(why),
    }
}

/// More bytes of something were taken than its setting allows.
fn too_large(what: &str, (taken, limit): (u64, u64), setting: &str) -> anyhow::Error {
    let [taken, limit] = [taken, limit].map(|bytes| bytes.div_ceil(1 << 20));
    let text =
        format!("the command took {taken} MiB of {what}, and may take {limit} MiB ({setting})");
    error_of(ErrorClass::TooLarge, text)
}

fn with(last: Option<&str>) -> String {
    last.map_or_else(String::new, |last| format!(": {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_report;

    /// The class of what a status means, or a word for what else it means.
    fn meaning(raw: i32, said: Option<(&str, &str)>) -> String {
        let retry: Codes = "9,100-110".parse().expect("codes");
        let told = said.map(|(class, text)| Told::new(class, text));
        let ending = Ending::Exited(ExitStatus::from_raw(raw), told);
        match ending.verdict(Mode::Once, Some("oh no"), &retry) {
            Verdict::Worked => "worked".to_owned(),
            Verdict::NotRunnable(_) => "not runnable".to_owned(),
            Verdict::Failed(error) => format!("{}: {error}", error_report::class(&error)),
        }
    }

    #[test]
    fn statuses_mean_what_the_documents_say() {
        let code = |code: i32| meaning(code << 8, None);
        assert_eq!(code(0), "worked");
        assert_eq!(code(1), "internal: exit status 1: oh no");
        assert_eq!(code(65), "invalid_input: exit status 65: oh no");
        assert_eq!(code(66), "invalid_input: exit status 66: oh no");
        for retried in [69, 75, 9, 105] {
            assert!(code(retried).starts_with("unavailable: "), "{retried}");
        }
        for broken in [64, 78, 126, 127] {
            assert_eq!(code(broken), "not runnable", "{broken}");
        }
        assert_eq!(
            meaning(9, None),
            "crash: the command was ended by signal 9: oh no"
        );
        let said = Some(("invalid_input", "a.tif is empty"));
        assert_eq!(meaning(0, said), "invalid_input: a.tif is empty");
        assert_eq!(
            meaning(1 << 8, Some(("strange", "thing"))),
            "internal: strange thing"
        );
    }
}
