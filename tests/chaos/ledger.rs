//! What was submitted, and waiting until it is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::bombs::Bomb;
use super::fleet::Fleet;
use super::peers::redis::Redis;
use super::servers::Servers;
use super::uploads::{self, Archive};
use super::{Plan, QUEUE, bombs, commands, plan};

/// How long the last jobs may take once nothing goes wrong any more. Poison alone waits for four minutes in all between its deaths.
const PATIENCE: Duration = Duration::from_secs(600);

/// What kind of job it is, and so how it has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Done.
    Image,
    /// Done, with the results of all its parts but those that are broken, which fail.
    Archive(Archive),
    /// Done, with a part for each frame.
    Movie,
    /// Failed at once: the file is broken.
    Broken,
    /// Failed at once: the file is hostile.
    Hostile(Bomb),
    /// Done by a command, whatever that does to itself.
    Command,
    /// Failed: its command takes too much memory.
    Leak,
    /// Given up: it brings down every consumer.
    Poison,
    /// Given up: it panics in every consumer.
    Panic,
}

impl Kind {
    /// It follows from the number of the job, so that the seed alone decides.
    fn of(number: usize, plan: &Plan) -> Self {
        // Poison takes its time to be given up, so it comes early.
        let round = number % plan.jobs.min(1500);
        match round {
            3 | 6 => Self::Poison,
            9 => Self::Panic,
            n if n % 50 == 17 => Self::Broken,
            n if n % 50 == 13 => Self::Archive(Archive::of(plan.seed, number)),
            n if n % 80 == 31 => Self::Movie,
            n if n % 40 == 21 => Self::Command,
            n if n % 200 == 35 => Self::Leak,
            n if n % 75 == 47 => Self::Hostile(bombs::ALL[n / 75 % bombs::ALL.len()]),
            _ => Self::Image,
        }
    }
}

/// What went wrong on purpose, and how often.
#[derive(Default, Serialize)]
pub(crate) struct Happened {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) terms: u64,
    pub(crate) redis_restarts: u64,
    pub(crate) failovers: u64,
    pub(crate) cuts: u64,
    pub(crate) delays: u64,
    pub(crate) partitions: u64,
    /// Of kills, stops and partitions, those that met a consumer while it expanded an archive.
    pub(crate) expanding_hits: u64,
    pub(crate) clock_steps: u64,
    pub(crate) full_memory: u64,
    pub(crate) lost_rights: u64,
    pub(crate) harassments: u64,
    pub(crate) storage_faults: u64,
    pub(crate) model_outages: u64,
    /// Commands of an operator.
    pub(crate) orders: u64,
}

