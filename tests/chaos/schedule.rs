//! What goes wrong and when: the same for the same seed.
//!
//! Events are drawn like cards from a shuffled deck that has each of them at least once, so that a short run meets all.

use std::collections::VecDeque;
use std::time::Duration;

use super::operator::Order;
use super::rights::Loss;
use super::servers::Topology;
use super::ways::Break;

/// How long a consumer may be silent in this run.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// What meets a consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    Kill,
    /// SIGSTOP for longer than the lease.
    Stop(Duration),
    Terminate,
    /// Its way to Redis is broken for longer than the lease.
    Partition(Break, Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Blow(Blow, u64),
    /// The same to a consumer of archives, so long after it has claimed one.
    WhileExpanding(Blow, Duration),
    RestartRedis(Duration),
    FailOver,
    /// Connections to Redis end, and none is made.
    Cut(Duration),
    /// Everything to and from Redis takes longer.
    Slow(Duration),
    /// The clock of a Redis goes ahead or back by so many seconds.
    Clock(i64, u64),
    /// Redis has reached its `maxmemory`.
    FullMemory(Duration),
    /// The consumers' user of Redis may do less, or is gone.
    Rights(Loss, Duration),
    /// A hostile client on the port for metrics of a consumer.
    Harass(u64, Duration),
    Storage(u16, Duration),
    Models(Duration),
    /// An operator gives an order.
    Operate(Order),
}

pub(crate) struct Next {
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

pub(crate) struct Schedule {
    random: fastrand::Rng,
    at: Duration,
    topology: Topology,
    deck: VecDeque<Card>,
}

#[derive(Clone, Copy)]
enum Card {
    Kill,
    Stop,
    Terminate,
    Partition(Break),
    ExpandingKill,
    ExpandingStop,
    ExpandingPartition(Break),
    Redis,
    Cut,
    Slow,
    ClockAhead,
    ClockBack,
    FullMemory,
    LoseRight,
    LoseKeys,
    LoseUser,
    LosePassword,
    Harass,
    Storage,
    Models,
    Requeue,
    Batch,
    Lose,
    Cancel,
    Regret,
    Pause,
    Purge,
    Bump,
    Look,
}

/// How often each is in the deck, which lasts for some 25 seconds.
const DECK: [(Card, usize); 31] = [
    (Card::Kill, 34),
    (Card::Stop, 5),
    (Card::Terminate, 8),
    (Card::Partition(Break::Closed), 2),
    (Card::Partition(Break::Silent), 2),
    (Card::ExpandingKill, 1),
    (Card::ExpandingStop, 1),
    (Card::ExpandingPartition(Break::Closed), 1),
    (Card::ExpandingPartition(Break::Silent), 1),
    (Card::Redis, 2),
    (Card::Cut, 1),
    (Card::Slow, 2),
    (Card::ClockAhead, 1),
    (Card::ClockBack, 1),
    (Card::FullMemory, 1),
    (Card::LoseRight, 1),
    (Card::LoseKeys, 1),
    (Card::LoseUser, 1),
    (Card::LosePassword, 1),
    (Card::Harass, 3),
    (Card::Storage, 4),
    (Card::Models, 3),
    (Card::Requeue, 2),
    (Card::Batch, 1),
    (Card::Lose, 2),
    (Card::Cancel, 3),
    (Card::Regret, 2),
    (Card::Pause, 1),
    (Card::Purge, 1),
    (Card::Bump, 1),
    (Card::Look, 1),
];

impl Schedule {
    pub(crate) fn new(seed: u64, topology: Topology) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            at: Duration::from_millis(500),
            topology,
            deck: VecDeque::new(),
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        let pause = self.between(150, 500);
        self.at += pause;
        let card = self.card();
        let event = self.event(card);
        Next { at: self.at, event }
    }

    fn card(&mut self) -> Card {
        loop {
            if let Some(card) = self.deck.pop_front() {
                return card;
            }
            let cards = DECK.iter().flat_map(|&(card, count)| vec![card; count]);
            let mut cards: Vec<_> = cards.collect();
            self.random.shuffle(&mut cards);
            self.deck = cards.into();
        }
    }

    fn event(&mut self, card: Card) -> Event {
        let pick = self.random.u64(..);
        match card {
            Card::Kill => Event::Blow(Blow::Kill, pick),
            Card::Stop => Event::Blow(Blow::Stop(self.beyond_the_lease(200)), pick),
            Card::Terminate => Event::Blow(Blow::Terminate, pick),
            Card::Partition(how) => {
                Event::Blow(Blow::Partition(how, self.beyond_the_lease(300)), pick)
            }
            Card::ExpandingKill => self.while_expanding(Blow::Kill),
            Card::ExpandingStop => {
                let blow = Blow::Stop(self.beyond_the_lease(200));
                self.while_expanding(blow)
            }
            Card::ExpandingPartition(how) => {
                let blow = Blow::Partition(how, self.beyond_the_lease(300));
                self.while_expanding(blow)
            }
            Card::Redis if self.topology == Topology::Sentinel => Event::FailOver,
            Card::Redis => Event::RestartRedis(self.between(50, 1500)),
            Card::Cut => Event::Cut(self.between(10, 3000)),
            Card::Slow => Event::Slow(self.between(200, 2000)),
            Card::ClockAhead => Event::Clock(self.step(), pick),
            Card::ClockBack => Event::Clock(-self.step(), pick),
            Card::FullMemory => Event::FullMemory(self.between(300, 2500)),
            Card::LoseRight => Event::Rights(Loss::right(pick), self.between(200, 1500)),
            Card::LoseKeys => Event::Rights(Loss::Keys(pick), self.between(200, 1500)),
            Card::LoseUser => Event::Rights(Loss::User, self.between(200, 1500)),
            Card::LosePassword => Event::Rights(Loss::Password, self.between(200, 1500)),
            Card::Harass => Event::Harass(pick, self.between(1000, 3000)),
            Card::Storage => {
                let status = if pick.is_multiple_of(2) { 500 } else { 503 };
                Event::Storage(status, self.between(100, 2500))
            }
            Card::Models => Event::Models(self.between(100, 2500)),
            Card::Requeue => Event::Operate(Order::Requeue),
            Card::Batch => Event::Operate(Order::Batch),
            Card::Lose => Event::Operate(Order::Lose),
            Card::Cancel => Event::Operate(Order::Cancel),
            Card::Regret => Event::Operate(Order::Regret),
            Card::Pause => Event::Operate(Order::Pause(self.between(200, 2000))),
            Card::Purge => Event::Operate(Order::Purge(self.between(200, 2000))),
            Card::Bump => Event::Operate(Order::Bump),
            Card::Look => Event::Operate(Order::Look),
        }
    }

    fn while_expanding(&mut self, blow: Blow) -> Event {
        Event::WhileExpanding(blow, self.between(0, 12))
    }

    /// Seconds by which a clock is put: more than a lease.
    fn step(&mut self) -> i64 {
        self.random.i64(3..=10)
    }

    /// From 1.2 leases to so many hundredths of it.
    fn beyond_the_lease(&mut self, most: u64) -> Duration {
        let hundredth = LEASE.as_millis() as u64 / 100;
        self.between(120 * hundredth, most * hundredth)
    }

    fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.u64(from..to))
    }
}
