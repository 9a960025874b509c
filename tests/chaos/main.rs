//! The chaos run: real consumers on a real Redis, an S3 server and a model server, all of which are killed, stopped, cut off,
//! restarted and bothered on a seeded schedule while jobs are submitted, some of them poison. At the end every job has to be
//! final, and none lost or finished twice. A plan runs beside them, whose outputs get lost and are made again.
//!
//! `make chaos SEED=… SECONDS=… JOBS=… TOPOLOGY=plain|sentinel` prints one JSON line of counts last, and exits non-zero if any
//! that must be zero is not. Without variables it is a short run, for CI.

#[path = "../peers/mod.rs"]
mod peers;

mod ambush;
mod bombs;
mod commands;
mod consumer;
mod fleet;
mod ledger;
mod losses;
mod operator;
mod plan;
mod probes;
mod rights;
mod schedule;
mod servers;
mod uploads;
mod verdict;
mod ways;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ambush::Ambush;
use fleet::{Fleet, PODS};
use ledger::{Happened, Ledger};
use losses::Losses;
use operator::Operator;
use schedule::{Blow, Event, Schedule};
use servers::{Servers, Topology};
use verdict::Verdict;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    seed: u64,
    seconds: u64,
    jobs: usize,
    topology: Topology,
}

impl Plan {
    #[expect(clippy::disallowed_methods, reason = "a test's own switches")]
    fn from_environment() -> Self {
        let number = |name: &str, default| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty());
            text.map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
            })
        };
        let topology = match std::env::var("TOPOLOGY").as_deref() {
            Ok("sentinel") => Topology::Sentinel,
            Ok("plain" | "") | Err(_) => Topology::Plain,
            Ok(other) => panic!("TOPOLOGY={other} is neither plain nor sentinel"),
        };
        Self {
            seed: number("SEED", 1),
            seconds: number("SECONDS", 30),
            jobs: number("JOBS", 300) as usize,
            topology,
        }
    }

    /// Long enough for everything to have happened.
    fn is_long(self) -> bool {
        self.seconds > 120
    }

    /// Deaths that only poison reaches: pods die every two seconds, and in a long run bad luck adds up.
    fn max_crashes(self) -> u32 {
        if self.is_long() { 8 } else { 6 }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own switches")]
fn main() -> ExitCode {
    if std::env::var_os(consumer::ROLE).is_some() || redis_consumer::is_helper() {
        return consumer::run();
    }
    // As other tests do, it runs unless a filter names something else.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"chaos".contains(&filter)) {
        return ExitCode::SUCCESS;
    }
    let plan = Plan::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let verdict = runtime.block_on(run(plan));
    runtime.shutdown_timeout(Duration::from_millis(100));
    println!("{}", verdict.json(plan));
    if verdict.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(plan: Plan) -> Verdict {
    let mut servers = Servers::start(plan.topology).await;
    let mut fleet = Fleet::start(&servers, plan.seed, plan.max_crashes());
    let mut ledger = Ledger::new(plan);
    let mut schedule = Schedule::new(plan.seed, plan.topology);
    let mut ambush = Ambush::default();
    let mut operator = Operator::new(plan.seed);
    operator.start_batch(&servers);
    let began = Instant::now();
    let length = Duration::from_secs(plan.seconds);
    let mut next = schedule.next();
    eprintln!("chaos: {plan:?}");
    // Jobs come during the first nine tenths, so that the last ones meet trouble too.
    while began.elapsed() < length {
        let passed = began.elapsed().as_secs_f64() / length.as_secs_f64();
        ledger.submit_until(&servers, (passed / 0.9).min(1.0));
        if began.elapsed() >= next.at {
            match next.event {
                Event::WhileExpanding(blow, after) => ambush.prepare(blow, after),
                Event::Operate(order) => {
                    ledger.happened.orders += operator.act(order, &ledger, &servers);
                }
                event => Scene::of(&mut servers, &mut fleet, &mut ledger).act(event),
            }
            next = schedule.next();
        }
        if let Some((blow, target)) = ambush.look(&servers, &fleet).await {
            Scene::of(&mut servers, &mut fleet, &mut ledger).strike(blow, target.pod);
            let counts = &mut ledger.happened;
            counts.expanding_hits += u64::from(ambush.has_hit(&servers, &target).await);
        }
        servers.tick().await;
        fleet.tick(&servers);
        operator.tick(&servers);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    servers.calm().await;
    operator.calm(&servers).await;
    fleet.calm(&servers);
    ledger.submit_rest(&servers, &mut fleet).await;
    ledger.wait(&servers, &mut fleet).await;
    let losses = Losses::make_and_repair(&mut operator, &servers, &mut fleet).await;
    fleet.stop();
    Verdict::of(&ledger, &servers, &fleet, (&operator, &losses)).await
}

/// What events happen to, and where they are counted.
struct Scene<'a> {
    servers: &'a mut Servers,
    fleet: &'a mut Fleet,
    counts: &'a mut Happened,
}

impl<'a> Scene<'a> {
    fn of(servers: &'a mut Servers, fleet: &'a mut Fleet, ledger: &'a mut Ledger) -> Self {
        Self {
            servers,
            fleet,
            counts: &mut ledger.happened,
        }
    }

    fn act(&mut self, event: Event) {
        let Self {
            servers,
            fleet,
            counts,
        } = self;
        match event {
            Event::Blow(blow, pick) => self.strike(blow, pod(pick)),
            // These have a room of their own.
            Event::WhileExpanding(..) | Event::Operate(_) => {}
            Event::RestartRedis(down) => counts.redis_restarts += servers.restart_redis(down),
            Event::FailOver => counts.failovers += servers.fail_over(),
            Event::Cut(time) => counts.cuts += servers.cut(time),
            Event::Slow(time) => counts.delays += servers.slow(time),
            Event::Clock(step, pick) => counts.clock_steps += servers.put_clock(step, pick),
            Event::FullMemory(time) => counts.full_memory += servers.fill_memory(time),
            Event::Rights(loss, time) => counts.lost_rights += servers.take_rights(loss, time),
            Event::Harass(pick, time) => counts.harassments += fleet.harass(pod(pick), time),
            Event::Storage(status, time) => {
                counts.storage_faults += servers.break_storage(status, time);
            }
            Event::Models(time) => counts.model_outages += servers.stop_models(time),
        }
    }

    fn strike(&mut self, blow: Blow, pod: usize) {
        let Self {
            servers,
            fleet,
            counts,
        } = self;
        match blow {
            Blow::Kill => counts.kills += fleet.kill(pod),
            Blow::Stop(time) => counts.stops += fleet.pause(pod, time),
            Blow::Terminate => counts.terms += fleet.terminate(pod),
            Blow::Partition(how, time) => counts.partitions += servers.break_way(pod, how, time),
        }
    }
}

fn pod(pick: u64) -> usize {
    pick as usize % PODS
}

pub(crate) const QUEUE: &str = "segmentation";
