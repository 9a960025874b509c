//! How a batch fares, stage by stage, with what has to be found out besides its counters.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use batch_plan::work::OnFailure;

use super::loaded::Loaded;
use super::operator::known;
use crate::queue::Admin;
use crate::queue::control::{BatchState, Overview, StageState};
use crate::untrusted;
use crate::wire::{batch, millis_since_1970};

/// Failed items that are looked at for what they block.
const LOOKED: usize = 10_000;

/// A batch with what has to be found out besides.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) state: BatchState,
    /// For each stage its rate, and how many items wait for a child that has failed.
    pub(crate) rates: Vec<f64>,
    pub(crate) blocked: Vec<u64>,
    /// Causes of failures and how many items each has met, the most frequent ones first.
    pub(crate) causes: Vec<(String, u64)>,
    /// Per cent of the memory of Redis, if it has a limit.
    pub(crate) memory: Option<u64>,
    /// Whether none of its queues has a consumer that feeds.
    pub(crate) is_alone: bool,
}

impl Standing {
    /// How a batch of this name fares.
    pub(crate) async fn of(admin: &Admin, name: &str) -> anyhow::Result<Self> {
        let state = known(admin, name).await?;
        let (failed, overviews, memory) = futures::try_join!(
            failures_of(admin, name, &state),
            overviews(admin, &state),
            async { Ok(admin.memory_used().await?) },
        )?;
        let (blocked, causes) = failed;
        Ok(Self {
            rates: rates(&state, &overviews),
            is_alone: overviews.iter().all(|queue| queue.workers == 0),
            memory,
            state,
            blocked,
            causes,
        })
    }

    /// The same with counters and queues as they are now. What failed items block, why they have failed, and memory take longer
    /// to find out, and stay. Nothing if it is another batch by now.
    pub(crate) fn refreshed(&self, state: BatchState, overviews: &[Overview]) -> Option<Self> {
        let is_same =
            state.digest == self.state.digest && state.stages.len() == self.state.stages.len();
        is_same.then(|| Self {
            rates: rates(&state, overviews),
            is_alone: overviews.iter().all(|queue| queue.workers == 0),
            state,
            ..self.clone()
        })
    }

    /// Items that nothing is known of yet, or that are to be fed once more.
    pub(crate) fn untouched(&self, number: usize) -> u64 {
        let stage = &self.state.stages[number];
        let touched = stage.ready + stage.out + stage.done + stage.failed;
        stage.total.saturating_sub(touched)
    }

    /// Time until the stage has ended at its rate.
    pub(crate) fn left(&self, number: usize) -> Option<Duration> {
        let stage = &self.state.stages[number];
        let left = stage.total.saturating_sub(stage.done + stage.failed);
        let rate = self.rates[number];
        (rate > 0.0 && left > 0).then(|| Duration::from_secs_f64(left as f64 / rate))
    }
}

/// Why stages of a batch get no further, and what lets them go on.
pub(crate) fn obstacles(batch: &str, state: &BatchState) -> Vec<String> {
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

/// What failed items block, and why they have failed.
async fn failures_of(
    admin: &Admin,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<(Vec<u64>, Vec<(String, u64)>)> {
    if state.stages.iter().all(|stage| stage.failed == 0) {
        return Ok((vec![0; state.stages.len()], Vec::new()));
    }
    futures::try_join!(
        blocked_by(admin, name, state),
        causes_of(admin, name, state)
    )
}

/// Causes of failures, the most frequent ones first.
pub(crate) async fn causes_of(
    admin: &Admin,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<Vec<(String, u64)>> {
    let mut causes = BTreeMap::<String, u64>::new();
    for (number, stage) in state.stages.iter().enumerate() {
        if stage.failed > 0 {
            for (why, count) in admin.batch_causes(name, number).await? {
                *causes.entry(why).or_default() += count;
            }
        }
    }
    let mut causes: Vec<_> = causes.into_iter().filter(|(_, count)| *count > 0).collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(causes)
}

/// How the queues of a batch fare.
async fn overviews(admin: &Admin, state: &BatchState) -> anyhow::Result<Vec<Overview>> {
    let now = admin.now().await?;
    let queues = state.queues().into_iter().map(str::to_owned);
    Ok(admin.overviews(queues, now).await?)
}

/// Items a second of each stage: those of its queue over the last five minutes, if it has jobs there; since it began, if it has
/// run for less.
fn rates(state: &BatchState, overviews: &[Overview]) -> Vec<f64> {
    let now = millis_since_1970() / 1000;
    let of_queue: HashMap<_, _> = overviews
        .iter()
        .map(|it| (it.queue.as_str(), it.rates.five_minutes))
        .collect();
    let rate = |stage: &StageState| {
        let began = stage.began.unwrap_or(now);
        let elapsed = now.saturating_sub(began);
        match stage.out {
            0 => 0.0,
            _ if elapsed < 300 => stage.done as f64 / (elapsed.max(1)) as f64,
            _ => of_queue.get(stage.queue.as_str()).copied().unwrap_or(0.0),
        }
    };
    state.stages.iter().map(rate).collect()
}

/// How many items of each stage wait for one that has failed.
async fn blocked_by(admin: &Admin, name: &str, state: &BatchState) -> anyhow::Result<Vec<u64>> {
    let plan = Loaded::fetch(admin, None, name, state).await?.plan;
    let mut blocked = vec![BTreeSet::new(); state.stages.len()];
    for (number, stage) in state.stages.iter().enumerate() {
        let holds = plan.stages()[number].work.on_failure == OnFailure::Wait;
        if stage.failed == 0 || !holds {
            continue;
        }
        let (mut from, mut looked) = (Some(0), 0);
        while let Some(at) = from.filter(|_| looked < LOOKED) {
            let (items, next) = admin
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
