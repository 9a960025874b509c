//! The overview: numbers, and what does not go on by itself.

use askama::Template;

use super::super::shown::{Link, message};
use super::piece::{Ground, Shape, html};
use crate::batch::MEMORY_FULL;
use crate::figures::{counted, grouped, size};
use crate::queue::control::{BatchState, Overview, ServerState};
use crate::wire::batch;

/// Batches that are looked at for what is held.
pub(in super::super) const BATCHES: usize = 50;

/// The pieces of the overview.
pub(in super::super) struct OverviewPieces {
    pub(in super::super) tiles: Tiles,
    pub(in super::super) held: HeldList,
    pub(in super::super) shape: Shape,
    pub(in super::super) is_empty: bool,
}

#[derive(Template)]
#[template(path = "pieces/tiles.html")]
pub(in super::super) struct Tiles {
    layout: Ground,
    tiles: Vec<Tile>,
    /// What is said to those who do not see.
    said: String,
}

#[derive(Template)]
#[template(path = "pieces/held.html")]
pub(in super::super) struct HeldList {
    layout: Ground,
    held: Vec<Held>,
}

/// A number with what it counts.
struct Tile {
    name: &'static str,
    path: &'static str,
    number: String,
    /// What is to be known besides.
    note: String,
    is_bad: bool,
}

/// Something that does not go on by itself.
struct Held {
    link: Link,
    why: String,
}

impl Tile {
    fn new(name: &'static str, path: &'static str, number: u64) -> Self {
        Self {
            name,
            path,
            number: grouped(number),
            note: String::new(),
            is_bad: false,
        }
    }

    fn noted(self, note: String) -> Self {
        Self { note, ..self }
    }
}

impl OverviewPieces {
    pub(in super::super) fn of(
        ground: &Ground,
        (queues, batches): (&[Overview], &[(String, BatchState)]),
        server: &ServerState,
    ) -> Self {
        let memory = memory_tile(server.used_bytes, server.most_bytes);
        let tiles: Vec<_> = queue_tiles(queues)
            .into_iter()
            .chain([batch_tile(batches), memory])
            .collect();
        let said = tiles.iter().take(SAID);
        let said: Vec<_> = said
            .map(|tile| format!("{} {}", tile.number, tile.name))
            .collect();
        let is_empty = queues.is_empty() && batches.is_empty();
        Self {
            tiles: Tiles {
                layout: ground.clone(),
                tiles,
                said: said.join(", "),
            },
            held: HeldList {
                layout: ground.clone(),
                held: held(queues, batches),
            },
            shape: Shape::of(is_empty),
            is_empty,
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        vec![html(&self.shape), html(&self.tiles), html(&self.held)]
    }
}

/// Tiles that are said: jobs, not workers and memory.
const SAID: usize = 4;

fn queue_tiles(queues: &[Overview]) -> [Tile; 5] {
    let sum = |of: fn(&Overview) -> u64| queues.iter().map(of).sum::<u64>();
    // The sum of nothing is a zero with a sign.
    let rate = queues.iter().map(|it| it.rates.five_minutes).sum::<f64>() + 0.0;
    let slots = grouped(sum(|it| it.slots));
    let (waiting, running) = (sum(|it| it.waiting), sum(|it| it.running));
    let (done, failed) = (
        sum(|it| it.rates.done_today),
        sum(|it| it.rates.failed_today),
    );
    let failed_tile = Tile::new("failed today", "/failed", failed);
    [
        Tile::new("waiting", "/queues", waiting).noted(counted(queues.len() as u64, "queue")),
        Tile::new("running", "/workers", running).noted(format!("{slots} slots")),
        Tile::new("done today", "/queues", done).noted(format!("{rate:.1} a second")),
        Tile {
            is_bad: failed > 0,
            ..failed_tile.noted("by cause".to_owned())
        },
        worker_tile(queues),
    ]
}

fn worker_tile(queues: &[Overview]) -> Tile {
    let unserved = queues.iter().filter(|it| it.workers == 0 && it.waiting > 0);
    let unserved = unserved.count() as u64;
    let workers = queues.iter().map(|it| it.workers).sum();
    let note = match unserved {
        0 => "no queue waits for one".to_owned(),
        count => format!("{} without one", counted(count, "queue")),
    };
    Tile {
        is_bad: unserved > 0,
        ..Tile::new("workers", "/workers", workers).noted(note)
    }
}

fn batch_tile(batches: &[(String, BatchState)]) -> Tile {
    let running = batches.iter().filter(|(_, it)| it.state == batch::RUNNING);
    let paused = batches.iter().filter(|(_, it)| it.state == batch::PAUSED);
    let running = running.count() as u64;
    Tile::new("batches", "/batches", running).noted(format!("running, {} paused", paused.count()))
}

fn memory_tile(used: u64, most: u64) -> Tile {
    let percent = (used * 100).checked_div(most).unwrap_or(0);
    Tile {
        name: "Redis memory",
        path: "/system",
        number: size(used as f64),
        note: match most {
            0 => "no limit is set".to_owned(),
            _ => format!("{percent} % of {}", size(most as f64)),
        },
        is_bad: percent > MEMORY_FULL,
    }
}

/// What does not go on by itself.
fn held(queues: &[Overview], batches: &[(String, BatchState)]) -> Vec<Held> {
    let mut all = Vec::new();
    for queue in queues {
        let mut add = |why| {
            let link = Link::to_queue(&queue.queue);
            all.push(Held { link, why });
        };
        if let Some(pause) = &queue.pause {
            add(message(&format!("paused by {}: {}", pause.by, pause.why)));
        }
        if queue.workers == 0 && queue.waiting > 0 {
            add("jobs wait, and no worker of this program serves it".to_owned());
        }
        queue
            .obstacles
            .iter()
            .for_each(|why| add(format!("a worker cannot work: {}", message(why))));
    }
    for (name, state) in batches {
        for stage in &state.stages {
            if let Some(why) = &stage.held {
                let why = message(&format!("stage {} is held: {why}", stage.name));
                let link = Link::to_batch(name);
                all.push(Held { link, why });
            }
        }
    }
    all
}
