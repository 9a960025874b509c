//! An operator who uses the commands of the program while everything else goes on: requeues, cancels, pauses, purges, puts back.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ledger::{Kind, Ledger};
use super::losses::Item;
use super::peers::redis::Redis;
use super::servers::Servers;
use super::{QUEUE, losses, plan};

/// How many jobs are cancelled, or requeued after that, at a time.
const SOME: usize = 4;
/// How many of the jobs that were submitted last are cancelled: others have mostly ended.
const LATE: usize = 40;
/// Classes of failures that come again at once when their jobs are requeued.
const CLASSES: [&str; 3] = ["invalid_input", "unsupported", "too_large"];
/// Statuses of a command that found Redis, whether or not it could do all, and of one that did not.
const STATUSES: [i32; 5] = [0, 4, 64, 75, 1];
/// How long the last commands may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an operator does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// What has failed is worked once more.
    Requeue,
    /// Pauses or cancels the batch, and resumes it after a while.
    Batch,
    /// Outputs of the batch get lost, and it is repaired while it runs.
    Lose,
    Cancel,
    /// What was cancelled is worked after all.
    Regret,
    Pause(Duration),
    /// Takes what waits out of the queue, and puts it back after a while.
    Purge(Duration),
    /// Puts a job first.
    Bump,
    /// Looks at everything.
    Look,
}

pub(crate) struct Operator {
    random: fastrand::Rng,
    commands: Vec<(Vec<String>, Child)>,
    untrash_at: Option<Instant>,
    resume_at: Option<Instant>,
    /// Jobs that were cancelled, or may have been.
    pub(crate) cancelled: BTreeSet<String>,
    /// Commands that ended as none should.
    pub(crate) broken: u64,
    /// How often the batch was cancelled.
    pub(crate) batch_cancels: u64,
    /// Jobs of the batch whose outputs got lost, and how often.
    pub(crate) lost: BTreeMap<String, u64>,
}

