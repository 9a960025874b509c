//! What became of the jobs, and whether that is as it has to be.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use redis_consumer::queue::{Admin, RedisSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fleet::Fleet;
use super::ledger::{Happened, Kind, Ledger, is_final};
use super::losses::{self, Losses};
use super::operator::Operator;
use super::peers::redis::Redis;
use super::servers::{Servers, Topology};
use super::uploads::{Archive, FRAMES};
use super::{Plan, QUEUE, commands, plan};

/// The counts that must be zero.
const MUST_BE_ZERO: [&str; 19] = [
    "not_submitted",
    "unfinished",
    "lost",
    "finished_twice",
    "wrong_end",
    "wrong_parents",
    "wiped_children",
    "missing_results",
    "leftovers",
    "left_processes",
    "miscounted_items",
    "early_items",
    "missing_outputs",
    "fsck",
    "livez_failures",
    "unlogged",
    "unprobed",
    "never_expanding",
    "broken_orders",
];

/// How it went.
pub(crate) struct Verdict {
    counts: Map<String, Value>,
    /// Names of counts that must be zero, and are not.
    wrong: Vec<&'static str>,
}

/// All counts under their names.
#[derive(Serialize)]
struct Counts<'a> {
    submitted: usize,
    not_submitted: usize,
    #[serde(flatten)]
    happened: &'a Happened,
    #[serde(flatten)]
    ends: Ends,
    #[serde(flatten)]
    said: Said,
    rewound: usize,
    finished_twice: usize,
    /// Jobs that were finished again because an operator wanted it or their output got lost, and parts whose parent has started
    /// over and made them anew.
    finished_again: usize,
    unlogged: u64,
    leftovers: usize,
    /// Items of a batch that are done, and those that are not counted as they have to be.
    items: u64,
    miscounted_items: u64,
    /// Items that were begun before those below them had been worked.
    early_items: u64,
    /// Outputs of items that got lost, how often the batch was repaired at the end, and those that are not there even so.
    lost_outputs: u64,
    repairs: u64,
    missing_outputs: u64,
    /// Of commands, after all consumers have ended.
    left_processes: usize,
    fsck: usize,
    livez_answers: u64,
    livez_failures: u64,
    hostile_connections: u64,
    unprobed: u64,
    /// No archive was met while it was expanded, in a run that is long enough.
    never_expanding: u64,
    /// Commands of the operator that crashed.
    broken_orders: u64,
}

impl Verdict {
    pub(crate) async fn of(
        ledger: &Ledger,
        servers: &Servers,
        fleet: &Fleet,
        (operator, losses): (&Operator, &Losses),
    ) -> Self {
        let master = servers.master().expect("there is a master again");
        let said = Said::of(fleet);
        let ends = Ends::of(ledger, servers, master, (operator, &said));
        // A failover takes back what the old master had not passed on, commits among it: those jobs run once more.
        let again = said.commits.iter().filter(|(_, count)| **count > 1);
        let (expected, twice): (Vec<_>, Vec<_>) = again.partition(|(key, count)| {
            let lives = ends.lives.get(*key).copied().unwrap_or(1);
            let lost = operator.lost.get(*key).copied().unwrap_or(0);
            **count <= lives + worked_again(master, key, operator) + lost
        });
        twice
            .iter()
            .for_each(|(key, count)| eprintln!("chaos: {key} was finished {count} times"));
        let twice = twice.len();
        let rewinds = ledger.plan.topology == Topology::Sentinel;
        let verdict = Self::on(&Counts {
            submitted: ledger.submitted,
            not_submitted: ledger.plan.jobs - ledger.submitted,
            happened: &ledger.happened,
            rewound: if rewinds { twice } else { 0 },
            finished_twice: if rewinds { 0 } else { twice },
            finished_again: expected.len(),
            // Logs that say it in other words would hide whatever ran twice.
            unlogged: u64::from(said.commits.is_empty() && ends.done + ends.parents > 0),
            leftovers: leftovers(master),
            items: plan::done(master),
            miscounted_items: plan::miscounted(master),
            early_items: losses.early(&fleet.record()),
            lost_outputs: operator.lost.values().sum(),
            repairs: losses.repairs,
            missing_outputs: losses::missing(master, &servers.s3.folder()),
            left_processes: left_processes().await,
            fsck: findings(master).await,
            livez_answers: fleet.probes.answers(),
            livez_failures: fleet.probes.failures(),
            hostile_connections: fleet.probes.hostile_connections(),
            unprobed: u64::from(fleet.probes.answers() == 0),
            never_expanding: u64::from(
                ledger.plan.is_long() && ledger.happened.expanding_hits == 0,
            ),
            broken_orders: operator.broken,
            ends,
            said,
        });
        if !verdict.is_clean() {
            let (names, logs) = (verdict.wrong.join(", "), fleet.keep_logs());
            eprintln!("chaos: not zero: {names}; logs are in {}", logs.display());
        }
        verdict
    }

