//! The consumers: processes that come and go under the names of pods.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::bombs;
use super::commands;
use super::consumer;
use super::losses::Record;
use super::peers::redis::free_port;
use super::probes::{self, Life, Seen};
use super::schedule::LEASE;
use super::servers::Servers;

/// The kinds of consumer, one for each pod. Two expand archives, so that one takes over from the other, and two run a command.
const KINDS: [&str; PODS] = [
    "chaos", "chaos", "chaos", "zip", "zip", "tracking", ONCE, KEPT,
];
pub(crate) const PODS: usize = 8;

/// A process for each job, or one for many.
const ONCE: &str = "once";
const KEPT: &str = "persistent";

/// Deaths until an archive or a movie is given up. Among them is no poison, and the schedule hits them often.
const MAX_CRASHES_OF_PARENTS: u32 = 50;

pub(crate) struct Fleet {
    pods: Vec<Pod>,
    logs: TempDir,
    /// Where commands keep notes.
    home: TempDir,
    names: u32,
    random: fastrand::Rng,
    max_crashes: u32,
    pub(crate) probes: Seen,
}

struct Pod {
    kind: &'static str,
    name: String,
    child: Option<Child>,
    paused_until: Option<Instant>,
    starts_at: Instant,
    /// Of metrics and probes.
    port: u16,
    life: Life,
}

impl Fleet {
    /// Starts all of them, with somebody who asks each whether it is alive; an image is given up after so many deaths.
    pub(crate) fn start(servers: &Servers, seed: u64, max_crashes: u32) -> Self {
        let logs = tempfile::tempdir().expect("a folder for logs");
        let mut fleet = Self {
            pods: Vec::new(),
            logs,
            home: tempfile::tempdir().expect("a folder for commands"),
            names: 0,
            random: fastrand::Rng::with_seed(seed),
            max_crashes,
            probes: Seen::default(),
        };
        for kind in KINDS {
            let (name, port, life) = (fleet.fresh_name(), free_port(), Life::default());
            tokio::spawn(probes::ask(port, life.clone(), fleet.probes.clone()));
            fleet.pods.push(Pod {
                kind,
                name,
                child: None,
                paused_until: None,
                starts_at: Instant::now(),
                port,
                life,
            });
        }
        fleet.tick(servers);
        fleet
    }

    pub(crate) fn kill(&mut self, pod: usize) -> u64 {
        self.signal(pod, Signal::KILL)
    }

    pub(crate) fn terminate(&mut self, pod: usize) -> u64 {
        self.signal(pod, Signal::TERM)
    }

    pub(crate) fn pause(&mut self, pod: usize, time: Duration) -> u64 {
        let sent = self.signal(pod, Signal::STOP);
        if sent > 0 {
            self.pods[pod].paused_until = Some(Instant::now() + time);
        }
        sent
    }

    /// Has a hostile client bother a port for a while.
    pub(crate) fn harass(&self, pod: usize, time: Duration) -> u64 {
        probes::harass(self.pods[pod].port, time, &self.probes);
        1
    }

    /// The consumer whose processing list this is, if it runs.
    pub(crate) fn pod_of(&self, list: &str) -> Option<usize> {
        self.pods.iter().position(|pod| {
            let name = list.rsplit(':').next();
            name == Some(&pod.name) && pod.child.is_some() && pod.paused_until.is_none()
        })
    }

