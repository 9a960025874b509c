//! `redis-consumer bench queue`: what this program and this Redis can do together when a job costs nothing.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::{Args, Subcommand};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::connect::{Connected, connect};
use crate::batch::QueueFeed;
use crate::consumer::{Consumer, Outcome};
use crate::job::{Job, NewJob, Output};
use crate::memory::MemoryBudget;
use crate::queue::{JobKey, Queue, QueueSettings, Queues, WorkerCard};
use crate::serving::{self, ServingSettings};
use crate::settings::{Env, Loader};
use crate::traces::Traces;
use crate::worker::{Abandoned, Bounds, Health, QueueWorker, RetryPolicy, Worker, WorkerMetrics};

/// Jobs whose way into a consumer is timed one by one.
const PICK_UPS: usize = 500;
/// How long nothing happens while idle use is measured.
const IDLE: Duration = Duration::from_secs(5);
/// What the clock of processes counts in.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Drain a queue of jobs that cost nothing, on the Redis of the settings; its keys are removed afterwards.
    Queue {
        /// How many jobs.
        #[arg(long, default_value_t = 50_000)]
        jobs: usize,
        /// Jobs at the same time.
        #[arg(long, default_value_t = 10)]
        slots: usize,
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
}

/// Measures, and prints what was found.
pub(crate) async fn bench(
    arguments: BenchArguments,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let What::Queue { jobs, slots, json } = arguments.what;
    let Connected {
        server,
        settings: policy,
        ..
    } = connect(RetryPolicy::load)?;
    let name = format!("rc-bench-{:08x}", fastrand::u32(..));
    let settings = QueueSettings {
        slots,
        ..QueueSettings::new(server, &name, "bench")
    };
    let queue = Queue::new(settings);
    let bench = Bench {
        queue: queue.clone(),
        policy,
        name: name.clone(),
    };
    let found = stop.run_until_cancelled(bench.run(jobs)).await;
    queue.admin().remove_queue(&name).await?;
    let Some(found) = found.transpose()? else {
        return Ok(());
    };
    let printed = if json {
        print_json(&found)
    } else {
        print_table(&found)
    };
    Ok(printed?)
}

fn print_json(rows: &[Row]) -> std::io::Result<()> {
    let fields = rows
        .iter()
        .map(|row| (row.name.to_owned(), row.value.into()));
    let object = serde_json::Value::Object(fields.collect());
    writeln!(std::io::stdout(), "{object}")
}

fn print_table(rows: &[Row]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for row in rows {
        writeln!(
            out,
            "{:42}{:>12.2} {:8}(wanted {})",
            row.what, row.value, row.unit, row.wanted
        )?;
    }
    Ok(())
}

struct Bench {
    queue: Queue,
    policy: RetryPolicy,
    name: String,
}

struct Row {
    name: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
    wanted: &'static str,
}

impl Bench {
    async fn run(&self, jobs: usize) -> anyhow::Result<Vec<Row>> {
        let idler = Arc::new(Idler::default());
        self.queue.submit_all(&self.jobs("drain", jobs)).await?;
        let stop = CancellationToken::new();
        let consumer = Arc::clone(&idler) as Arc<dyn Consumer>;
        let queues = Queues::new(self.queue.settings().clone(), &[]);
        let part = |queue: &Queue| self.part(queue.clone(), Arc::clone(&consumer));
        let worker = Worker::new(queues, part, Bounds::default(), Health::default());
        let mut rows = self.drain(worker, &idler, jobs, &stop).await?;
        rows.extend(self.pick_up(&idler, jobs).await?);
        rows.extend(self.idle().await?);
        stop.cancel();
        Ok(rows)
    }

    fn part(&self, queue: Queue, consumer: Arc<dyn Consumer>) -> QueueWorker {
        let env = Env::default();
        QueueWorker {
            card: WorkerCard::new("bench"),
            feed: QueueFeed::new(queue.clone(), None),
            queue,
            consumer,
            serving: serving::Client::new(ServingSettings::load(&mut Loader::new(&env)), None),
            memory: MemoryBudget::new(0),
            policy: self.policy,
            metrics: WorkerMetrics::default(),
            traces: Traces::default(),
            abandoned: Abandoned::default(),
            isolation: Arc::default(),
        }
    }

