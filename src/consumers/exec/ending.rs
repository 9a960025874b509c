//! How a command can end, and what that means for its job.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::settings::Codes;
use crate::error_class::{ErrorClass, WithClass as _};

/// How the work of a command on a job has ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// By itself.
    Exited(ExitStatus),
    /// A warm command has said that the job is done.
    Done,
    /// It has said that the job has failed: class and text.
    Failed(String, String),
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
    /// What it means; `said` is a failure that the command has told before it ended, `last` the last line of its errors.
    pub(super) fn verdict(
        self,
        said: Option<(String, String)>,
        last: Option<&str>,
        retry: &Codes,
    ) -> Verdict {
        let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
        Verdict::Failed(match self {
            Self::Done => return Verdict::Worked,
            Self::Failed(class, text) => told(&class, &text),
            Self::Exited(status) => return exited(status, said, last, retry),
            Self::Overdue(limit) => {
                let text = format!(
                    "the command was still running after {} s",
                    limit.as_secs_f64()
                );
                failure(ErrorClass::Deadline, text)
            }
            Self::Memory(peak, limit) => {
                let (peak, limit) = (megabytes(peak), megabytes(limit));
                failure(
                    ErrorClass::TooLarge,
                    format!(
                        "the command took {peak} MiB of memory, and may take {limit} MiB (EXEC_MEMORY, rc_memory)"
                    ),
                )
            }
            Self::Disk(size, limit) => {
                let (size, limit) = (megabytes(size), megabytes(limit));
                failure(
                    ErrorClass::TooLarge,
                    format!(
                        "the files of the command took {size} MiB, and may take {limit} MiB (EXEC_DISK)"
                    ),
                )
            }
        })
    }
}

fn exited(
    status: ExitStatus,
    said: Option<(String, String)>,
    last: Option<&str>,
    retry: &Codes,
) -> Verdict {
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or(0);
        let text = format!("the command was ended by signal {signal}{}", with(last));
        return Verdict::Failed(failure(ErrorClass::Crash, text));
    };
    if let Some((class, text)) = said {
        return Verdict::Failed(told(&class, &text));
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
    Verdict::Failed(failure(class, text))
}

/// A failure in the words of the command.
fn told(class: &str, text: &str) -> anyhow::Error {
    let known = CLASSES.iter().find(|(word, _)| *word == class);
    match known {
        Some((_, class)) if !text.is_empty() => failure(*class, text.to_owned()),
        Some((word, class)) => failure(*class, format!("the command says {word}")),
        None => failure(
            ErrorClass::Internal,
            format!("{class} {text}").trim().to_owned(),
        ),
    }
}

fn with(last: Option<&str>) -> String {
    last.map_or_else(String::new, |last| format!(": {last}"))
}

pub(super) fn failure(class: ErrorClass, text: String) -> anyhow::Error {
    let failed: anyhow::Result<()> = Err(anyhow::Error::msg(text)).with_class(class);
    match failed {
        Err(error) => error,
        Ok(()) => unreachable!("it has failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_report;

    /// The class of what a status means, or a word for what else it means.
    fn meaning(raw: i32, said: Option<(&str, &str)>) -> String {
        let retry: Codes = "9,100-110".parse().expect("codes");
        let said = said.map(|(class, text)| (class.to_owned(), text.to_owned()));
        let ending = Ending::Exited(ExitStatus::from_raw(raw));
        match ending.verdict(said, Some("oh no"), &retry) {
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
