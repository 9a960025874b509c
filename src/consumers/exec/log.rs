//! The log of a job: what its command has written, of which the begin and the end are kept.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::untrusted::{self, Bytes};

/// Bytes of the begin that are kept, and at least so many of the end; 10 MB at most in all.
const PART: u64 = 3 << 20;
/// Bytes up to which a log is in no file.
const SHORT: usize = 64 << 10;
/// Lines that the job itself keeps, and bytes of them.
const LAST_LINES: usize = 20;
const LAST_BYTES: usize = 4000;

/// One of the streams of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// The log of a job.
pub(super) struct Log {
    folder: PathBuf,
    /// The begin, as long as it is short: most logs never see a disk.
    short: Vec<u8>,
    /// What is longer: the begin; when it is full the end, in two parts of which the older one is given up for a new one.
    file: Option<File>,
    written: u64,
    parts: usize,
    cut: u64,
    last: VecDeque<String>,
    last_error: Option<String>,
}

/// The files of a log.
pub(super) struct LogFiles {
    short: Vec<u8>,
    begin: Option<PathBuf>,
    /// Bytes that are missing behind it.
    cut: u64,
    end: Vec<PathBuf>,
}

impl Log {
    /// An empty one, in files below this folder, which is made for the first line.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            short: Vec::new(),
            file: None,
            written: 0,
            parts: 0,
            cut: 0,
            last: VecDeque::new(),
            last_error: None,
        }
    }

    /// Adds a line with its time, and gives it as users know it. A disk that is full costs lines of the log, and nothing else.
    pub(super) fn add(&mut self, stream: Stream, line: &[u8]) -> String {
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
            .to_string();
        let stream_name = match stream {
            Stream::Out => "out",
            Stream::Error => "err",
        };
        let mut text = format!("{now} {stream_name} ").into_bytes();
        text.extend_from_slice(line);
        text.push(b'\n');
        let _ = self.write(&text);
        let known = self.without_folder(line);
        let shown = untrusted::message(&known).to_string();
        if stream == Stream::Error && !shown.trim().is_empty() {
            self.last_error = Some(shown);
        }
        self.last.push_back(untrusted::name(&known).to_string());
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
        known
    }

    /// A line in which files of the job are named as the command finds them in its folder: users know no other.
    fn without_folder(&self, line: &[u8]) -> String {
        let text = Bytes(line).to_string();
        match self.folder.parent().and_then(Path::to_str) {
            Some(folder) => text.replace(&format!("{folder}/"), ""),
            None => text,
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.short.len() + text.len() <= SHORT {
            self.short.extend_from_slice(text);
            return Ok(());
        }
        let short = std::mem::take(&mut self.short);
        if !short.is_empty() {
            fs::create_dir_all(&self.folder)?;
            self.append(&short)?;
        }
        self.append(text)
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.written > PART {
            // Of three parts of the end, the first is given up.
            if self.parts >= 3 {
                let old = part(&self.folder, self.parts - 2);
                self.cut += fs::metadata(&old)?.len();
                fs::remove_file(old)?;
            }
            self.file = Some(File::create(part(&self.folder, self.parts))?);
            self.parts += 1;
            self.written = 0;
        }
        self.written += text.len() as u64;
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(text))
    }

    /// The last line of the error stream that is not empty; of the other one if that has none.
    pub(super) fn last_words(&self) -> Option<&str> {
        let mut lines = self.last.iter().rev().map(String::as_str);
        let last_line = || lines.find(|line| !line.trim().is_empty());
        self.last_error.as_deref().or_else(last_line)
    }

    /// The last lines, for the job itself.
    pub(super) fn tail(&self) -> String {
        let mut kept = Vec::new();
        let mut bytes = 0;
        for line in self.last.iter().rev() {
            bytes += line.len() + 1;
            if bytes > LAST_BYTES {
                break;
            }
            kept.push(line.as_str());
        }
        kept.reverse();
        kept.join("\n")
    }

    /// The files that have it, for reading.
    pub(super) fn files(&self) -> LogFiles {
        let kept = self.parts.saturating_sub(2).max(1)..self.parts;
        LogFiles {
            short: self.short.clone(),
            begin: (self.parts > 0).then(|| part(&self.folder, 0)),
            cut: self.cut,
            end: kept.map(|number| part(&self.folder, number)).collect(),
        }
    }
}

impl LogFiles {
    /// The whole log, but for what was cut out of the middle.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut all = self.short.clone();
        if let Some(begin) = &self.begin {
            all.extend(fs::read(begin)?);
        }
        if self.cut > 0 {
            all.extend_from_slice(format!("… {} bytes are left out …\n", self.cut).as_bytes());
        }
        for file in &self.end {
            all.extend(fs::read(file)?);
        }
        Ok(all)
    }
}

fn part(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("log-{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_and_end_are_kept_however_much_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::new(folder.path());
        let line = [b'x'; 1000];
        log.add(Stream::Out, b"the begin");
        for _ in 0..40_000 {
            log.add(Stream::Out, &line);
        }
        let job = folder.path().parent().expect("a folder").display();
        log.add(
            Stream::Error,
            format!("{job}/input/a.tif: oh \x1b[2J no").as_bytes(),
        );
        log.add(Stream::Error, b" ");
        let text = log.files().read().expect("files");
        assert!(
            (6 << 20..10 << 20).contains(&text.len()),
            "{} bytes",
            text.len()
        );
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.lines()
                .next()
                .expect("a line")
                .ends_with(" out the begin")
        );
        assert!(text.contains("bytes are left out") && text.ends_with(" err  \n"));
        assert_eq!(log.last_words(), Some("input/a.tif: oh \\x1b[2J no"));
        assert!(log.tail().len() <= LAST_BYTES && log.tail().contains("oh \\x1b[2J no"));
        let kept = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(kept, 3);
    }
}