    /// Starts the worker and waits until it has drained the queue.
    async fn drain(
        &self,
        worker: Worker,
        idler: &Idler,
        jobs: usize,
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<Row>> {
        let admin = self.queue.admin();
        let asked = admin.requests().await?;
        let began = Instant::now();
        tokio::spawn(worker.run(stop.clone()));
        idler.until(jobs).await;
        let drained = began.elapsed();
        let asked = admin.requests().await?.saturating_sub(asked);
        Ok(vec![
            Row {
                name: "jobs_per_second",
                what: "no-op jobs drained per second",
                value: jobs as f64 / drained.as_secs_f64(),
                unit: "1/s",
                wanted: ">= 10000",
            },
            Row {
                name: "round_trips_per_job",
                what: "round trips per job",
                value: asked as f64 / jobs as f64,
                unit: "",
                wanted: "<= 2",
            },
        ])
    }

    /// Submits jobs one by one, and measures how soon each is worked; `before` jobs are done already.
    async fn pick_up(&self, idler: &Idler, before: usize) -> anyhow::Result<[Row; 2]> {
        let mut waits = Vec::new();
        for (n, job) in self.jobs("pick-up", PICK_UPS).into_iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(5 + n as u64 % 7)).await;
            let queued = Instant::now();
            self.queue.submit_all(std::slice::from_ref(&job)).await?;
            idler.until(before + n + 1).await;
            let wait = idler.last().saturating_duration_since(queued);
            waits.push(wait.as_secs_f64() * 1e3);
        }
        waits.sort_by(f64::total_cmp);
        Ok([
            Row {
                name: "pick_up_p50_ms",
                what: "submitting to working, median",
                value: waits[PICK_UPS / 2],
                unit: "ms",
                wanted: "<= 2",
            },
            Row {
                name: "pick_up_p99_ms",
                what: "submitting to working, 99 %",
                value: waits[PICK_UPS * 99 / 100],
                unit: "ms",
                wanted: "<= 25",
            },
        ])
    }

    /// Measures what a worker without jobs takes.
    async fn idle(&self) -> anyhow::Result<[Row; 2]> {
        let admin = self.queue.admin();
        let (cpu, asked) = (cpu_seconds()?, admin.requests().await?);
        tokio::time::sleep(IDLE).await;
        let cpu = (cpu_seconds()? - cpu) / IDLE.as_secs_f64();
        let asked = admin.requests().await?.saturating_sub(asked);
        Ok([
            Row {
                name: "idle_cpu_percent",
                what: "idle: use of a core",
                value: cpu * 100.0,
                unit: "%",
                wanted: "< 0.5",
            },
            Row {
                name: "idle_commands_per_second",
                what: "idle: commands",
                value: asked as f64 / IDLE.as_secs_f64(),
                unit: "1/s",
                wanted: "<= 3",
            },
        ])
    }

    fn jobs(&self, what: &str, count: usize) -> Vec<(JobKey, Vec<(&'static str, String)>)> {
        let new = NewJob {
            input_key: "uploads/nothing.tif",
            original_name: "nothing.tif",
            ..NewJob::default()
        };
        (0..count)
            .map(|n| {
                let key = format!("{}:{what}:{n}", self.name);
                (JobKey(key.into_bytes()), new.fields())
            })
            .collect()
    }
}

/// Does nothing, and remembers when.
#[derive(Default)]
struct Idler {
    done: AtomicUsize,
    last: Mutex<Option<Instant>>,
    more: Notify,
}

impl Idler {
    async fn until(&self, count: usize) {
        loop {
            let more = self.more.notified();
            if self.done.load(Ordering::Acquire) >= count {
                return;
            }
            more.await;
        }
    }

    fn last(&self) -> Instant {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(Instant::now)
    }
}

#[async_trait]
impl Consumer for Idler {
    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.done.fetch_add(1, Ordering::Release);
        self.more.notify_waiters();
        Ok(Outcome::Done(Output {
            key: job.output_key(),
            url: String::new(),
        }))
    }
}

/// CPU time that this process has had.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(") ").unwrap_or_default();
    let ticks = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}
