//! The chaos run: real consumers on a real Redis, an S3 server and a model server, all of which are killed, stopped, cut off
//! and restarted on a seeded schedule while jobs are submitted, some of them poison. At the end every job has to be final,
//! and none lost or finished twice.
//!
//! `make chaos SEED=… SECONDS=… JOBS=… TOPOLOGY=plain|sentinel` prints one JSON line of counts last, and exits non-zero if any
//! that must be zero is not. Without variables it is a short run, for CI.

#[path = "../peers/mod.rs"]
mod peers;

mod consumer;
mod fleet;
mod ledger;
mod schedule;
mod servers;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use fleet::Fleet;
use ledger::Ledger;
use schedule::{Event, Schedule};
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

    /// Deaths that only poison reaches: pods die every two seconds, and in a long run bad luck adds up.
    fn max_crashes(self) -> u32 {
        if self.seconds > 120 { 7 } else { 6 }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own switches")]
fn main() -> ExitCode {
    if std::env::var_os(consumer::ROLE).is_some() {
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
    let mut fleet = Fleet::start(&servers, plan.max_crashes());
    let mut ledger = Ledger::new(plan);
    let mut schedule = Schedule::new(plan.seed, plan.topology);
    let began = Instant::now();
    let length = Duration::from_secs(plan.seconds);
    let mut next = schedule.next();
    eprintln!("chaos: {plan:?}");
    // Jobs come during the first nine tenths, so that the last ones meet trouble too.
    while began.elapsed() < length {
        let passed = began.elapsed().as_secs_f64() / length.as_secs_f64();
        ledger.submit_until(&servers, (passed / 0.9).min(1.0));
        if began.elapsed() >= next.at {
            act(next.event, &mut servers, &mut fleet, &mut ledger).await;
            next = schedule.next();
        }
        servers.tick().await;
        fleet.tick(&servers);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    servers.calm().await;
    fleet.calm(&servers);
    ledger.submit_rest(&servers, &mut fleet).await;
    ledger.wait(&servers, &mut fleet).await;
    fleet.stop();
    Verdict::of(&ledger, &servers, &fleet).await
}

async fn act(event: Event, servers: &mut Servers, fleet: &mut Fleet, ledger: &mut Ledger) {
    let counts = &mut ledger.happened;
    match event {
        Event::Kill(pick) => counts.kills += fleet.kill(pick),
        Event::Pause(pick, time) => counts.stops += fleet.pause(pick, time),
        Event::Terminate(pick) => counts.terms += fleet.terminate(pick),
        Event::RestartRedis(down) => counts.redis_restarts += servers.restart_redis(down),
        Event::FailOver => counts.failovers += servers.fail_over().await,
        Event::Cut(time) => counts.cuts += servers.cut(time),
        Event::Slow(time) => counts.delays += servers.slow(time),
        Event::Storage(status, time) => {
            counts.storage_faults += servers.break_storage(status, time)
        }
        Event::Models(time) => counts.model_outages += servers.stop_models(time).await,
    }
}

pub(crate) const QUEUE: &str = "segmentation";
pub(crate) const INPUT: &str = "uploads/cells.tif";
