//! One look at Redis for all open pages: two to four round trips, one after the other, however many pages there are; more only for
//! what is asked less often.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::pieces::piece::Ground;
use super::board::Sheet;
use super::seen::Seen;
use super::slow::{Slow, part};
use super::topic::{Telling, Topic, Wish};
use crate::queue::{Admin, Error, JobKey};

/// Looks, and remembers what does not change within a second.
pub(super) struct Poll {
    admin: Admin,
    ground: Ground,
    slow: Slow,
}

/// What is asked for some topics.
#[derive(Default)]
struct Wanted {
    queues: BTreeSet<String>,
    /// Queues whose workers are shown.
    fleets: BTreeSet<String>,
    jobs: HashSet<JobKey>,
    batches: BTreeSet<String>,
}

impl Wanted {
    /// Queues that nobody has heard of are not asked for: their names may be those of anything.
    fn of(topics: &HashSet<Topic>, names: &BTreeSet<String>, slow: &Slow) -> Self {
        let mut wanted = Self::default();
        for topic in topics {
            match topic {
                Topic::Overview => wanted.queues.extend(names.iter().cloned()),
                Topic::Queues(from) => wanted.queues.extend(part(names, *from).cloned()),
                Topic::Queue(name) if names.contains(name) => {
                    wanted.queues.insert(name.clone());
                    wanted.fleets.insert(name.clone());
                }
                Topic::Job(key) | Topic::Row(key) => _ = wanted.jobs.insert(key.clone()),
                Topic::Batch(name) => {
                    wanted.batches.insert(name.clone());
                    let known = slow.standings.get(name).and_then(Option::as_ref);
                    let queues = known.iter().flat_map(|it| it.state.queues());
                    let queues = queues.filter(|it| names.contains(*it));
                    wanted.queues.extend(queues.map(str::to_owned));
                }
                Topic::Workers => wanted.fleets.extend(names.iter().cloned()),
                Topic::Queue(_) | Topic::Chart(..) | Topic::Batches(_) => {}
            }
        }
        wanted
    }
}

impl Poll {
    pub(super) fn new(admin: Admin, ground: Ground) -> Self {
        Self {
            admin,
            ground,
            slow: Slow::default(),
        }
    }

    /// These topics as they are now.
    pub(super) async fn look(
        &mut self,
        wishes: &HashSet<Wish>,
    ) -> Result<HashMap<Wish, Arc<Sheet>>, Error> {
        let Self {
            admin,
            ground,
            slow,
        } = self;
        let topics = wishes.iter().map(|wish| wish.topic.clone()).collect();
        let survey = admin.survey().await?;
        slow.grow_older();
        Box::pin(slow.fill(admin, &topics, &survey.queues)).await?;
        let wanted = Wanted::of(&topics, &survey.queues, slow);
        let (fleets, jobs): (Vec<_>, Vec<_>) = (
            wanted.fleets.into_iter().collect(),
            wanted.jobs.into_iter().collect(),
        );
        let (queues, workers, fields, batches) = futures::try_join!(
            Box::pin(admin.overviews(wanted.queues, survey.now)),
            Box::pin(admin.fleet(&fleets, survey.now)),
            Box::pin(admin.watched_fields(&jobs)),
            Box::pin(admin.batches_of(wanted.batches.into_iter().collect())),
        )?;
        let seen = Seen {
            names: survey.queues,
            queues,
            workers,
            jobs: jobs.into_iter().zip(fields).collect(),
            batches: batches.into_iter().collect(),
        };
        Box::pin(slow.fill_places(admin, &topics, (&seen.jobs, &seen.names))).await?;
        let sheets = wishes.iter().filter_map(|wish| {
            let sheet = sheet(wish, &seen, (slow, ground))?;
            Some((wish.clone(), Arc::new(sheet)))
        });
        Ok(sheets.collect())
    }
}

/// A topic as it is told; nothing if too little is known of it.
fn sheet(wish: &Wish, seen: &Seen, (slow, ground): (&Slow, &Ground)) -> Option<Sheet> {
    Some(match wish.telling {
        Telling::Pieces => seen.sheet(&wish.topic, slow, ground)?,
        Telling::Object => vec![seen.told(&wish.topic, slow)?.to_string()],
    })
}