    /// Starts what is gone, as Kubernetes does: a container anew under the same name, or a pod of another.
    pub(crate) fn tick(&mut self, servers: &Servers) {
        let now = Instant::now();
        for index in 0..self.pods.len() {
            let pod = &mut self.pods[index];
            if pod.paused_until.take_if(|until| *until <= now).is_some()
                && let Some(child) = &pod.child
            {
                let _ = kill_process(Pid::from_child(child), Signal::CONT);
                pod.life.set(true);
            }
            let ended = pod
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().expect("it can be asked").is_some());
            if ended {
                pod.child = None;
                pod.life.set(false);
                pod.paused_until = None;
                pod.starts_at = now + Duration::from_millis(self.random.u64(0..300));
                if self.random.u32(0..100) >= 30 {
                    self.pods[index].name = self.fresh_name();
                }
            }
            if self.pods[index].child.is_none() && self.pods[index].starts_at <= now {
                let child = self.spawn(index, servers);
                self.pods[index].child = Some(child);
                self.pods[index].life.set(true);
            }
        }
    }

    /// Nobody sleeps any more.
    pub(crate) fn calm(&mut self, servers: &Servers) {
        for pod in &mut self.pods {
            pod.paused_until = pod.paused_until.map(|_| Instant::now());
        }
        self.tick(servers);
    }

    /// Ends all consumers as Kubernetes does.
    pub(crate) fn stop(&mut self) {
        for pod in &mut self.pods {
            pod.life.set(false);
            if let Some(child) = &mut pod.child {
                let _ = kill_process(Pid::from_child(child), Signal::TERM);
                let _ = child.wait();
            }
            pod.child = None;
        }
    }

    /// What all consumers have logged, each line an object.
    pub(crate) fn logs(&self) -> impl Iterator<Item = serde_json::Value> {
        let files = std::fs::read_dir(self.logs.path()).expect("the folder of logs");
        let texts = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
        let texts: Vec<_> = texts.collect();
        texts.into_iter().flat_map(|text| {
            // A process that was killed may have left half a line.
            text.lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect::<Vec<_>>()
        })
    }

    /// What commands have noted of the plan's items.
    pub(crate) fn record(&self) -> Vec<Record> {
        let notes = std::fs::read_to_string(self.home.path().join("items"));
        let notes = notes.unwrap_or_default();
        notes.lines().filter_map(Record::read).collect()
    }

    /// Keeps the logs, for a look at what went wrong.
    pub(crate) fn keep_logs(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("chaos-{}", std::process::id()));
        let _ = std::fs::create_dir_all(&kept);
        for file in std::fs::read_dir(self.logs.path())
            .expect("the folder of logs")
            .flatten()
        {
            let _ = std::fs::copy(file.path(), kept.join(file.file_name()));
        }
        kept
    }

    fn spawn(&self, pod: usize, servers: &Servers) -> Child {
        let Pod {
            kind, name, port, ..
        } = &self.pods[pod];
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.logs.path().join(name))
            .expect("a log");
        let max_crashes = if *kind == "chaos" {
            self.max_crashes
        } else {
            MAX_CRASHES_OF_PARENTS
        };
        let settings = [
            ("HOSTNAME", name.as_str()),
            (
                "QUEUE",
                match *kind {
                    "tracking" => "tracking",
                    ONCE | KEPT => commands::QUEUE,
                    _ => super::QUEUE,
                },
            ),
            ("SEGMENTATION_QUEUE", super::QUEUE),
            ("CONSUMER_TYPE", kind),
            ("CONCURRENCY", "2"),
            ("LEASE_TIME", &LEASE.as_secs().to_string()),
            ("MAX_ATTEMPTS", "50"),
            ("MAX_CRASHES", &max_crashes.to_string()),
            ("RETRY_BACKOFF", "0.1"),
            ("REDIS_TIMEOUT", "0.3"),
            ("STORAGE_MAX_BACKOFF", "0.5"),
            ("STORAGE_RETRY_TIMEOUT", "1"),
            ("GRPC_BACKOFF", "0.1"),
            ("SHUTDOWN_GRACE", "0.5"),
            ("MEMORY_BUDGET", "256Mi"),
            ("MAX_DECODED_BYTES", bombs::MAX_DECODED),
            ("METRICS_HOST", "127.0.0.1"),
            ("METRICS_PORT", &port.to_string()),
            ("LOG_LEVEL", "INFO"),
            ("LOG_FORMAT", "json"),
            (consumer::ROLE, "1"),
        ];
        Command::new(std::env::current_exe().expect("this program has a path"))
            .env_clear()
            .envs(settings)
            .envs(match *kind {
                ONCE | KEPT => commands::settings(kind, self.home.path()),
                _ => Vec::new(),
            })
            .envs(servers.environment(pod))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    fn signal(&mut self, pod: usize, signal: Signal) -> u64 {
        let pod = &mut self.pods[pod];
        // A stopped process does not end before it goes on, unless it is killed.
        if pod.paused_until.is_some() && signal != Signal::KILL {
            return 0;
        }
        let Some(child) = &pod.child else {
            return 0;
        };
        pod.life.set(false);
        u64::from(kill_process(Pid::from_child(child), signal).is_ok())
    }

    fn fresh_name(&mut self) -> String {
        self.names += 1;
        format!("pod-{}", self.names)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.pods.iter_mut().filter_map(|pod| pod.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