    fn on(counts: &Counts<'_>) -> Self {
        let Ok(Value::Object(counts)) = serde_json::to_value(counts) else {
            unreachable!("it is an object")
        };
        let mut wrong = MUST_BE_ZERO.to_vec();
        wrong.retain(|name| counts[*name] != 0);
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

/// How the jobs ended.
#[derive(Default, Serialize)]
struct Ends {
    done: u64,
    failed_input: u64,
    hostile: u64,
    dead: u64,
    commands: u64,
    leaks: u64,
    parents: u64,
    parts_done: u64,
    parts_failed: u64,
    /// An operator ended them.
    cancelled: u64,
    unfinished: u64,
    lost: u64,
    /// Final, but not in the way of their kind.
    wrong_end: u64,
    /// Done, but not with all their parts.
    wrong_parents: u64,
    /// Parts of parents that have lost their hash, or their end.
    wiped_children: u64,
    missing_results: u64,
    /// Parts of all parents.
    #[serde(skip)]
    parts: Vec<String>,
    /// How often the parent of each may have made it.
    #[serde(skip)]
    lives: HashMap<String, u64>,
}

impl Ends {
    fn of(
        ledger: &Ledger,
        servers: &Servers,
        master: &Redis,
        (operator, said): (&Operator, &Said),
    ) -> Self {
        let mut ends = Self::default();
        let dead_letters: Vec<String> = master.ask(&["ZRANGE", "rc:dead:segmentation", "0", "-1"]);
        let dead_letters: HashSet<_> = dead_letters.into_iter().collect();
        let keys = ledger.keys();
        let hashes = master.try_hashes(&keys).expect("the master answers");
        for ((key, kind), hash) in keys.iter().zip(ledger.kinds()).zip(hashes) {
            let end = End {
                hash: &hash,
                is_dead_letter: dead_letters.contains(key),
                bucket: servers.s3.folder(),
            };
            // The last claim collected the results.
            let claims = said.claims.get(key).copied().unwrap_or(1);
            let parts = end.text("children").split(',').map(str::to_owned);
            let lives = claims.max(2) - 1;
            ends.lives.extend(parts.map(|part| (part, lives)));
            if end.is_cancelled() && operator.cancelled.contains(key) {
                ends.cancelled += 1;
                continue;
            }
            if !ends.count(kind, &end) {
                ends.wrong_end += 1;
                eprintln!("chaos: {key} ({kind:?}) ended wrong: {hash:?}");
            } else if !is_final(&hash) {
                eprintln!("chaos: {key} is not final: {hash:?}");
            }
        }
        ends.count_parts(servers, master);
        ends
    }

    /// Counts the parts of all parents, each of which has to be there still, with an end and its result.
    fn count_parts(&mut self, servers: &Servers, master: &Redis) {
        let parts = std::mem::take(&mut self.parts);
        let hashes = master.try_hashes(&parts).expect("the master answers");
        for (key, hash) in parts.iter().zip(&hashes) {
            let end = End {
                hash,
                is_dead_letter: false,
                bucket: servers.s3.folder(),
            };
            match end.text("status") {
                "done" => {
                    self.parts_done += 1;
                    self.missing_results += u64::from(!end.has_result());
                }
                "failed" if end.is_refused() => self.parts_failed += 1,
                _ => {
                    self.wiped_children += 1;
                    eprintln!("chaos: part {key} was wiped or failed wrong: {hash:?}");
                }
            }
        }
    }

    /// Counts a job, and says whether it has ended in the way of its kind. One without an end has not ended wrong.
    fn count(&mut self, kind: Kind, end: &End<'_>) -> bool {
        match (kind, end.text("status")) {
            _ if end.hash.is_empty() => self.lost += 1,
            _ if !is_final(end.hash) => self.unfinished += 1,
            (Kind::Image, "done") => {
                self.done += 1;
                self.missing_results += u64::from(!end.has_result());
            }
            (Kind::Command, "done") => {
                self.commands += 1;
                self.missing_results += u64::from(!end.has_result());
            }
            (Kind::Leak, "failed") => {
                self.leaks += 1;
                return end.text("error_class") == "too_large";
            }
            (Kind::Archive(_) | Kind::Movie, "done") => {
                self.parents += 1;
                let parts = end.text("children").split(',').map(str::to_owned);
                self.parts.extend(parts);
                let is_right = end.has_all_parts(kind);
                self.wrong_parents += u64::from(!is_right);
                let has_result = match kind {
                    Kind::Archive(archive) => end.has_result_of(archive),
                    _ => end.has_result(),
                };
                self.missing_results += u64::from(!has_result);
                return is_right && has_result;
            }
            (Kind::Broken, "failed") => {
                self.failed_input += 1;
                return end.blames_its_file();
            }
            (Kind::Hostile(_), "failed") => {
                self.hostile += 1;
                return end.is_refused();
            }
            (Kind::Poison | Kind::Panic, "failed") => {
                self.dead += 1;
                return end.is_dead_letter && end.text("error_class") == "crash";
            }
            _ => return false,
        }
        true
    }
}

/// How one job ended.
struct End<'a> {
    hash: &'a HashMap<String, String>,
    is_dead_letter: bool,
    bucket: PathBuf,
}

impl End<'_> {
    fn text(&self, field: &str) -> &str {
        self.hash.get(field).map_or("", String::as_str)
    }

