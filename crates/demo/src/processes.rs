//! The processes that the demo needs beside its own, none of which may outlive it.
//!
//! Each is ended by its id. A small shell holds these ids and does it as soon as its input ends: at the end of the demo,
//! and when the demo is killed. Every process has a group of its own, so that Ctrl-C reaches the demo alone and the
//! others end in order.

use std::env;
use std::fs::{self, File};
use std::io::{Write as _, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use futures::future::{join_all, select_all};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

/// Where everything listens.
pub(crate) const HERE: &str = "127.0.0.1";

/// Ends processes when its input does.
const REAPER: &str = include_str!("reap.sh");

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The reaper needs less, even for processes that do not listen to it.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Lines of a log that are shown when its process has failed.
const TAIL_LINES: usize = 12;

/// Running processes, in the order of their start.
pub(crate) struct Processes {
    // Fields are dropped in this order: without `end`, processes are killed at once, and the reaper finds what is left.
    running: Vec<Process>,
    ids: ChildStdin,
    reaper: Child,
    search_path: String,
    logs: PathBuf,
}

struct Process {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

impl Processes {
    /// No processes yet. Their output will go to the folder `logs`, and programs are looked for in `search_path`.
    pub(crate) fn new(logs: &Path, search_path: &str) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", REAPER])
            .env_clear()
            .env("PATH", search_path)
            .process_group(0);
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut reaper = shell
            .spawn()
            .context("cannot start `sh`, which ends the processes of the demo")?;
        let ids = reaper.stdin.take().context("the shell has no input")?;
        Ok(Self {
            running: Vec::new(),
            ids,
            reaper,
            search_path: search_path.to_owned(),
            logs: logs.to_owned(),
        })
    }

    /// Starts a process with nothing in its environment but `environment` and the search path; gives its id.
    pub(crate) async fn start(
        &mut self,
        name: &'static str,
        mut command: Command,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<u32> {
        let log = self.logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .env_clear()
            .env("PATH", &self.search_path)
            .envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true);
        let process = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let id = process.id().with_context(|| format!("{name} has no id"))?;
        self.running.push(Process { name, process, log });
        self.ids
            .write_all(format!("{id}\n").as_bytes())
            .await
            .context("the shell that ends the processes of the demo has ended itself")?;
        Ok(id)
    }

    /// Waits until the process that was started last listens on a port of this machine.
    pub(crate) async fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let connected = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_err()
            {
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        let waited = timeout(START_LIMIT, self.unless_one_ends(connected)).await;
        let Ok(listens) = waited else {
            let seconds = START_LIMIT.as_secs();
            let what = format!("does not listen on port {port} after {seconds} s");
            bail!(self.running.last().map_or_else(
                || format!("a process {what}"),
                |process| process.complaint(&what)
            ));
        };
        listens
    }

    /// What `work` gives, or an error with the last lines of its log as soon as a process ends by itself.
    pub(crate) async fn unless_one_ends<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let ends = self
            .running
            .iter_mut()
            .map(|process| Box::pin(process.process.wait()));
        let (end, which) = tokio::select! {
            result = work => return result,
            (end, which, _) = select_all(ends) => (end, which),
        };
        Err(self.running[which].failure(&end?))
    }

    /// Ends every process, the youngest first, and returns when all have ended.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            mut running,
            ids,
            mut reaper,
            ..
        } = self;
        drop(ids);
        let all_ended = async {
            join_all(running.iter_mut().map(|process| process.process.wait())).await;
            reaper.wait().await
        };
        timeout(END_LIMIT, all_ended).await.with_context(|| {
            let ids = "their ids were printed when they started";
            format!(
                "some processes of the demo run on after {} s; {ids}",
                END_LIMIT.as_secs()
            )
        })??;
        Ok(())
    }
}

impl Process {
    fn failure(&self, end: &ExitStatus) -> anyhow::Error {
        anyhow!(self.complaint(&format!("ended early ({end})")))
    }

    /// What the process did wrong, and what it said last.
    fn complaint(&self, what: &str) -> String {
        let (name, log) = (self.name, self.log.display());
        format!("{name} {what}; the end of {log}:\n{}", tail(&self.log))
    }
}

