//! Turns items of plans into jobs, as long as there is room in their queues.
//!
//! Many consumers do this at once without speaking to each other: a script compares where each believes the stage to be, and makes
//! a chunk of jobs or none. So nothing is lost with a consumer, and nothing is made twice.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::gathering::gather;
use super::loaded::Loaded;
use super::sweep::Sweep;
use crate::queue::control::{BatchState, Chunk, Fed, From, StageState};
use crate::queue::{Admin, Queue};
use crate::storage::Storage;
use crate::wire::{batch, millis_since_1970};

/// Items of one script.
const CHUNK: usize = 200;
/// Chunks of one stage, until others have their turn.
const TURN: usize = 50;

/// Pauses between looks: while a queue is fed, while there is nothing to feed, and while nobody has a batch for it.
const BUSY: Duration = Duration::from_millis(100);
const WAITING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);

/// How often items are looked for that ended unnoticed, and how often Redis is asked for its memory.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const MEMORY_EVERY: Duration = Duration::from_secs(10);
/// Per cent of its memory from which on Redis is not fed, and below which it is again.
const FULL: u64 = 85;
const FREE: u64 = 80;

/// Feeds batches; knows their plans.
pub(crate) struct Feeder {
    admin: Admin,
    storage: Option<Storage>,
    plans: HashMap<String, Loaded>,
    sweep: Sweep,
    /// Batches that cannot be fed, which was said once.
    told: HashSet<String>,
    is_full: bool,
    memory_asked: Option<Instant>,
}

/// Where the lists of plans are, if there is a bucket.
#[derive(Clone, Default)]
pub(crate) struct ListStore(Option<Storage>);

impl ListStore {
    pub(crate) fn new(storage: Storage) -> Self {
        Self(Some(storage))
    }
}

