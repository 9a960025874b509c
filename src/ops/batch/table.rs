//! How a batch fares, stage by stage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::time::Duration;

use batch_plan::work::OnFailure;
use serde_json::{Value, json};

use super::super::desk::{Age, Desk, Table, ago, grouped, known};
use crate::batch::{Loaded, MEMORY_FULL};
use crate::queue::control::{BatchState, StageState};
use crate::untrusted;
use crate::wire::{batch, millis_since_1970};

/// Failed items that are looked at for what they block.
const LOOKED: usize = 10_000;
/// Causes that are shown.
const CAUSES: usize = 5;

/// A batch with what has to be found out besides.
struct Shown {
    state: BatchState,
    /// For each stage its rate, and how many items wait for a child that has failed.
    rates: Vec<f64>,
    blocked: Vec<u64>,
    causes: Vec<(String, u64)>,
    /// Per cent of the memory of Redis, if it has a limit.
    memory: Option<u64>,
    /// Whether none of its queues has a consumer that feeds.
    is_alone: bool,
}

/// Prints how a batch fares.
pub(in super::super) async fn show(desk: &Desk, name: &str) -> anyhow::Result<()> {
    let shown = Shown::of(desk, name).await?;
    let state = &shown.state;
    let mut out = io::stdout();
    let since = ago(state.created * 1000);
    let by = untrusted::name(&state.created_by);
    let title = untrusted::name(name);
    writeln!(out, "{title}  {}  since {since}  by {by}", state.state)?;
    let mut table = Table::new(&[
        "stage", ">total", ">new", ">ready", ">out", ">done", ">failed", ">blocked", ">%", ">rate",
        ">left",
    ]);
    for number in 0..state.stages.len() {
        table.row(shown.cells(number));
    }
    table.print()?;
    shown.show_obstacles()?;
    for obstacle in obstacles(name, state) {
        writeln!(out, "{obstacle}")?;
    }
    for (cause, count) in shown.causes.iter().take(CAUSES) {
        let (count, cause) = (grouped(*count), untrusted::message(cause));
        writeln!(out, "{count} failed: {cause}")?;
    }
    Ok(())
}

/// Why stages of a batch get no further, and what lets them go on.
pub(in super::super) fn obstacles(batch: &str, state: &BatchState) -> Vec<String> {
    let mut all = Vec::new();
    for stage in &state.stages {
        let name = untrusted::name(&stage.name);
        if let Some(why) = &stage.held {
            let why = untrusted::message(why);
            all.push(format!("{name} is held: {why}; batch resume lets it go on"));
        }
        if !stage.is_started && !stage.is_over() {
            let batch = untrusted::name(batch);
            all.push(format!(
                "{name} waits for: redis-consumer batch start {batch} --stage {name}"
            ));
        }
    }
    all
}

/// The same as one JSON object.
pub(in super::super) async fn to_json(desk: &Desk, name: &str) -> anyhow::Result<Value> {
    let shown = Shown::of(desk, name).await?;
    let stages: Vec<_> = (0..shown.state.stages.len())
        .map(|number| shown.stage_to_json(number))
        .collect();
    let causes = shown.causes.iter();
    let causes: Vec<_> = causes
        .map(|(why, count)| json!({ "why": why, "count": count }))
        .collect();
    Ok(json!({
        "batch": name,
        "state": shown.state.state,
        "created": shown.state.created,
        "ended": shown.state.ended,
        "digest": shown.state.digest,
        "stages": stages,
        "causes": causes,
        "redis_memory_percent": shown.memory,
        "consumers": !shown.is_alone,
    }))
}

impl Shown {
    async fn of(desk: &Desk, name: &str) -> anyhow::Result<Self> {
        let state = known(desk, name).await?;
        let has_failed = state.stages.iter().any(|stage| stage.failed > 0);
        let (mut blocked, mut causes) = (vec![0; state.stages.len()], Vec::new());
        if has_failed {
            blocked = blocked_by(desk, name, &state).await?;
            causes = causes_of(desk, name, &state).await?;
        }
        Ok(Self {
            rates: rates(desk, &state).await?,
            memory: desk.admin.memory_used().await?,
            is_alone: is_alone(desk, &state).await?,
            state,
            blocked,
            causes,
        })
    }

    /// Says why nothing of the batch gets further.
    fn show_obstacles(&self) -> io::Result<()> {
        let mut out = io::stdout();
        if let Some(used) = self.memory.filter(|used| *used > MEMORY_FULL) {
            writeln!(
                out,
                "Redis uses {used} % of its memory: above {MEMORY_FULL} % nothing is fed"
            )?;
        }
        if self.is_alone && self.state.state == batch::RUNNING {
            writeln!(
                out,
                "no consumer serves its queues: nothing is fed, unless a janitor or `redis-consumer feed` runs"
            )?;
        }
        Ok(())
    }