/// The jobs of a run.
pub(crate) struct Ledger {
    pub(crate) plan: Plan,
    pub(crate) submitted: usize,
    pub(crate) happened: Happened,
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            submitted: 0,
            happened: Happened::default(),
        }
    }

    /// The kinds of all jobs so far, in the order of their [`keys`](Self::keys).
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        (0..self.submitted).map(|number| Kind::of(number, &self.plan))
    }

    /// The keys of all jobs so far.
    pub(crate) fn keys(&self) -> Vec<String> {
        let kinds = self.kinds().enumerate();
        kinds.map(|(number, kind)| key(number, kind)).collect()
    }

    /// Submits jobs until this share of them is. While there is no master, none is.
    pub(crate) fn submit_until(&mut self, servers: &Servers, share: f64) {
        let wanted = (self.plan.jobs as f64 * share) as usize;
        if self.submitted >= wanted {
            return;
        }
        let Some(master) = servers.master() else {
            return;
        };
        while self.submitted < wanted {
            let until = wanted.min(self.submitted + 20);
            for number in self.submitted..until {
                let kind = Kind::of(number, &self.plan);
                if let Kind::Archive(archive) = kind {
                    uploads::put_archive(&servers.s3, number, archive);
                }
                if submit(master, number, kind).is_err() {
                    return;
                }
            }
            // Whoever submits has to know that it is safe; else it submits again.
            if !servers.replicate(master) {
                return;
            }
            self.submitted = until;
        }
    }

    /// Submits what is left.
    pub(crate) async fn submit_rest(&mut self, servers: &Servers, fleet: &mut Fleet) {
        let began = Instant::now();
        while self.submitted < self.plan.jobs && began.elapsed() < PATIENCE {
            self.submit_until(servers, 1.0);
            fleet.tick(servers);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until all jobs are final, or patience ends.
    pub(crate) async fn wait(&self, servers: &Servers, fleet: &mut Fleet) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            fleet.tick(servers);
            // What a failover has hidden is looked for now and then, and has to be found. One may still be going on: what does
            // not answer is asked again.
            let is_over = |master: &Redis| {
                let hashes = master.try_hashes(&self.keys());
                hashes.is_ok_and(|hashes| hashes.iter().all(is_final))
                    && plan::is_over(master)
                    && master
                        .try_ask::<Vec<String>>(&["KEYS", "processing-*"])
                        .is_ok_and(|lists| lists.is_empty())
            };
            if servers.master().is_some_and(is_over) {
                // The last writes about them are under way.
                tokio::time::sleep(Duration::from_millis(500)).await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

fn key(number: usize, kind: Kind) -> String {
    match kind {
        Kind::Archive(_) | Kind::Hostile(Bomb::Zip) => {
            format!("{QUEUE}-zip:cells, {number}.zip:{number:032x}")
        }
        Kind::Movie | Kind::Hostile(Bomb::Track) => {
            format!("tracking:cells, {number}.tif:{number:032x}")
        }
        Kind::Command | Kind::Leak => {
            format!("{}:cells, {number}.tif:{number:032x}", commands::QUEUE)
        }
        _ => format!("{QUEUE}:cells, {number}.tif:{number:032x}"),
    }
}

fn submit(master: &Redis, number: usize, kind: Kind) -> redis::RedisResult<()> {
    let (name, input) = match kind {
        Kind::Image | Kind::Command | Kind::Leak => ("cells.tif", uploads::IMAGE.to_owned()),
        Kind::Archive(_) => ("cells.zip", uploads::archive_key(number)),
        Kind::Movie => ("movie.tif", uploads::MOVIE.to_owned()),
        Kind::Broken => ("broken.tif", uploads::BROKEN.to_owned()),
        Kind::Hostile(bomb) => ("bomb", bomb.key().to_owned()),
        Kind::Poison => ("poison.tif", uploads::IMAGE.to_owned()),
        Kind::Panic => ("panic.tif", uploads::IMAGE.to_owned()),
    };
    let key = key(number, kind);
    let now = jiff::Timestamp::now().to_string();
    let fate = if kind == Kind::Leak {
        commands::LEAK
    } else {
        ""
    };
    let fields = [
        (commands::FATE, fate),
        ("original_name", name),
        ("input_file_name", input.as_str()),
        ("status", "new"),
        ("created_at", now.as_str()),
        ("updated_at", now.as_str()),
        ("identity_upload", "frontend-0"),
        ("scale", "1"),
        ("channels", "0,"),
        ("dimension_order", "XY"),
    ];
    let mut both = redis::pipe();
    // A second time only if the first got no answer: a job that is there stays as it is.
    both.cmd("EVAL").arg(
        "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end",
    );
    both.arg(1).arg(&key);
    fields.iter().for_each(|(name, value)| {
        both.arg(name).arg(value);
    });
    let queue = key.split(':').next().unwrap_or(QUEUE);
    both.lpush(queue, &key);
    master.try_pipeline(&both)
}

/// Whether a job with this hash is over.
pub(crate) fn is_final(hash: &HashMap<String, String>) -> bool {
    hash.get("status")
        .is_some_and(|status| status == "done" || status == "failed")
}