/// Feeds a queue, and whatever its batches have for others, for as long as it is polled.
pub(crate) async fn feed_queue(queue: Queue, lists: ListStore) {
    let mut feeder = Feeder::new(queue.impatient_admin(), lists.0);
    let mut swept = Instant::now();
    loop {
        let pause = match feeder.feed(queue.name()).await {
            Ok(None) => IDLE,
            Ok(Some(0)) => WAITING,
            Ok(Some(_)) => BUSY,
            Err(error) => {
                debug!(error = %format!("{error:#}"), "could not feed the queue");
                WAITING
            }
        };
        if pause != IDLE && swept.elapsed() > SWEEP_EVERY {
            swept = Instant::now();
            if let Err(error) = feeder.sweep(queue.name()).await {
                debug!(error = %format!("{error:#}"), "could not look for items that have ended unnoticed");
            }
        }
        tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

impl Feeder {
    /// Feeds from lists in this bucket, if there is one.
    pub(crate) fn new(admin: Admin, storage: Option<Storage>) -> Self {
        Self {
            admin,
            storage,
            plans: HashMap::new(),
            sweep: Sweep::default(),
            told: HashSet::new(),
            is_full: false,
            memory_asked: None,
        }
    }

    /// Feeds the batches that have something for a queue, all of their stages, and gives how many items were handled; nothing if
    /// no batch has anything for it.
    pub(crate) async fn feed(&mut self, queue: &str) -> anyhow::Result<Option<u64>> {
        let stages = self.admin.feedable(queue).await?;
        if stages.is_empty() {
            self.plans.clear();
            return Ok(None);
        }
        let mut batches: Vec<_> = stages.into_iter().map(|(name, _)| name).collect();
        batches.dedup();
        let mut made = 0;
        for name in batches {
            made += match self.feed_batch(&name).await {
                Ok(made) => {
                    self.told.remove(&name);
                    made
                }
                Err(error) => {
                    // The others go on.
                    if self.told.insert(name.clone()) {
                        warn!(batch = name, error = %format!("{error:#}"), "a batch cannot be fed");
                    }
                    0
                }
            };
        }
        Ok(Some(made))
    }

    /// Feeds all stages of a batch, and gives how many items were handled.
    pub(crate) async fn feed_batch(&mut self, name: &str) -> anyhow::Result<u64> {
        let Some(state) = self.admin.batch(name).await? else {
            self.plans.remove(name);
            return Ok(0);
        };
        if state.state != batch::RUNNING || self.is_memory_full().await? {
            return Ok(0);
        }
        self.load(name, &state).await?;
        let mut made = 0;
        for stage in 0..state.stages.len() {
            let is = &state.stages[stage];
            if is.held.is_none() && !is.is_over() {
                made += self.feed_stage(name, stage, &state).await?;
            }
        }
        Ok(made)
    }

    /// Looks for items of a queue that have ended without anybody counting them.
    async fn sweep(&mut self, queue: &str) -> anyhow::Result<()> {
        // One consumer does this for all.
        if !self.admin.take_items_turn(queue, SWEEP_EVERY).await? {
            return Ok(());
        }
        for (name, stage) in self.admin.feedable(queue).await? {
            self.sweep_stage(&name, stage).await?;
        }
        Ok(())
    }

    /// The same for all stages of a batch.
    pub(crate) async fn sweep_batch(&mut self, name: &str) -> anyhow::Result<()> {
        let state = self.admin.batch(name).await?.unwrap_or_default();
        for (stage, is) in state.stages.iter().enumerate() {
            if is.out > 0 {
                self.sweep_stage(name, stage).await?;
            }
        }
        Ok(())
    }

    async fn sweep_stage(&mut self, name: &str, stage: usize) -> anyhow::Result<()> {
        let Some(state) = self.admin.batch(name).await? else {
            return Ok(());
        };
        self.load(name, &state).await?;
        let Some(loaded) = self.plans.get_mut(name) else {
            return Ok(());
        };
        let storage = self.storage.as_ref();
        self.sweep
            .look(&self.admin, storage, loaded, name, stage)
            .await
    }

    /// Reads the plan of a batch, unless it is known.
    pub(crate) async fn load(&mut self, name: &str, state: &BatchState) -> anyhow::Result<()> {
        let version = (state.digest.clone(), state.revision);
        let known = self.plans.get(name);
        if known.is_some_and(|loaded| loaded.version == version) {
            return Ok(());
        }
        let json = self.admin.batch_plan(name).await?.unwrap_or_default();
        let loaded = tokio::task::spawn_blocking(move || Loaded::read(&json, version)).await??;
        self.plans.insert(name.to_owned(), loaded);
        Ok(())
    }

    /// The plan of a batch that was fed.
    pub(crate) fn loaded(&mut self, name: &str) -> Option<&mut Loaded> {
        self.plans.get_mut(name)
    }

    async fn feed_stage(
        &mut self,
        name: &str,
        stage: usize,
        state: &BatchState,
    ) -> anyhow::Result<u64> {
        let is = &state.stages[stage];
        let mut made = 0;
        if is.again > 0 {
            made += self.feed_marked(name, stage, is, From::Again).await?;
        }
        let Some(loaded) = self.plans.get(name) else {
            return Ok(made);
        };
        let is_gathered = loaded.plan.is_gathered(stage);
        if !is.is_started || !self.is_open(name, stage, state) {
            return Ok(made);
        }
        if is_gathered && is.ready > 0 {
            made += self.feed_marked(name, stage, is, From::Ready).await?;
        }
        if !is_gathered && is.next < is.total {
            made += self.feed_positions(name, stage, is).await?;
        }
        Ok(made)
    }

    /// Whether the stages below, all of whose items are waited for, have ended well enough.
    fn is_open(&self, name: &str, stage: usize, state: &BatchState) -> bool {
        let Some(loaded) = self.plans.get(name) else {
            return false;
        };
        let allowed = loaded.plan.stages()[stage].work.allow_failed;
        loaded.plan.barriers(stage).iter().all(|&below| {
            let below = &state.stages[below];
            below.is_over() && below.failed <= allowed.of(below.total)
        })
    }

    /// Feeds items in the order of their positions.
    async fn feed_positions(
        &mut self,
        name: &str,
        stage: usize,
        is: &StageState,
    ) -> anyhow::Result<u64> {
        let (mut at, mut made) = (is.next, 0);
        for _ in 0..TURN {
            let end = is.total.min(at + CHUNK as u64);
            if at >= end {
                break;
            }
            let loaded = self.plans.get_mut(name);
            let loaded = loaded.ok_or_else(|| anyhow::anyhow!("the plan is not loaded"))?;
            let mut items = Vec::new();
            for position in at..end {
                let item = loaded.plan.item_at(stage, position).unwrap_or(position);
                let job = loaded.job(self.storage.as_ref(), stage, item, position);
                items.push(job.await?);
            }
            let fed = self
                .send(name, stage, is, From::Position(at, end), items)
                .await?;
            match fed {
                Fed::Made { jobs, passed } => {
                    made += jobs + passed;
                    // Where the room has ended, others find the position.
                    if jobs + passed < end - at {
                        break;
                    }
                    at = end;
                }
                Fed::Moved(next) => at = next,
                Fed::Full | Fed::Held => break,
            }
        }
        Ok(made)
    }

    /// Feeds items that have a mark.
    async fn feed_marked(
        &mut self,
        name: &str,
        stage: usize,
        is: &StageState,
        from: From,
    ) -> anyhow::Result<u64> {
        let what = match from {
            From::Again => batch::AGAIN,
            _ => batch::READY,
        };
        let (mut window, mut made) = (0, 0);
        for _ in 0..TURN {
            let marked = self.admin.marked(name, stage, what, window, CHUNK).await?;
            let (marked, next) = marked;
            if !marked.is_empty() {
                let loaded = self.plans.get_mut(name);
                let loaded = loaded.ok_or_else(|| anyhow::anyhow!("the plan is not loaded"))?;
                let mut items = Vec::new();
                for item in marked {
                    if let Some(storage) = &self.storage {
                        gather(&self.admin, storage, loaded, stage, item).await?;
                    }
                    let job = loaded.job(self.storage.as_ref(), stage, item, 0);
                    items.push(job.await?);
                }
                match self.send(name, stage, is, from, items).await? {
                    Fed::Made { jobs, passed } => made += jobs + passed,
                    Fed::Moved(_) => {}
                    Fed::Full | Fed::Held => break,
                }
            }
            match next {
                Some(next) => window = next,
                None => break,
            }
        }
        Ok(made)
    }

    async fn send(
        &self,
        name: &str,
        stage: usize,
        is: &StageState,
        from: From,
        items: Vec<crate::queue::control::NewItem>,
    ) -> anyhow::Result<Fed> {
        let Some(loaded) = self.plans.get(name) else {
            return Ok(Fed::Held);
        };
        let of = &loaded.plan.stages()[stage];
        let elapsed = is.began.map_or(0, |began| {
            (millis_since_1970() / 1000).saturating_sub(began)
        });
        let chunk = Chunk {
            batch: name,
            stage,
            queue: &of.queue,
            from,
            longest_queue: of.work.limit.queue,
            at_once: of.work.limit.at(elapsed),
            to_front: of.work.first,
            items,
        };
        Ok(self.admin.feed(&chunk).await?)
    }

    /// Whether Redis has little memory left.
    async fn is_memory_full(&mut self) -> anyhow::Result<bool> {
        let is_known = self
            .memory_asked
            .is_some_and(|asked| asked.elapsed() < MEMORY_EVERY);
        if !is_known {
            let used = self.admin.memory_used().await?.unwrap_or(0);
            let limit = if self.is_full { FREE } else { FULL };
            let is_full = used > limit;
            if is_full && !self.is_full {
                warn!(
                    used_percent = used,
                    "Redis has little memory left: batches are not fed"
                );
            }
            (self.is_full, self.memory_asked) = (is_full, Some(Instant::now()));
        }
        Ok(self.is_full)
    }
}