    fn stage_to_json(&self, number: usize) -> Value {
        let stage = &self.state.stages[number];
        json!({
            "name": stage.name,
            "queue": stage.queue,
            "total": stage.is_read.then_some(stage.total),
            "new": self.untouched(number),
            "ready": stage.ready,
            "out": stage.out,
            "done": stage.done,
            "failed": stage.failed,
            "blocked": self.blocked[number],
            "vanished": stage.vanished,
            "held": stage.held,
            "started": stage.is_started,
            "rate_5m": self.rates[number],
            "eta_s": self.left(number).map(|left| left.as_secs_f64()),
            "began": stage.began,
            "ended": stage.ended,
        })
    }

    /// Items that nothing is known of yet, or that are to be fed once more.
    fn untouched(&self, number: usize) -> u64 {
        let stage = &self.state.stages[number];
        let touched = stage.ready + stage.out + stage.done + stage.failed;
        stage.total.saturating_sub(touched)
    }

    fn left(&self, number: usize) -> Option<Duration> {
        let stage = &self.state.stages[number];
        let left = stage.total.saturating_sub(stage.done + stage.failed);
        let rate = self.rates[number];
        (rate > 0.0 && left > 0).then(|| Duration::from_secs_f64(left as f64 / rate))
    }

    fn cells(&self, number: usize) -> [String; 11] {
        let stage = &self.state.stages[number];
        let rate = self.rates[number];
        [
            stage.name.clone(),
            match stage.is_read {
                true => grouped(stage.total),
                false => "–".to_owned(),
            },
            grouped(self.untouched(number)),
            grouped(stage.ready),
            grouped(stage.out),
            grouped(stage.done),
            grouped(stage.failed),
            grouped(self.blocked[number]),
            (stage.done * 100 / stage.total.max(1)).to_string(),
            match rate > 0.0 {
                true => format!("{rate:.1}/s"),
                false => "–".to_owned(),
            },
            self.left(number)
                .map_or_else(|| "–".to_owned(), |left| Age(left).to_string()),
        ]
    }
}

/// Whether a batch has no consumer on any of its queues.
async fn is_alone(desk: &Desk, state: &BatchState) -> anyhow::Result<bool> {
    for queue in state.queues() {
        if !desk.admin.workers(queue).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Causes of failures, the most frequent ones first.
pub(in super::super) async fn causes_of(
    desk: &Desk,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<Vec<(String, u64)>> {
    let mut causes = BTreeMap::<String, u64>::new();
    for (number, stage) in state.stages.iter().enumerate() {
        if stage.failed > 0 {
            for (why, count) in desk.admin.batch_causes(name, number).await? {
                *causes.entry(why).or_default() += count;
            }
        }
    }
    let mut causes: Vec<_> = causes.into_iter().filter(|(_, count)| *count > 0).collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(causes)
}

/// Items a second of each stage: those of its queue over the last five minutes, if it has jobs there; since it began, if it has
/// run for less.
async fn rates(desk: &Desk, state: &BatchState) -> anyhow::Result<Vec<f64>> {
    let now = millis_since_1970() / 1000;
    let queues: Vec<_> = state.queues().into_iter().map(str::to_owned).collect();
    let overviews = desk.overviews(&queues, false).await?;
    let of_queue: HashMap<_, _> = overviews
        .into_iter()
        .map(|it| (it.queue, it.rates.five_minutes))
        .collect();
    let rate = |stage: &StageState| {
        let began = stage.began.unwrap_or(now);
        let elapsed = now.saturating_sub(began);
        match stage.out {
            0 => 0.0,
            _ if elapsed < 300 => stage.done as f64 / (elapsed.max(1)) as f64,
            _ => of_queue.get(&stage.queue).copied().unwrap_or(0.0),
        }
    };
    Ok(state.stages.iter().map(rate).collect())
}

/// How many items of each stage wait for one that has failed.
async fn blocked_by(desk: &Desk, name: &str, state: &BatchState) -> anyhow::Result<Vec<u64>> {
    let plan = Loaded::fetch(&desk.admin, None, name, state).await?.plan;
    let mut blocked = vec![BTreeSet::new(); state.stages.len()];
    for (number, stage) in state.stages.iter().enumerate() {
        let holds = plan.stages()[number].work.on_failure == OnFailure::Wait;
        if stage.failed == 0 || !holds {
            continue;
        }
        let (mut from, mut looked) = (Some(0), 0);
        while let Some(at) = from.filter(|_| looked < LOOKED) {
            let (items, next) = desk
                .admin
                .marked(name, number, batch::FAILED, at, LOOKED)
                .await?;
            looked += items.len();
            for item in items {
                // Of groups by a text only their rows tell who waits, which are in the bucket.
                for up in plan.ups(number, item, None) {
                    blocked[up.stage].insert(up.parent);
                }
            }
            from = next;
        }
    }
    Ok(blocked
        .into_iter()
        .map(|items| items.len() as u64)
        .collect())
}
