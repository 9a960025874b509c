//! A command that works jobs: one, or one after the other.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::ending::Ending;
use super::lines::{LineReader, Word, word_of};
use super::log::{Log, Stream};
use super::scratch;
use super::settings::Mode;
use crate::process::{Running, Start};
use crate::untrusted;

/// Lines that wait to be read, of both streams together.
const LINES: usize = 256;
/// How often memory is looked at; near the limit …
const MEMORY_LOOK: Duration = Duration::from_millis(500);
/// … this often: above so many per cent of it.
const MEMORY_LOOK_NEAR: Duration = Duration::from_millis(100);
const NEAR_PERCENT: u64 = 80;
/// How often the disk is looked at.
const DISK_LOOK: Duration = Duration::from_secs(5);
/// How long the last lines of a command that has ended are waited for.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A command that runs, and what it says.
pub(super) struct Session {
    running: Running,
    lines: mpsc::Receiver<(Stream, Vec<u8>)>,
    stdin: Option<ChildStdin>,
    /// Jobs that it has ended.
    pub(super) jobs: u64,
    pub(super) is_ready: bool,
}

/// What a command is held to while it works a job.
pub(super) struct Bounds<'a> {
    pub(super) id: &'a str,
    pub(super) mode: Mode,
    pub(super) timeout: Option<Duration>,
    /// Beside the time, until it is ready.
    pub(super) ready: Duration,
    /// Bytes of memory; 0 is no limit.
    pub(super) memory: u64,
    pub(super) disk: u64,
    pub(super) folder: &'a Path,
    pub(super) progress: Option<&'a Regex>,
}

/// What a command has said beside its end.
pub(super) struct Said<'a> {
    pub(super) log: &'a mut Log,
    /// A failure that was told before the end.
    pub(super) failure: Option<(String, String)>,
    pub(super) on_progress: &'a mut (dyn FnMut(u64, &str) + Send),
}