/// The program that a Kiosk runs, which is built into the folder of this one.
pub(crate) fn consumer_program() -> anyhow::Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("redis-consumer");
    ensure!(
        program.is_file(),
        "{} is missing: build it with `cargo build --package redis-consumer` and the profile of this program, or run \
         `make demo`, which builds both",
        program.display()
    );
    Ok(program)
}

pub(crate) fn introduce(name: &str, id: u32, what: &str) -> std::io::Result<()> {
    writeln!(stdout(), "  {name:<14}pid {id:<9}{what}")
}

/// A port of this machine on which nobody listens.
pub(crate) async fn free_port() -> anyhow::Result<u16> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(TcpListener::bind(any)
        .await
        .context("cannot find a free port")?
        .local_addr()?
        .port())
}

/// The last lines of a log, indented; that there are none if the log is empty or missing.
fn tail(log: &Path) -> String {
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<_> = text.lines().map(|line| format!("  {line}")).collect();
    match lines.as_slice() {
        [] => "  (nothing)".to_owned(),
        lines => lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"),
    }
}

/// The folders in which programs are searched, from `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo has no settings of its own"
)]
pub(crate) fn search_path() -> String {
    env::var("PATH").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(id: u32) -> bool {
        let check = std::process::Command::new("sh")
            .args(["-c", &format!("kill -0 {id} 2>/dev/null")])
            .status();
        check.expect("a shell").success()
    }

    /// Processes that were killed but not waited for stay visible for a moment.
    async fn vanishes(id: u32) -> bool {
        let gone = async {
            while is_alive(id) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.is_ok()
    }

    #[tokio::test]
    async fn every_process_ends_and_the_youngest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::new(folder.path(), &search_path()).expect("a shell");
        let mut ids = Vec::new();
        for name in ["older", "younger"] {
            let file = folder.path().join("order");
            let script = format!(
                "trap 'echo {name} >> {}; exit' TERM; echo up; while :; do sleep 0.02; done",
                file.display()
            );
            ids.push(
                processes
                    .start(name, shell(&script), &[])
                    .await
                    .expect("a process"),
            );
            while tail(&folder.path().join(format!("{name}.log"))) != "  up" {
                sleep(Duration::from_millis(5)).await;
            }
        }
        processes.end().await.expect("all end");
        assert!(ids.iter().all(|id| !is_alive(*id)));
        assert_eq!(
            fs::read_to_string(folder.path().join("order")).expect("both wrote"),
            "younger\nolder\n"
        );
    }

    #[tokio::test]
    async fn processes_do_not_outlive_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::new(folder.path(), &search_path()).expect("a shell");
        let id = processes
            .start("sleeper", shell("exec sleep 600"), &[])
            .await
            .expect("a process");
        assert!(is_alive(id));
        drop(processes);
        assert!(vanishes(id).await);
    }

    #[tokio::test]
    async fn an_early_end_is_reported_with_the_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::new(folder.path(), &search_path()).expect("a shell");
        processes
            .start("sleeper", shell("exec sleep 600"), &[])
            .await
            .expect("a process");
        processes
            .start("broken", shell("echo no memory left >&2; exit 3"), &[])
            .await
            .expect("a process");
        let never = std::future::pending::<anyhow::Result<()>>();
        let error = processes
            .unless_one_ends(never)
            .await
            .expect_err("one has ended")
            .to_string();
        assert!(
            error.contains("broken") && error.contains("no memory left"),
            "{error}"
        );
        processes.end().await.expect("the other ends");
    }

    #[tokio::test]
    async fn processes_see_only_the_environment_they_are_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::new(folder.path(), &search_path()).expect("a shell");
        processes
            .start("env", shell("env; exec sleep 600"), &[("QUEUE", "here")])
            .await
            .expect("a process");
        while !tail(&folder.path().join("env.log")).contains("QUEUE=here") {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!tail(&folder.path().join("env.log")).contains("CARGO"));
        processes.end().await.expect("it ends");
    }
}