    fn has_result(&self) -> bool {
        self.bucket.join(self.text("output_file_name")).is_file()
    }

    /// Whether the archive of results holds one for each part that is not broken.
    fn has_result_of(&self, Archive { parts, broken }: Archive) -> bool {
        let file = File::open(self.bucket.join(self.text("output_file_name")));
        let archive = file.ok().and_then(|file| zip::ZipArchive::new(file).ok());
        archive.is_some_and(|archive| archive.len() == parts - broken)
    }

    /// Whether a parent counts its parts as it has to: all done, but for the broken ones of an archive.
    fn has_all_parts(&self, kind: Kind) -> bool {
        let Archive { parts, broken } = match kind {
            Kind::Archive(archive) => archive,
            _ => Archive {
                parts: FRAMES,
                broken: 0,
            },
        };
        let counts = ["total_jobs", "children_done", "children_failed", "progress"]
            .map(|field| self.text(field).to_owned());
        let failures = self.text("failures").split('&');
        failures.filter(|failure| !failure.is_empty()).count() == broken
            && self.text("children").split(',').count() == parts
            && counts == [parts, parts - broken, broken, 100].map(|count| count.to_string())
    }

    /// Whether it failed for good, by what it is rather than by what happened to it.
    fn is_refused(&self) -> bool {
        let classes = ["invalid_input", "unsupported", "too_large"];
        !self.is_dead_letter && classes.contains(&self.text("error_class"))
    }

    fn is_cancelled(&self) -> bool {
        self.text("status") == "failed" && self.text("error_class") == "cancelled"
    }

    fn blames_its_file(&self) -> bool {
        let last = self.text("reason").lines().last();
        self.text("error_class") == "invalid_input"
            && last.is_some_and(|line| line.starts_with("ValueError: "))
    }
}

/// How often an operator had a job worked once more: by itself, or with a batch that was cancelled and revived.
fn worked_again(master: &Redis, key: &str, operator: &Operator) -> u64 {
    let fields = ["HMGET", key, "rc_requeued", "rc_batch"];
    let (requeued, batch): (Option<String>, Option<String>) = master.ask(&fields);
    let revived = batch.map_or(0, |_| operator.batch_cancels);
    requeued.map_or(0, |count| count.parse().unwrap_or(0)) + revived
}

/// Lists and sets of the queues that are not empty, though nothing is to do.
fn leftovers(master: &Redis) -> usize {
    let queues = [
        QUEUE.to_owned(),
        format!("{QUEUE}-zip"),
        "tracking".to_owned(),
        commands::QUEUE.to_owned(),
    ];
    let sets = ["lease", "delayed", "parked"];
    let mut names: Vec<_> = sets
        .iter()
        .flat_map(|set| queues.iter().map(move |queue| format!("rc:{set}:{queue}")))
        .collect();
    names.extend(queues);
    names.retain(|name| master.ask::<u32>(&["EXISTS", name]) == 1);
    master.keys("processing-*").len() + master.keys("rc:pending:*").len() + names.len()
}

/// Processes of commands, a while after the last consumer has ended.
async fn left_processes() -> usize {
    for _ in 0..50 {
        if commands::processes() == 0 {
            return 0;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    commands::processes()
}

/// How much `fsck` finds.
async fn findings(master: &Redis) -> usize {
    let admin = Admin::new(&RedisSettings::plain("127.0.0.1", master.port()));
    let findings = admin.check().await.expect("redis answers");
    findings
        .iter()
        .for_each(|finding| eprintln!("chaos: fsck: {finding}"));
    findings.len()
}

/// What the consumers have said of jobs.
#[derive(Default, Serialize)]
struct Said {
    reclaimed: u64,
    retried: u64,
    fenced: u64,
    /// How often each job was ended, by its key.
    #[serde(skip)]
    commits: HashMap<String, u64>,
    /// How often each was claimed.
    #[serde(skip)]
    claims: HashMap<String, u64>,
}

impl Said {
    fn of(fleet: &Fleet) -> Self {
        let mut said = Self::default();
        fleet.logs().for_each(|line| said.hear(&line));
        said
    }

    fn hear(&mut self, line: &Value) {
        let status = line["status"].as_str();
        match line["message"].as_str().unwrap_or_default() {
            "the job is settled" if matches!(status, Some("done" | "failed")) => {
                let key = line["span"]["job.key"].as_str();
                if let Some(key) = key.filter(|key| !key.is_empty()) {
                    *self.commits.entry(key.to_owned()).or_default() += 1;
                }
            }
            "claimed a job" => {
                let key = line["span"]["job.key"].as_str().unwrap_or_default();
                *self.claims.entry(key.to_owned()).or_default() += 1;
            }
            text if text.starts_with("the job went to another consumer") => self.fenced += 1,
            text if text.starts_with("requeued a job")
                || text.starts_with("an earlier process") =>
            {
                self.reclaimed += 1;
            }
            "the job failed; retrying it later" => self.retried += 1,
            _ => {}
        }
    }
}