impl Operator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed ^ 0x0be1),
            commands: Vec::new(),
            untrash_at: None,
            resume_at: None,
            cancelled: BTreeSet::new(),
            broken: 0,
            batch_cancels: 0,
            lost: BTreeMap::new(),
        }
    }

    /// Starts a command, and says how many it was.
    pub(crate) fn act(&mut self, order: Order, ledger: &Ledger, servers: &Servers) -> u64 {
        let words: Vec<String> = match order {
            Order::Requeue => {
                let class = CLASSES[self.random.usize(..CLASSES.len())];
                self.requeue(&["--queue", QUEUE, "--class", class])
            }
            Order::Cancel => {
                let keys = self.some(Self::cancellable(ledger));
                self.cancelled.extend(keys.iter().cloned());
                words(&["cancel", "--yes", "--because", "chaos"], keys)
            }
            Order::Regret => {
                let keys = self.some(self.cancelled.iter().cloned().collect());
                [self.requeue(&[]), keys].concat()
            }
            Order::Pause(time) => {
                let time = format!("{}ms", time.as_millis());
                words(&["queue", "pause", QUEUE, "--for"], vec![time])
            }
            Order::Purge(time) => {
                self.untrash_at = Some(Instant::now() + time);
                words(&["queue", "purge", QUEUE, "--yes"], vec![])
            }
            Order::Bump => {
                let mut keys = self.some(Self::cancellable(ledger));
                keys.truncate(1);
                words(&["job", "bump"], keys)
            }
            Order::Batch => {
                let verb = ["pause", "cancel"][usize::from(self.random.bool())];
                self.resume_at = Some(Instant::now() + Duration::from_secs(self.random.u64(1..4)));
                match verb {
                    "pause" => words(&["batch", "pause", plan::NAME, "--now"], vec![]),
                    _ => {
                        self.batch_cancels += 1;
                        words(&["batch", "cancel", plan::NAME, "--yes"], vec![])
                    }
                }
            }
            Order::Lose => {
                if let Some(master) = servers.master() {
                    self.lose(master, servers, 8);
                }
                words(&["repair", "--batch", plan::NAME, "--apply"], vec![])
            }
            Order::Look => words(&["status", "--json"], vec![]),
        };
        self.run(words, servers)
    }

    /// Jobs submitted last, but for those that kill consumers: these take their time.
    fn cancellable(ledger: &Ledger) -> Vec<String> {
        let keys = ledger.keys().into_iter().zip(ledger.kinds());
        let mut keys: Vec<_> = keys
            .filter(|(_, kind)| !matches!(kind, Kind::Poison | Kind::Panic))
            .map(|(key, _)| key)
            .collect();
        keys.split_off(keys.len().saturating_sub(LATE))
    }

    fn some(&mut self, mut of: Vec<String>) -> Vec<String> {
        self.random.shuffle(&mut of);
        of.truncate(SOME);
        of
    }

    fn requeue(&mut self, selector: &[&str]) -> Vec<String> {
        let mut all = vec!["requeue", "--yes"];
        all.extend(self.random.bool().then_some("--front"));
        all.extend(selector);
        words(&all, vec![])
    }

    /// Starts the batch, before anything goes wrong.
    pub(crate) fn start_batch(&mut self, servers: &Servers) {
        let path = std::env::temp_dir().join(format!("chaos-plan-{}.yaml", std::process::id()));
        std::fs::write(&path, plan::text()).expect("a file");
        let file = path.display().to_string();
        self.run(words(&["submit", "--plan"], vec![file]), servers);
        let (_, mut child) = self.commands.pop().expect("there is a master");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "the plan was not taken: {status}");
        let _ = std::fs::remove_file(path);
    }

    /// Loses about one in so many outputs of the batch, and gives the items that have left them.
    pub(crate) fn lose(
        &mut self,
        master: &Redis,
        servers: &Servers,
        one_in: u32,
    ) -> BTreeSet<Item> {
        let lost = losses::lose(master, &servers.s3.folder(), &mut self.random, one_in);
        for output in lost.values() {
            *self.lost.entry(output.job.clone()).or_default() += 1;
        }
        lost.into_keys().collect()
    }

    fn run(&mut self, words: Vec<String>, servers: &Servers) -> u64 {
        let Some(mut command) = command(&words, servers) else {
            return 0;
        };
        let child = command.spawn().expect("the program starts");
        self.commands.push((words, child));
        1
    }

    /// Waits for a command, and gives its status.
    pub(crate) fn ask(&mut self, words: &[&str], servers: &Servers) -> Option<i32> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        let mut command = command(&words, servers)?;
        let status = command.status().expect("the program starts").code();
        self.broken += u64::from(!status.is_some_and(|code| STATUSES.contains(&code)));
        status
    }

    /// Looks after the commands that run, and puts back what was purged.
    pub(crate) fn tick(&mut self, servers: &Servers) {
        let now = Instant::now();
        if self.untrash_at.take_if(|at| *at <= now).is_some() {
            self.run(words(&["queue", "untrash", QUEUE], vec![]), servers);
        }
        if self.resume_at.take_if(|at| *at <= now).is_some() {
            self.run(words(&["batch", "resume", plan::NAME], vec![]), servers);
        }
        let broken = &mut self.broken;
        self.commands.retain_mut(|(words, child)| {
            let Some(status) = child.try_wait().expect("it can be asked") else {
                return true;
            };
            if !status.code().is_some_and(|code| STATUSES.contains(&code)) {
                eprintln!("chaos: {words:?} ended with {status}");
                *broken += 1;
            }
            false
        });
    }

    /// Puts everything back, and waits for the last commands.
    pub(crate) async fn calm(&mut self, servers: &Servers) {
        let began = Instant::now();
        self.untrash_at = None;
        self.resume_at = None;
        self.run(words(&["queue", "resume", QUEUE], vec![]), servers);
        self.run(words(&["batch", "resume", plan::NAME], vec![]), servers);
        let is_over = |operator: &Self| {
            let trash = servers.master().map(|master| master.keys("rc:trash:*"));
            operator.commands.is_empty() && trash.is_some_and(|trash| trash.is_empty())
        };
        while !is_over(self) && began.elapsed() < PATIENCE {
            if self.commands.is_empty() {
                self.untrash_at = Some(began);
            }
            self.tick(servers);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The program with these words, if there is a master.
fn command(words: &[String], servers: &Servers) -> Option<Command> {
    let master = servers.master()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-consumer"));
    command
        .args(words)
        .env_clear()
        .env("USER", "ana")
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", master.port().to_string())
        .envs(servers.s3.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Some(command)
}

impl Drop for Operator {
    fn drop(&mut self) {
        for (_, child) in &mut self.commands {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn words(first: &[&str], more: Vec<String>) -> Vec<String> {
    let first = first.iter().map(|&word| word.to_owned());
    first.chain(more).collect()
}
