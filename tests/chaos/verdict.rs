//! What was submitted, and what became of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis_consumer::queue::{Admin, RedisSettings};
use serde_json::json;

use super::fleet::Fleet;
use super::peers::redis::Redis;
use super::servers::{ARCHIVED, FRAMES, Servers, Topology};
use super::{INPUT, Plan, QUEUE, kind};

/// How long the last jobs may take once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// What kind of job it is, and so how it has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Done.
    Image,
    /// Done, with the results of all its parts but one, which fails.
    Archive,
    /// Done, with a part for each frame.
    Movie,
    /// Failed at once: the file is broken.
    Broken,
    /// Given up: it brings down every consumer.
    Poison,
    /// Given up: it panics in every consumer.
    Panic,
}

/// What happened.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) terms: u64,
    pub(crate) redis_restarts: u64,
    pub(crate) failovers: u64,
    pub(crate) cuts: u64,
    pub(crate) delays: u64,
    pub(crate) storage_faults: u64,
    pub(crate) model_outages: u64,
}

/// The jobs of a run.
pub(crate) struct Ledger {
    plan: Plan,
    submitted: usize,
    pub(crate) counts: Counts,
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            submitted: 0,
            counts: Counts::default(),
        }
    }

    /// The keys of all jobs so far.
    fn keys(&self) -> Vec<String> {
        (0..self.submitted)
            .map(|number| key(number, kind(number, self.plan.jobs)))
            .collect()
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
                if submit(master, number, kind(number, self.plan.jobs)).is_err() {
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
        Kind::Archive => format!("{QUEUE}-zip:cells, {number}.zip:{number:032x}"),
        Kind::Movie => format!("tracking:cells, {number}.tif:{number:032x}"),
        _ => format!("{QUEUE}:cells, {number}.tif:{number:032x}"),
    }
}

