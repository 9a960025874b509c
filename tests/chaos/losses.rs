//! Outputs of the plan's items that get lost, and are made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::commands;
use super::fleet::Fleet;
use super::operator::Operator;
use super::peers::redis::Redis;
use super::plan;
use super::servers::Servers;

/// How long it may take to make everything again.
const PATIENCE: Duration = Duration::from_secs(300);

/// An item: its layer, and its place there.
pub(crate) type Item = [u64; 4];

/// What was lost at the end, when nothing was under way any more.
#[derive(Default)]
pub(crate) struct Losses {
    lost: BTreeSet<Item>,
    /// In nanoseconds since 1970.
    at: u128,
    /// How often the batch was repaired.
    pub(crate) repairs: u64,
}

/// What an item that is done has left.
pub(crate) struct Output {
    pub(crate) job: String,
    key: String,
}

/// The outputs of all items that are done, if the server answers.
fn outputs(master: &Redis) -> BTreeMap<Item, Output> {
    let pattern = format!("{}:*", commands::QUEUE);
    let keys: Vec<String> = master.try_ask(&["KEYS", &pattern]).unwrap_or_default();
    let hashes = master.try_hashes(&keys).unwrap_or_default();
    let done = keys.into_iter().zip(hashes).filter(|(_, hash)| {
        let is = |field: &str, value: &str| hash.get(field).is_some_and(|it| it == value);
        is("rc_batch", plan::NAME) && is("status", "done")
    });
    let output = |(job, hash): (String, HashMap<String, String>)| {
        let number = |field: &str| hash.get(field)?.parse().ok();
        let item = [number("layer")?, number("x")?, number("y")?, number("z")?];
        let key = hash.get("output_file_name")?.clone();
        Some((item, Output { job, key }))
    };
    done.filter_map(output).collect()
}

/// Removes about one in so many outputs, and gives them by their items.
pub(crate) fn lose(
    master: &Redis,
    bucket: &Path,
    random: &mut fastrand::Rng,
    one_in: u32,
) -> BTreeMap<Item, Output> {
    let mut outputs = outputs(master);
    outputs.retain(|_, output| {
        random.u32(..one_in) == 0 && fs::remove_file(bucket.join(&output.key)).is_ok()
    });
    outputs
}

impl Losses {
    /// Loses many outputs, and repairs the batch until nothing is missing.
    pub(crate) async fn make_and_repair(
        operator: &mut Operator,
        servers: &Servers,
        fleet: &mut Fleet,
    ) -> Self {
        let mut losses = Self::default();
        let Some(master) = servers.master() else {
            return losses;
        };
        losses.lost = operator.lose(master, servers, 3);
        losses.at = since_1970();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            fleet.tick(servers);
            tokio::time::sleep(Duration::from_millis(100)).await;
            if !plan::is_over(master) {
                continue;
            }
            let repair = ["repair", "--batch", plan::NAME, "--apply"];
            match operator.ask(&repair[..3], servers) {
                Some(0) => break,
                Some(4) => {
                    losses.repairs += 1;
                    operator.ask(&repair, servers);
                }
                _ => {}
            }
        }
        losses
    }

    /// Items that were begun before all of those below had been worked, at first or after the losses.
    pub(crate) fn early(&self, record: &[Record]) -> u64 {
        let parents = plan::items().into_iter().filter(|item| item[0] > 2);
        let again: Vec<_> = record
            .iter()
            .filter(|it| it.at > self.at)
            .copied()
            .collect();
        let is_early = |parent: &Item| {
            let all = children(*parent);
            let lost = all.iter().filter(|child| self.lost.contains(*child));
            let was_early = is_before(record, *parent, &all);
            let lost: Vec<_> = lost.copied().collect();
            let is_early = self.lost.contains(parent) && is_before(&again, *parent, &lost);
            if was_early || is_early {
                eprintln!("chaos: {parent:?} was begun early");
            }
            was_early || is_early
        };
        parents.filter(is_early).count() as u64
    }
}

/// Whether an item was begun before each of these had been worked once, or nobody knows when.
fn is_before(record: &[Record], parent: Item, children: &[Item]) -> bool {
    let first = |item: Item, is_end: bool| {
        let of_item = record
            .iter()
            .filter(|it| it.item == item && it.is_end == is_end);
        of_item.map(|it| it.at).min()
    };
    let Some(begun) = first(parent, false) else {
        return true;
    };
    let mut ends = children.iter().map(|child| first(*child, true));
    ends.any(|end| end.is_none_or(|end| end > begun))
}

/// Items whose output is not there.
pub(crate) fn missing(master: &Redis, bucket: &Path) -> u64 {
    let outputs = outputs(master);
    let is_missing = |item: &Item| {
        let output = outputs.get(item);
        !output.is_some_and(|output| bucket.join(&output.key).is_file())
    };
    let missing = plan::items().into_iter().filter(is_missing);
    missing
        .inspect(|item| eprintln!("chaos: the output of {item:?} is missing"))
        .count() as u64
}

/// What a command has noted: that it begins an item, or has worked it.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    is_end: bool,
    item: Item,
    at: u128,
}

impl Record {
    /// Reads a line; nothing if its writer was killed in its midst.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [what, layer, x, y, z, at] = words[..] else {
            return None;
        };
        let number = |word: &str| word.parse().ok();
        Some(Self {
            is_end: what == "end",
            item: [number(layer)?, number(x)?, number(y)?, number(z)?],
            at: at.parse().ok()?,
        })
    }
}

fn children(parent: Item) -> Vec<Item> {
    let is_child =
        |item: &Item| item[0] + 1 == parent[0] && (1..4).all(|axis| item[axis] / 2 == parent[axis]);
    plan::items().into_iter().filter(is_child).collect()
}

fn since_1970() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later").as_nanos()
}
