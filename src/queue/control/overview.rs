//! How queues fare: how much is where, how old, how fast. In three round trips and constant time, however long they are.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline};

use super::super::admin::Admin;
use super::super::error::Error;
use super::super::worker_card::OBSTACLE;
use super::pause::Pause;
use crate::wire::{self, Keys, field, millis};

/// A consumer without a heartbeat for so long is not counted.
const SILENT: Duration = Duration::from_secs(60);

/// Keys up to which all are looked through without being told to.
const FEW_KEYS: u64 = 100_000;

/// How a queue fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overview {
    pub(crate) queue: String,
    pub(crate) waiting: u64,
    pub(crate) running: u64,
    pub(crate) delayed: u64,
    pub(crate) parked: u64,
    pub(crate) failed: u64,
    pub(crate) dead: u64,
    /// When the job was submitted that is served next, as its hash has it.
    pub(crate) oldest: Option<Vec<u8>>,
    pub(crate) rates: Rates,
    /// Consumers of ours that have sent a heartbeat lately, and the slots of those that say how many they have.
    pub(crate) workers: u64,
    pub(crate) slots: u64,
    pub(crate) pause: Option<Pause>,
    /// Why consumers say that they cannot work.
    pub(crate) obstacles: BTreeSet<String>,
}

/// What there is.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// The names of all queues that consumers of ours have served.
    pub(crate) queues: BTreeSet<String>,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// The time by the clock of Redis, in milliseconds since 1970.
    pub(crate) now: u64,
}

/// Jobs that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// A second, over the last minute that is complete …
    pub(crate) one_minute: f64,
    /// … the last five …
    pub(crate) five_minutes: f64,
    /// … and the last fifteen.
    pub(crate) fifteen_minutes: f64,
    pub(crate) done_today: u64,
    pub(crate) failed_today: u64,
}

/// Lengths, the next entry, the pause, consumers, and what has ended.
type Answers = (
    (u64, u64, u64, u64, u64, u64),
    Option<Vec<u8>>,
    Option<String>,
    Vec<String>,
    History,
    History,
    History,
);
type History = HashMap<String, u64>;

impl Survey {
    /// Whether all keys may be looked through.
    pub(crate) fn has_few_keys(&self) -> bool {
        self.keys <= FEW_KEYS
    }
}

impl Overview {
    /// Whether there is nothing of it at all.
    pub(crate) fn is_blank(&self) -> bool {
        let counts = [self.waiting, self.running, self.delayed, self.parked];
        let ended = [self.failed, self.dead, self.workers];
        counts.iter().chain(&ended).all(|count| *count == 0) && self.pause.is_none()
    }

    /// Time until everything has ended at the rate of the last five minutes.
    pub(crate) fn left(&self) -> Option<Duration> {
        let (left, rate) = (self.waiting + self.running, self.rates.five_minutes);
        (rate > 0.0).then(|| Duration::from_secs_f64(left as f64 / rate))
    }
}

impl Admin {
    /// The names of the queues that consumers of ours serve at present, in two round trips.
    pub(crate) async fn served_queues(&self) -> Result<BTreeSet<String>, Error> {
        let Survey { queues, now, .. } = self.survey().await?;
        let since = now.saturating_sub(millis(SILENT));
        let workers = queues.iter().map(|queue| Keys::new(queue).workers());
        let workers: Vec<_> = workers.map(String::into_bytes).collect();
        let count = |key: &[u8]| Cmd::zcount(key, since, "+inf");
        let counts = self.ask_each::<u64>(&workers, count).await?;
        let served = queues.into_iter().zip(counts);
        let served = served.filter(|(_, count)| count.is_some_and(|count| count > 0));
        Ok(served.map(|(queue, _)| queue).collect())
    }

    /// What there is, in one round trip.
    pub(crate) async fn survey(&self) -> Result<Survey, Error> {
        let mut all = redis::pipe();
        all.smembers(wire::QUEUES).cmd("DBSIZE").cmd("TIME");
        let (queues, keys, (seconds, micros)): (BTreeSet<String>, u64, (u64, u64)) =
            self.pipeline("look for queues", &all).await?;
        Ok(Survey {
            queues,
            keys,
            now: seconds * 1000 + micros / 1000,
        })
    }

    /// The names of those queues besides that only processing lists tell of, by a look through all keys.
    pub(crate) async fn scan_queues(&self) -> Result<BTreeSet<String>, Error> {
        let lists = self.scan(&format!("{}*", wire::PROCESSING)).await?;
        let lists = lists.iter().map(|list| String::from_utf8_lossy(list));
        Ok(lists
            .filter_map(|list| Some(wire::queue_of_processing(&list)?.to_owned()))
            .collect())
    }

    /// Takes a queue off the list of names.
    pub(crate) async fn forget_queue(&self, queue: &str) -> Result<(), Error> {
        let forget = Cmd::srem(wire::QUEUES, queue);
        self.command::<u64>("forget a queue", &forget)
            .await
            .map(drop)
    }