fn submit(master: &Redis, number: usize, kind: Kind) -> redis::RedisResult<()> {
    let (name, input) = match kind {
        Kind::Image => ("cells.tif", INPUT),
        Kind::Archive => ("cells.zip", "uploads/cells.zip"),
        Kind::Movie => ("movie.tif", "uploads/movie.tif"),
        Kind::Broken => ("broken.tif", "uploads/broken.tif"),
        Kind::Poison => ("poison.tif", INPUT),
        Kind::Panic => ("panic.tif", INPUT),
    };
    let key = key(number, kind);
    let now = jiff::Timestamp::now().to_string();
    let fields = [
        ("original_name", name),
        ("input_file_name", input),
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

fn is_final(hash: &HashMap<String, String>) -> bool {
    hash.get("status")
        .is_some_and(|status| status == "done" || status == "failed")
}

/// How it went.
pub(crate) struct Verdict {
    counts: serde_json::Map<String, serde_json::Value>,
    /// Names of counts that must be zero.
    wrong: Vec<String>,
}

impl Verdict {
    pub(crate) async fn of(ledger: &Ledger, servers: &Servers, fleet: &Fleet) -> Self {
        let master = servers.master().expect("there is a master again");
        let (mut done, mut broken, mut dead, mut parents, mut wrong_parents) = (0, 0, 0, 0, 0);
        let (mut unfinished, mut lost, mut wrong_end, mut missing_results) = (0, 0, 0, 0);
        let dead_letters: Vec<String> = master.ask(&["ZRANGE", "rc:dead:segmentation", "0", "-1"]);
        let keys = ledger.keys();
        let hashes = master.try_hashes(&keys).expect("the master answers");
        for (number, (key, hash)) in keys.into_iter().zip(hashes).enumerate() {
            let kind = kind(number, ledger.plan.jobs);
            let text = |field: &str| hash.get(field).map_or("", String::as_str);
            let good = match (kind, text("status")) {
                _ if hash.is_empty() => {
                    lost += 1;
                    true
                }
                (_, status) if status != "done" && status != "failed" => {
                    unfinished += 1;
                    true
                }
                (Kind::Image, "done") => {
                    done += 1;
                    missing_results +=
                        u64::from(!servers.s3.folder().join(text("output_file_name")).is_file());
                    true
                }
                (Kind::Archive, "done") => {
                    parents += 1;
                    let failures = text("failures")
                        .split('&')
                        .filter(|failure| !failure.is_empty())
                        .count();
                    let counts = [
                        text("total_jobs"),
                        text("children_done"),
                        text("children_failed"),
                        text("progress"),
                    ];
                    let right = failures == 1
                        && counts
                            == [
                                &ARCHIVED.to_string(),
                                &(ARCHIVED - 1).to_string(),
                                "1",
                                "100",
                            ];
                    wrong_parents += u64::from(!right);
                    missing_results +=
                        u64::from(!servers.s3.folder().join(text("output_file_name")).is_file());
                    right
                }
                (Kind::Movie, "done") => {
                    parents += 1;
                    let counts = [
                        text("total_jobs"),
                        text("children_done"),
                        text("children_failed"),
                        text("progress"),
                    ];
                    let right = counts == [&FRAMES.to_string(), &FRAMES.to_string(), "0", "100"];
                    wrong_parents += u64::from(!right);
                    missing_results +=
                        u64::from(!servers.s3.folder().join(text("output_file_name")).is_file());
                    right
                }
                (Kind::Broken, "failed") => {
                    broken += 1;
                    text("error_class") == "invalid_input"
                        && text("reason")
                            .lines()
                            .last()
                            .is_some_and(|line| line.starts_with("ValueError: "))
                }
                (Kind::Poison | Kind::Panic, "failed") => {
                    dead += 1;
                    text("error_class") == "crash" && dead_letters.contains(&key)
                }
                _ => false,
            };
            if !good {
                wrong_end += 1;
                eprintln!("chaos: {key} ({kind:?}) ended wrong: {hash:?}");
            } else if !is_final(&hash) {
                eprintln!("chaos: {key} is not final: {hash:?}");
            }
        }
        let queues = [
            QUEUE.to_owned(),
            format!("{QUEUE}-zip"),
            "tracking".to_owned(),
        ];
        let sets = ["lease", "delayed", "parked"];
        let mut names: Vec<_> = sets
            .iter()
            .flat_map(|set| queues.iter().map(move |queue| format!("rc:{set}:{queue}")))
            .collect();
        names.extend(queues);
        let leftovers = master.keys("processing-*").len()
            + master.keys("rc:pending:*").len()
            + names
                .iter()
                .filter(|name| master.ask::<u32>(&["EXISTS", name]) == 1)
                .count();
        let admin = Admin::new(&RedisSettings::plain("127.0.0.1", master.port()));
        let findings = admin.check().await.expect("redis answers");
        findings
            .iter()
            .for_each(|finding| eprintln!("chaos: fsck: {finding}"));

        let mut commits: HashMap<String, u64> = HashMap::new();
        let (mut fenced, mut reclaimed, mut retried) = (0, 0, 0);
        for line in fleet.logs() {
            let message = line["message"].as_str().unwrap_or_default();
            let end = line["status"]
                .as_str()
                .is_some_and(|status| status == "done" || status == "failed");
            match message {
                "the job is settled" if end => {
                    let key = line["span"]["job.key"].as_str();
                    if let Some(key) = key.filter(|key| !key.is_empty()) {
                        *commits.entry(key.to_owned()).or_default() += 1;
                    }
                }
                text if text.starts_with("the job went to another consumer") => fenced += 1,
                text if text.starts_with("requeued a job")
                    || text.starts_with("an earlier process") =>
                {
                    reclaimed += 1
                }
                "the job failed; retrying it later" => retried += 1,
                _ => {}
            }
        }
        // A failover takes back what the old master had not passed on, commits among it: those jobs run once more.
        let twice = commits.values().filter(|count| **count > 1).count();
        let rewound = ledger.plan.topology == Topology::Sentinel;
        // Logs that say it in other words would hide whatever ran twice.
        let unlogged = u64::from(commits.is_empty() && done + parents > 0);
        let counts = json!({
            "submitted": ledger.submitted, "done": done, "failed_input": broken, "dead": dead, "parents": parents,
            "kills": ledger.counts.kills, "stops": ledger.counts.stops, "terms": ledger.counts.terms,
            "redis_restarts": ledger.counts.redis_restarts, "failovers": ledger.counts.failovers,
            "cuts": ledger.counts.cuts, "delays": ledger.counts.delays,
            "storage_faults": ledger.counts.storage_faults, "model_outages": ledger.counts.model_outages,
            "reclaimed": reclaimed, "retried": retried, "fenced": fenced, "rewound": if rewound { twice } else { 0 },
            "not_submitted": ledger.plan.jobs - ledger.submitted, "unfinished": unfinished, "lost": lost,
            "finished_twice": if rewound { 0 } else { twice }, "wrong_end": wrong_end, "wrong_parents": wrong_parents,
            "missing_results": missing_results, "leftovers": leftovers, "fsck": findings.len(), "unlogged": unlogged,
        });
        let serde_json::Value::Object(counts) = counts else {
            unreachable!("it is an object")
        };
        let must_be_zero = [
            "not_submitted",
            "unfinished",
            "lost",
            "finished_twice",
            "wrong_end",
            "wrong_parents",
            "missing_results",
            "leftovers",
            "fsck",
            "unlogged",
        ];
        let wrong: Vec<_> = must_be_zero
            .iter()
            .filter(|name| counts[**name] != 0)
            .map(|name| (*name).to_owned())
            .collect();
        if !wrong.is_empty() {
            eprintln!(
                "chaos: not zero: {}; logs are in {}",
                wrong.join(", "),
                fleet.keep_logs().display()
            );
        }
        Self { counts, wrong }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// One line: the plan, what happened, and what must be zero.
    pub(crate) fn json(&self, plan: Plan) -> String {
        let topology = format!("{:?}", plan.topology).to_lowercase();
        let mut all = json!({ "seed": plan.seed, "seconds": plan.seconds, "topology": topology });
        if let Some(all) = all.as_object_mut() {
            all.extend(self.counts.clone());
        }
        all.to_string()
    }
}
