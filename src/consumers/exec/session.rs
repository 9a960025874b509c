//! A command that works jobs: one, or one after the other.

use std::io;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use super::bounds::{Bounds, Deadline};
use super::ending::{Ending, Told};
use super::lines::{LineReader, Word, word_of};
use super::log::{Log, Stream};
use super::settings::Mode;
use super::usage::Usage;
use crate::process::{Running, Start};

/// Lines that wait to be heard, of both streams together.
const LINES: usize = 256;
/// How long the last lines of a command that has ended are waited for.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How often the last lines of one that works are told, if there are new ones.
const TAIL: Duration = Duration::from_secs(2);

/// A command that runs, and what it says.
pub(super) struct Session {
    running: Running,
    lines: mpsc::Receiver<(Stream, Vec<u8>)>,
    /// Jobs on their way to its standard input, which ends with this.
    stdin: Option<mpsc::Sender<String>>,
    /// Jobs that it has answered.
    pub(super) jobs: u64,
    is_ready: bool,
    /// A failure that it has told of its job without ending it.
    told: Option<Told>,
}

/// Who is told what a command says while it works.
pub(super) trait Listener: Send {
    /// A line of its log.
    fn line(&mut self, text: &str);

    /// How much is done, in per cent, and a text beside it, which may be empty.
    fn progress(&mut self, percent: u64, note: &str);

    /// The last lines of its log while it works; those at its end are not told here.
    fn tail(&mut self, lines: &str);
}

impl Session {
    /// Starts a command, which gets SIGTERM and this much time when it has to end.
    pub(super) fn start(start: &Start<'_>, grace: Duration) -> io::Result<Self> {
        let mut running = start.start()?.with_grace(grace);
        let (stdin, stdout, stderr) = running
            .streams()
            .ok_or_else(|| io::Error::other("the command has no streams"))?;
        let (said, lines) = mpsc::channel(LINES);
        tokio::spawn(hear_all(stdout, Stream::Out, said.clone()));
        tokio::spawn(hear_all(stderr, Stream::Error, said));
        let (sender, jobs) = mpsc::channel(1);
        tokio::spawn(give_all(stdin, jobs));
        Ok(Self {
            running,
            lines,
            stdin: Some(sender),
            jobs: 0,
            is_ready: false,
            told: None,
        })
    }

    /// Gives the command a job, and follows it to its end.
    pub(super) async fn work(
        &mut self,
        line: &str,
        bounds: &Bounds<'_>,
        log: &mut Log,
        listener: &mut dyn Listener,
    ) -> io::Result<Ending> {
        self.told = None;
        self.give(line, bounds.mode);
        let mut deadline = Deadline::new(bounds, self.is_ready);
        let mut usage = Usage::new(bounds);
        let mut tail = interval_at(Instant::now() + TAIL, TAIL);
        let mut has_new_lines = false;
        loop {
            tokio::select! {
                Some((stream, line)) = self.lines.recv() => {
                    let text = log.add(stream, &line);
                    has_new_lines = true;
                    if let Some(ending) = self.hear(&text, bounds, listener) {
                        return Ok(ending);
                    }
                    deadline.ready(bounds, self.is_ready);
                }
                status = self.running.wait() => {
                    let status = status?;
                    let answer = self.hear_last(bounds, log, listener).await;
                    return Ok(answer.unwrap_or(Ending::Exited(status, self.told.take())));
                }
                () = usage.due() => {
                    if let Some(ending) = usage.look(&self.running, bounds).await {
                        return Ok(ending);
                    }
                }
                _ = tail.tick() => {
                    if std::mem::take(&mut has_new_lines) {
                        listener.tail(&log.tail());
                    }
                }
                () = deadline.passed() => return Ok(Ending::Overdue(deadline.limit)),
            }
        }
    }

    /// Sends a job, the only one unless there are more to come.
    fn give(&mut self, line: &str, mode: Mode) {
        if let Some(stdin) = &self.stdin {
            // One whose input has ended reads no jobs, and may work all the same.
            let _ = stdin.try_send(format!("{line}\n"));
        }
        if mode == Mode::Once {
            self.stdin = None;
        }
    }

    /// The end of the job, if a line says so.
    fn hear(
        &mut self,
        text: &str,
        bounds: &Bounds<'_>,
        listener: &mut dyn Listener,
    ) -> Option<Ending> {
        listener.line(text);
        if let Some(percent) = bounds.progress.and_then(|regex| progress_in(regex, text)) {
            listener.progress(percent, "");
        }
        let is_persistent = bounds.mode == Mode::Persistent;
        let ending = match word_of(text, bounds.id)? {
            Word::Progress(percent, note) => {
                listener.progress(percent, &note);
                return None;
            }
            Word::Ready => {
                self.is_ready = true;
                return None;
            }
            Word::Done => Ending::Done,
            Word::Fail(told) if is_persistent => Ending::Failed(told),
            Word::Fail(told) => {
                self.told = Some(told);
                return None;
            }
        };
        // Once, the exit status decides.
        is_persistent.then(|| {
            (self.is_ready, self.jobs) = (true, self.jobs + 1);
            ending
        })
    }

    /// What the command has still said before its end.
    async fn hear_last(
        &mut self,
        bounds: &Bounds<'_>,
        log: &mut Log,
        listener: &mut dyn Listener,
    ) -> Option<Ending> {
        let last = async {
            let mut answer = None;
            while let Some((stream, line)) = self.lines.recv().await {
                let text = log.add(stream, &line);
                answer = answer.or(self.hear(&text, bounds, listener));
            }
            answer
        };
        tokio::time::timeout(LAST_LINES, last).await.unwrap_or(None)
    }

    /// Whether it can take another job.
    pub(super) fn is_alive(&mut self) -> bool {
        self.stdin.as_ref().is_some_and(|stdin| !stdin.is_closed()) && self.running.is_alive()
    }

    /// Ends it at once.
    pub(super) async fn kill(mut self) {
        self.running = self.running.with_grace(Duration::ZERO);
        self.end().await;
    }

    /// Ends it, and waits for that.
    pub(super) async fn end(self) {
        drop((self.stdin, self.lines));
        self.running.end().await;
    }
}

/// Reads a stream to its end, so that a full pipe never blocks the command for good.
async fn hear_all(
    stream: impl AsyncRead + Unpin,
    which: Stream,
    said: mpsc::Sender<(Stream, Vec<u8>)>,
) {
    let mut reader = LineReader::new(stream);
    while let Some(line) = reader.next().await {
        if said.send((which, line)).await.is_err() {
            return;
        }
    }
}

/// Writes jobs until there are no more, or nobody reads them.
async fn give_all(mut stdin: ChildStdin, mut jobs: mpsc::Receiver<String>) {
    while let Some(line) = jobs.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The progress in per cent that a line tells in the words of the program.
fn progress_in(regex: &Regex, line: &str) -> Option<u64> {
    let number = regex.captures(line.as_bytes())?.get(1)?;
    let number = std::str::from_utf8(number.as_bytes()).ok()?;
    let percent: f64 = number.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u64)
}
