//! From what Redis has told to the pieces of a topic.

use std::collections::{BTreeSet, HashMap};

use super::super::jobs_table::JobStanding;
use super::super::pieces::batch::BatchPieces;
use super::super::pieces::batches::BatchesPieces;
use super::super::pieces::job::{JobPieces, place_in_words, queue_of};
use super::super::pieces::overview::OverviewPieces;
use super::super::pieces::piece::{Ground, Shape, html};
use super::super::pieces::queue::{ChartPieces, QueuePieces};
use super::super::pieces::queues::{HOURS, QueuesPieces};
use super::super::pieces::workers::WorkersPieces;
use super::board::Sheet;
use super::slow::{Slow, part};
use super::topic::Topic;
use crate::batch::Standing;
use crate::queue::JobKey;
use crate::queue::control::{BatchState, Overview, WorkerState};
use crate::wire::RawFields;

/// What Redis has told this second.
pub(super) struct Seen {
    /// The names of all queues.
    pub(super) names: BTreeSet<String>,
    /// How those fare that somebody looks at, in the order of their names.
    pub(super) queues: Vec<Overview>,
    pub(super) workers: Vec<WorkerState>,
    pub(super) jobs: HashMap<JobKey, RawFields>,
    pub(super) batches: HashMap<String, BatchState>,
}

impl Seen {
    /// The pieces of a topic; nothing if too little is known of it.
    pub(super) fn sheet(&self, topic: &Topic, slow: &Slow, ground: &Ground) -> Option<Sheet> {
        let gone = || vec![html(&Shape::gone())];
        Some(match topic {
            Topic::Overview => {
                let (_, batches) = slow.lists.get(&0)?;
                let known = (self.queues.as_slice(), batches.as_slice());
                OverviewPieces::of(ground, known, slow.server.as_ref()?).html()
            }
            Topic::Queues(from) => self.queues(*from, slow, ground)?,
            Topic::Queue(name) => match self.overview(name) {
                Some(queue) => QueuePieces::of(ground, queue, &self.workers_of(name)).html(),
                None => return None,
            },
            Topic::Chart(hours, name) => {
                let history = slow.charts.get(&(*hours, name.clone()))?;
                ChartPieces::of(history).html()
            }
            Topic::Job(key) => match self.jobs.get(key)? {
                none if none.is_empty() => gone(),
                fields => self.job(key, fields, slow, ground)?,
            },
            Topic::Row(key) => vec![html(&JobStanding::of(key, self.jobs.get(key)?))],
            Topic::Batches(from) => {
                let (total, batches) = slow.lists.get(from)?;
                BatchesPieces::of(ground, batches, *total).html()
            }
            Topic::Batch(name) => match self.batches.get(name) {
                Some(state) => {
                    let standing = self.standing(name, state, slow)?;
                    BatchPieces::of(ground, &standing).html()
                }
                None => gone(),
            },
            Topic::Workers => WorkersPieces::of(ground, &self.workers).html(),
        })
    }

    pub(super) fn overview(&self, name: &str) -> Option<&Overview> {
        self.queues.iter().find(|it| it.queue == name)
    }

    fn workers_of(&self, name: &str) -> Vec<WorkerState> {
        let workers = self.workers.iter();
        workers.filter(|it| it.queue == name).cloned().collect()
    }

    fn queues(&self, from: usize, slow: &Slow, ground: &Ground) -> Option<Sheet> {
        let (mut queues, mut histories) = (Vec::new(), Vec::new());
        for name in part(&self.names, from) {
            queues.push(self.overview(name)?.clone());
            histories.push(slow.charts.get(&(HOURS, name.clone()))?.clone());
        }
        let total = self.names.len() as u64;
        Some(QueuesPieces::of(ground, (&queues, &histories), total).html())
    }

    fn job(&self, key: &JobKey, fields: &RawFields, slow: &Slow, ground: &Ground) -> Option<Sheet> {
        let queue = queue_of(key, fields, &self.names);
        let place = place_in_words(slow.places.get(key)?, fields);
        Some(JobPieces::of(ground, fields, (queue.as_deref(), &place)).html())
    }

    /// How a batch fares this second.
    pub(super) fn standing(&self, name: &str, state: &BatchState, slow: &Slow) -> Option<Standing> {
        let queues = state.queues();
        let of_batch = self.queues.iter();
        let of_batch: Vec<_> = of_batch
            .filter(|it| queues.contains(it.queue.as_str()))
            .cloned()
            .collect();
        let standing = slow.standings.get(name)?.as_ref()?;
        standing.refreshed(state.clone(), &of_batch)
    }
}