impl Session {
    /// Starts a command, which gets SIGTERM and this much time when it has to end.
    pub(super) fn start(start: &Start<'_>, grace: Duration) -> io::Result<Self> {
        let mut running = start.start()?.with_grace(grace);
        let (stdin, stdout, stderr) = running
            .streams()
            .ok_or_else(|| io::Error::other("the command has no streams"))?;
        let (sender, lines) = mpsc::channel(LINES);
        let errors = sender.clone();
        tokio::spawn(async move {
            let mut reader = LineReader::new(stdout);
            while let Some(line) = reader.next().await {
                if sender.send((Stream::Out, line)).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let mut reader = LineReader::new(stderr);
            while let Some(line) = reader.next().await {
                if errors.send((Stream::Error, line)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            running,
            lines,
            stdin: Some(stdin),
            jobs: 0,
            is_ready: false,
        })
    }

    /// Gives the command a job on its standard input, which ends then unless there are more jobs to come. A command that reads
    /// no jobs is as good.
    async fn give(&mut self, line: &str, mode: Mode) {
        let Some(stdin) = &mut self.stdin else {
            return;
        };
        let sent = stdin.write_all(format!("{line}\n").as_bytes()).await;
        let is_over = sent.is_err() || stdin.flush().await.is_err() || mode == Mode::Once;
        if is_over {
            self.stdin = None;
        }
    }

    /// Gives the command a job, and follows it to its end.
    pub(super) async fn work(
        &mut self,
        line: &str,
        bounds: &Bounds<'_>,
        said: &mut Said<'_>,
    ) -> io::Result<Ending> {
        let began = Instant::now();
        let deadline = |is_ready: bool| {
            let loading = if is_ready || bounds.mode == Mode::Once {
                Duration::ZERO
            } else {
                bounds.ready
            };
            bounds.timeout.map(|timeout| timeout + loading)
        };
        let mut limit = deadline(self.is_ready);
        let mut memory = interval(MEMORY_LOOK);
        let mut disk = interval(DISK_LOOK);
        for ticks in [&mut memory, &mut disk] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
        }
        let mut is_near = false;
        let mut has_lines = true;
        // A pipe takes 64 kB at once; a job that is longer is written while the command reads.
        let mut given = Some(line);
        loop {
            let late = limit.map(|limit| limit.saturating_sub(began.elapsed()));
            let is_given = given.is_none();
            let overdue = async {
                match late {
                    Some(late) => tokio::time::sleep(late).await,
                    None => std::future::pending().await,
                }
            };
            if !is_given {
                let line = given.take().unwrap_or_default();
                let giving = self.give(line, bounds.mode);
                tokio::select! {
                    () = giving => continue,
                    () = overdue => return Ok(self.overdue(bounds)),
                }
            }
            tokio::select! {
                line = self.lines.recv(), if has_lines => match line {
                    None => has_lines = false,
                    Some((stream, line)) => {
                        let was_ready = self.is_ready;
                        if let Some(ending) = self.hear(stream, &line, bounds, said) {
                            return Ok(ending);
                        }
                        if self.is_ready && !was_ready {
                            limit = bounds.timeout.map(|timeout| timeout + began.elapsed());
                        }
                    }
                },
                status = self.running.wait() => {
                    let status = status?;
                    self.hear_last(bounds, said).await;
                    return Ok(Ending::Exited(status));
                }
                _ = memory.tick(), if bounds.memory > 0 => {
                    let taken = self.running.memory().await;
                    if taken > bounds.memory {
                        return Ok(Ending::Memory(taken, bounds.memory));
                    }
                    let was_near = std::mem::replace(&mut is_near, taken * 100 > bounds.memory.saturating_mul(NEAR_PERCENT));
                    if is_near != was_near {
                        memory = interval(if is_near { MEMORY_LOOK_NEAR } else { MEMORY_LOOK });
                        memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
                        memory.reset();
                    }
                }
                _ = disk.tick() => {
                    let folder = bounds.folder.to_owned();
                    let taken = tokio::task::spawn_blocking(move || scratch::size(&folder)).await.unwrap_or(0);
                    if taken > bounds.disk {
                        return Ok(Ending::Disk(taken, bounds.disk));
                    }
                }
                () = overdue => return Ok(self.overdue(bounds)),
            }
        }
    }

    fn overdue(&self, bounds: &Bounds<'_>) -> Ending {
        let timeout = bounds.timeout.unwrap_or_default();
        Ending::Overdue(if self.is_ready || bounds.mode == Mode::Once {
            timeout
        } else {
            timeout + bounds.ready
        })
    }

    /// The end of the job, if a line says so.
    fn hear(
        &mut self,
        stream: Stream,
        line: &[u8],
        bounds: &Bounds<'_>,
        said: &mut Said<'_>,
    ) -> Option<Ending> {
        let text = said.log.add(stream, line);
        tracing::debug!(line = %untrusted::message(&text), "the command says");
        if let Some(percent) = bounds.progress.and_then(|regex| progress_in(regex, line)) {
            (said.on_progress)(percent, "");
        }
        let is_warm = bounds.mode == Mode::Persistent;
        match word_of(&text, bounds.id)? {
            Word::Progress(percent, note) => (said.on_progress)(percent, &note),
            Word::Ready => self.is_ready = true,
            Word::Done if is_warm => {
                (self.is_ready, self.jobs) = (true, self.jobs + 1);
                return Some(Ending::Done);
            }
            Word::Fail(class, text) if is_warm => {
                (self.is_ready, self.jobs) = (true, self.jobs + 1);
                return Some(Ending::Failed(class, text));
            }
            Word::Done => {}
            Word::Fail(class, text) => said.failure = Some((class, text)),
        }
        None
    }

    /// What the command has still said before its end.
    async fn hear_last(&mut self, bounds: &Bounds<'_>, said: &mut Said<'_>) {
        let all = async {
            while let Some((stream, line)) = self.lines.recv().await {
                let (class, text) = match self.hear(stream, &line, bounds, said) {
                    Some(Ending::Failed(class, text)) => (class, text),
                    _ => continue,
                };
                said.failure = Some((class, text));
            }
        };
        let _ = tokio::time::timeout(LAST_LINES, all).await;
    }

    /// Whether it can take another job.
    pub(super) fn is_alive(&mut self) -> bool {
        self.stdin.is_some() && self.running.is_alive()
    }

    /// Ends it at once.
    pub(super) async fn kill(mut self) {
        self.running = self.running.with_grace(Duration::ZERO);
        self.end().await;
    }

    /// Ends it, and waits for that.
    pub(super) async fn end(self) {
        let Self {
            running,
            stdin,
            lines,
            ..
        } = self;
        drop((stdin, lines));
        running.end().await;
    }
}

/// The progress in per cent that a line tells in the words of the program.
fn progress_in(regex: &Regex, line: &[u8]) -> Option<u64> {
    let number = regex.captures(line)?.get(1)?;
    let percent: f64 = std::str::from_utf8(number.as_bytes())
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u64)
}
