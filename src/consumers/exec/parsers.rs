//! What reads bytes of others, for those who search for bytes that break it.

use std::ffi::{OsStr, OsString};

use futures::FutureExt as _;

use super::command::{Command, Values};
use super::lines::{LineReader, Word, word_of};

/// The words of a command for a job with one input of this name, and with this value in all its fields.
///
/// # Errors
///
/// What is wrong with the command, or with the value.
pub fn words(command: &str, name: &str, value: &str) -> Result<Vec<OsString>, String> {
    Command::parse(command)?.words(&Values {
        inputs: vec![OsStr::new(name)],
        output: OsStr::new("output"),
        job: OsStr::new("job.json"),
        name,
        field: &|_| Some(value.to_owned()),
    })
}

/// The lines of what a command has said.
pub fn lines(said: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = LineReader::new(said);
    let mut lines = Vec::new();
    // Bytes are there at once.
    while let Some(line) = reader.next().now_or_never().flatten() {
        lines.push(line);
    }
    lines
}

/// What a line means for the job of this id.
pub fn meaning(line: &str, id: &str) -> Option<Meaning> {
    word_of(line, id).map(|word| match word {
        Word::Progress(percent, _) => Meaning::Progress(percent),
        Word::Ready => Meaning::Ready,
        Word::Done | Word::Fail(_) => Meaning::End,
    })
}

/// What a line can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// So much is done, in per cent.
    Progress(u64),
    /// The command is loaded.
    Ready,
    /// The job is over.
    End,
}
