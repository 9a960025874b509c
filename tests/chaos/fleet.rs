//! The consumers: processes that come and go under the names of pods.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::consumer;
use super::schedule::LEASE;
use super::servers::Servers;

/// The kinds of consumer, one for each pod.
const KINDS: [&str; 5] = ["chaos", "chaos", "chaos", "zip", "tracking"];

pub(crate) struct Fleet {
    pods: Vec<Pod>,
    logs: TempDir,
    names: u32,
    random: fastrand::Rng,
    max_crashes: u32,
}

struct Pod {
    kind: &'static str,
    name: String,
    child: Option<Child>,
    paused_until: Option<Instant>,
    starts_at: Instant,
}

impl Fleet {
    /// Starts all of them; a job is given up after so many deaths.
    pub(crate) fn start(servers: &Servers, max_crashes: u32) -> Self {
        let logs = tempfile::tempdir().expect("a folder for logs");
        let mut fleet = Self {
            pods: Vec::new(),
            logs,
            names: 0,
            random: fastrand::Rng::with_seed(7),
            max_crashes,
        };
        for kind in KINDS {
            let name = fleet.fresh_name();
            fleet.pods.push(Pod {
                kind,
                name,
                child: None,
                paused_until: None,
                starts_at: Instant::now(),
            });
        }
        fleet.tick(servers);
        fleet
    }

    pub(crate) fn kill(&mut self, pick: u64) -> u64 {
        self.signal(pick, Signal::KILL)
    }

    pub(crate) fn terminate(&mut self, pick: u64) -> u64 {
        self.signal(pick, Signal::TERM)
    }

    pub(crate) fn pause(&mut self, pick: u64, time: Duration) -> u64 {
        let sent = self.signal(pick, Signal::STOP);
        if sent > 0 {
            let pod = self.pod(pick);
            pod.paused_until = Some(Instant::now() + time);
        }
        sent
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
            }
            let ended = pod
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().expect("it can be asked").is_some());
            if ended {
                pod.child = None;
                pod.paused_until = None;
                pod.starts_at = now + Duration::from_millis(self.random.u64(0..300));
                if self.random.u32(0..100) >= 30 {
                    self.pods[index].name = self.fresh_name();
                }
            }
            if self.pods[index].child.is_none() && self.pods[index].starts_at <= now {
                let child = self.spawn(&self.pods[index], servers);
                self.pods[index].child = Some(child);
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

    fn spawn(&self, Pod { kind, name, .. }: &Pod, servers: &Servers) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.logs.path().join(name))
            .expect("a log");
        let settings = [
            ("HOSTNAME", name.as_str()),
            (
                "QUEUE",
                if *kind == "tracking" {
                    "tracking"
                } else {
                    super::QUEUE
                },
            ),
            ("SEGMENTATION_QUEUE", super::QUEUE),
            ("CONSUMER_TYPE", kind),
            ("CONCURRENCY", "2"),
            ("LEASE_TIME", &LEASE.as_secs().to_string()),
            ("MAX_ATTEMPTS", "50"),
            ("MAX_CRASHES", &self.max_crashes.to_string()),
            ("RETRY_BACKOFF", "0.1"),
            ("REDIS_TIMEOUT", "0.3"),
            ("STORAGE_MAX_BACKOFF", "0.5"),
            ("STORAGE_RETRY_TIMEOUT", "1"),
            ("GRPC_BACKOFF", "0.1"),
            ("SHUTDOWN_GRACE", "0.5"),
            ("LOG_LEVEL", "INFO"),
            ("LOG_FORMAT", "json"),
            (consumer::ROLE, "1"),
        ];
        Command::new(std::env::current_exe().expect("this program has a path"))
            .env_clear()
            .envs(settings)
            .envs(servers.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    fn signal(&mut self, pick: u64, signal: Signal) -> u64 {
        let pod = self.pod(pick);
        // A stopped process does not end before it goes on, unless it is killed.
        if pod.paused_until.is_some() && signal != Signal::KILL {
            return 0;
        }
        let sent = pod
            .child
            .as_ref()
            .is_some_and(|child| kill_process(Pid::from_child(child), signal).is_ok());
        u64::from(sent)
    }

    fn pod(&mut self, pick: u64) -> &mut Pod {
        &mut self.pods[pick as usize % KINDS.len()]
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