    /// How these queues fare; `now` is the time of a [survey](Self::survey).
    pub(crate) async fn overviews(
        &self,
        queues: impl IntoIterator<Item = String>,
        now: u64,
    ) -> Result<Vec<Overview>, Error> {
        let queues: Vec<_> = queues.into_iter().collect();
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let minute = now / 60_000;
        let mut first = redis::pipe();
        for queue in &queues {
            ask(&mut first, &Keys::new(queue), now, minute);
        }
        let answers: Vec<redis::Value> = self.pipeline("count the jobs", &first).await?;
        let (mut all, mut second) = (Vec::new(), redis::pipe());
        for (queue, answers) in queues.into_iter().zip(answers.chunks_exact(ASKED)) {
            let (overview, next, workers) = read(queue, answers, minute)?;
            second.hget(next.unwrap_or_default(), field::CREATED_AT);
            let keys = Keys::new(&overview.queue);
            for worker in workers {
                let card = keys.worker(&worker);
                second.hget(&card, "slots").hget(&card, OBSTACLE);
            }
            all.push(overview);
        }
        self.add_details(&mut all, &second).await?;
        Ok(all)
    }

    async fn add_details(&self, all: &mut [Overview], second: &Pipeline) -> Result<(), Error> {
        let mut answers = self.ask_pipeline(second).await?.into_iter();
        for overview in all {
            overview.oldest = answers.next().flatten();
            for _ in 0..overview.workers {
                let mut text = || String::from_utf8(answers.next()??).ok();
                let (slots, obstacle) = (text(), text());
                overview.slots += slots.and_then(|slots| slots.parse().ok()).unwrap_or(0);
                let obstacle = obstacle.filter(|why| !why.is_empty());
                overview.obstacles.extend(obstacle);
            }
        }
        Ok(())
    }

    /// The time by the clock of Redis, in milliseconds since 1970.
    pub(crate) async fn now(&self) -> Result<u64, Error> {
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = self.command("ask for the time", &time).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

/// How many answers `ask` has for each queue.
const ASKED: usize = 12;

fn ask(pipeline: &mut Pipeline, keys: &Keys, now: u64, minute: u64) {
    pipeline.llen(keys.queue());
    for set in [
        keys.leases(),
        keys.delayed(),
        keys.parked(),
        keys.failed(),
        keys.dead(),
    ] {
        pipeline.zcard(set);
    }
    pipeline.lindex(keys.queue(), -1).get(keys.paused());
    let since = now.saturating_sub(millis(SILENT));
    pipeline.zrangebyscore(keys.workers(), since, "+inf");
    let hour = minute / 60;
    pipeline
        .hgetall(keys.history(hour))
        .hgetall(keys.history(hour.saturating_sub(1)))
        .hgetall(keys.days());
}

/// What was answered about one queue, its next entry, and its workers.
type Read = (Overview, Option<Vec<u8>>, Vec<String>);

fn read(queue: String, answers: &[redis::Value], minute: u64) -> Result<Read, Error> {
    let counts = redis::Value::Array(answers[..6].to_vec());
    let mut parts = vec![counts];
    parts.extend_from_slice(&answers[6..]);
    let parsed = Answers::from_redis_value(redis::Value::Array(parts));
    let parsed = parsed.map_err(|error| Error::refused("count the jobs")(error.into()))?;
    let (counts, next, pause, workers, this_hour, last_hour, days) = parsed;
    let overview = Overview {
        queue,
        waiting: counts.0,
        running: counts.1,
        delayed: counts.2,
        parked: counts.3,
        failed: counts.4,
        dead: counts.5,
        oldest: None,
        rates: rates(minute, [&this_hour, &last_hour], &days),
        workers: workers.len() as u64,
        slots: 0,
        pause: pause.map(|text| Pause::read(&text)),
        obstacles: BTreeSet::new(),
    };
    Ok((overview, next, workers))
}

fn rates(minute: u64, [this_hour, last_hour]: [&History; 2], days: &History) -> Rates {
    let ended = |minute: u64, now: u64| {
        let hour = if minute / 60 == now / 60 {
            this_hour
        } else {
            last_hour
        };
        let count = |kind: &str| hour.get(&format!("{}:{kind}", minute % 60));
        count("done").copied().unwrap_or(0) + count("failed").copied().unwrap_or(0)
    };
    let over = |minutes: u64| {
        let all: u64 = (1..=minutes)
            .map(|ago| ended(minute.saturating_sub(ago), minute))
            .sum();
        all as f64 / (minutes * 60) as f64
    };
    let today = |kind: &str| days.get(&format!("{}:{kind}", minute / 1440));
    Rates {
        one_minute: over(1),
        five_minutes: over(5),
        fifteen_minutes: over(15),
        done_today: today("done").copied().unwrap_or(0),
        failed_today: today("failed").copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_complete_minutes_across_the_hour() {
        let minute = 100 * 60 + 2;
        let this_hour = [("2:done", 999), ("1:done", 30), ("0:failed", 30)];
        let last_hour = [("59:done", 60), ("50:done", 600), ("2:done", 999)];
        let history = |counts: &[(&str, u64)]| {
            let counts = counts.iter();
            counts
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect::<History>()
        };
        let days = history(&[("4:done", 7), ("4:failed", 1), ("3:done", 5)]);
        let rates = rates(minute, [&history(&this_hour), &history(&last_hour)], &days);
        assert_eq!(rates.one_minute, 0.5);
        assert_eq!(rates.five_minutes, 120.0 / 300.0);
        assert_eq!(rates.fifteen_minutes, 720.0 / 900.0);
        assert_eq!((rates.done_today, rates.failed_today), (7, 1));
    }
}
