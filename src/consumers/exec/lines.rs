//! What a command says: lines of both its streams, of which those that bear the id of the job mean something.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::ending::Told;

/// The longest line that is kept; what is longer is cut.
const LONGEST: usize = 64 << 10;
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// The longest text beside the progress.
const NOTE: usize = 200;

/// Something that a line means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// So much of the work is done, in per cent.
    Progress(u64, String),
    Done,
    Fail(Told),
    /// A warm command has been loaded.
    Ready,
}

/// What a line means for the job of this id; mostly nothing. The words may stand anywhere in the line.
pub(super) fn word_of(line: &str, id: &str) -> Option<Word> {
    let mut rest = line;
    while let Some(at) = rest.find("::") {
        rest = &rest[at + 2..];
        if let Some(word) = word_at(rest, id) {
            return Some(word);
        }
    }
    None
}

fn word_at(text: &str, id: &str) -> Option<Word> {
    let (verb, rest) = split_word(text);
    if verb == "ready" {
        return rest.trim().is_empty().then_some(Word::Ready);
    }
    let (whose, rest) = split_word(rest);
    if whose != id || id.is_empty() {
        return None;
    }
    match verb {
        "progress" => {
            let (number, text) = split_word(rest);
            let percent: f64 = number.trim_end_matches('%').parse().ok()?;
            // Nothing that is no number gets through, as it would not be in any range.
            (0.0..=100.0).contains(&percent).then(|| {
                let note = text.trim().chars().take(NOTE).collect();
                Word::Progress(percent as u64, note)
            })
        }
        "done" => Some(Word::Done),
        "fail" => {
            let (class, text) = split_word(rest);
            Some(Word::Fail(Told::new(class, text.trim())))
        }
        _ => None,
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(' ');
    text.split_once(' ').unwrap_or((text, ""))
}

/// Splits a stream into lines: at line feeds, and at carriage returns, with which programs show their progress.
pub(super) struct LineReader<R> {
    stream: R,
    piece: Vec<u8>,
    /// Of the piece, what has not been looked at.
    at: usize,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            piece: Vec::new(),
            at: 0,
            line: Vec::new(),
        }
    }

    /// The next line that is not empty, without its end; nothing after the last. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            while self.at < self.piece.len() {
                let rest = &self.piece[self.at..];
                let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                let part = &rest[..end.unwrap_or(rest.len())];
                let room = LONGEST.saturating_sub(self.line.len());
                self.line.extend_from_slice(&part[..part.len().min(room)]);
                self.at += part.len() + usize::from(end.is_some());
                if end.is_some() && !self.line.is_empty() {
                    return Some(std::mem::take(&mut self.line));
                }
            }
            self.at = 0;
            self.piece.resize(PIECE, 0);
            let read = self.stream.read(&mut self.piece).await.unwrap_or(0);
            self.piece.truncate(read);
            if read == 0 {
                let last = std::mem::take(&mut self.line);
                return (!last.is_empty()).then_some(last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f3a6c0d9b1e2f47";

    fn word(line: &str) -> Option<Word> {
        word_of(line, ID)
    }

    #[test]
    fn words_bear_the_id_of_the_job() {
        let progress = |percent, note: &str| Some(Word::Progress(percent, note.to_owned()));
        assert_eq!(
            word("::progress 8f3a6c0d9b1e2f47 50 counting cells"),
            progress(50, "counting cells")
        );
        assert_eq!(
            word("12:00 INFO ::progress 8f3a6c0d9b1e2f47 7.9"),
            progress(7, "")
        );
        assert_eq!(word("::::done 8f3a6c0d9b1e2f47"), Some(Word::Done));
        assert_eq!(
            word("a.tif::progress ::done 8f3a6c0d9b1e2f47"),
            Some(Word::Done)
        );
        assert_eq!(
            word("::fail 8f3a6c0d9b1e2f47 invalid_input a.tif is empty"),
            Some(Word::Fail(Told::new("invalid_input", "a.tif is empty")))
        );
        assert_eq!(word("loaded ::ready"), Some(Word::Ready));
        for line in [
            "::done",
            "::done 0000000000000000",
            "::DONE 8f3a6c0d9b1e2f47",
            "::progress 8f3a6c0d9b1e2f47 101",
            "::progress 8f3a6c0d9b1e2f47 nan",
            "::progress 8f3a6c0d9b1e2f47",
            ":done 8f3a6c0d9b1e2f47",
            "::ready or not",
        ] {
            assert_eq!(word(line), None, "{line}");
        }
        assert_eq!(word_of("::done ", ""), None);
    }

    #[tokio::test]
    async fn lines_end_at_both_ends_and_are_cut() {
        let long = "x".repeat(LONGEST + 5);
        let text = format!("a\r\n\n10%\r20%\r{long}\nlast");
        let mut reader = LineReader::new(text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(line);
        }
        let lengths: Vec<_> = lines.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 3, 3, LONGEST, 4]);
    }
}
