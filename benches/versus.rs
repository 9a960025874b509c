//! Two builds of the program in turn over the same peers: what a change costs, or gains.
//!
//! ```sh
//! cargo bench --locked --all-features --bench versus -- /path/to/the/older/redis-consumer [NAME…]
//! ```
//!
//! Peers cost next to nothing: after a few jobs they only repeat what they answered to those. CPU time is that of consumers alone,
//! in user and system mode. Beside it stands that of a client which only moves the same bytes. Nothing fails for being slow.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bioimage::encode_tiff;
use ndarray::{Array3, ArrayD, Axis};
use redis_consumer::serving::{DataType, Encoding, Method, Model, ModelId};
use zip::ZipArchive;

use crate::limit::Errand;
use crate::nuclei::Nuclei;
use crate::peers::cluster::{Cluster, Pod};
use crate::peers::redis::Redis;
use crate::peers::s3::S3Server;
use crate::peers::{exact_models, spot_model};
use crate::process::{cpu_seconds, memory};
use crate::replay::Replay;

mod limit;
mod nuclei;
#[path = "../tests/peers/mod.rs"]
mod peers;
mod process;
mod replay;

/// Rows and columns of the models' tiles.
const TILE: usize = 256;

/// How often the two take turns.
const ROUNDS: usize = 3;

/// Jobs before it is measured, which real peers answer: connections, metadata, first pages of memory.
const WARM_UP: usize = 3;

/// How often it is looked for the end of a job.
const LOOK: Duration = Duration::from_millis(1);

/// What consumers are given to do.
struct Workload {
    name: &'static str,
    /// `CONSUMER_TYPE`.
    kind: &'static str,
    /// Rows and columns, and channels of the image.
    image: (usize, usize),
    jobs: usize,
    /// Whether each job waits for the end of the one before.
    is_idle: bool,
    /// How many processes there are, and jobs that each works at a time.
    processes: usize,
    slots: usize,
    /// How long a model takes for a request.
    model_takes: Duration,
    /// How servers put their answers: as lists, as TensorFlow Serving does, or as bytes.
    encoding: Encoding,
}

const LISTED: Encoding = Encoding::Listed(DataType::F32);

impl Workload {
    const fn segmentation(name: &'static str, side: usize, jobs: usize) -> Self {
        Self {
            name,
            kind: "segmentation",
            image: (side, 1),
            jobs,
            is_idle: false,
            processes: 1,
            slots: 2,
            model_takes: Duration::ZERO,
            encoding: LISTED,
        }
    }

    /// All of them.
    fn all() -> Vec<Self> {
        vec![
            Self::segmentation("256", 256, 80),
            Self::segmentation("512", 512, 60),
            Self {
                is_idle: true,
                ..Self::segmentation("512-idle", 512, 40)
            },
            Self {
                encoding: Encoding::Content(DataType::F32),
                ..Self::segmentation("512-bytes", 512, 60)
            },
            Self {
                processes: 2,
                slots: 1,
                ..Self::segmentation("512-pair", 512, 60)
            },
            Self {
                model_takes: Duration::from_millis(50),
                ..Self::segmentation("512-50ms", 512, 60)
            },
            Self {
                model_takes: Duration::from_millis(200),
                slots: 8,
                ..Self::segmentation("512-200ms", 512, 80)
            },
            Self::segmentation("1024", 1024, 24),
            Self::segmentation("2048", 2048, 12),
            Self::segmentation("2048-more", 2048, 40),
            Self {
                kind: "mesmer",
                image: (512, 2),
                ..Self::segmentation("mesmer", 512, 24)
            },
            Self {
                kind: "spot",
                ..Self::segmentation("spot", 512, 24)
            },
        ]
    }

    fn input(&self) -> String {
        let (side, channels) = self.image;
        format!("uploads/{side}x{channels}.tif")
    }
}

/// What one build took for a job.
#[derive(Clone, Copy)]
struct Taken {
    cpu: f64,
    wall: f64,
    peak: f64,
    commands: f64,
    trips: f64,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` wants a test, and `cargo bench` without a program to compare with has nothing to do.
    let mut words = arguments.iter().filter(|word| !word.starts_with('-'));
    let Some(before) = words.next() else {
        return;
    };
    let names: Vec<_> = words.map(String::as_str).collect();
    let now = PathBuf::from(env!("CARGO_BIN_EXE_redis-consumer"));
    let programs = [PathBuf::from(before), now];
    if let Some(mistake) = mistake(&programs[0], &names) {
        eprintln!("{mistake}");
        std::process::exit(1);
    }
    let bench = Bench::open().await;
    println!(
        "{:12}{:>22}{:>16}{:>24}{:>20}{:>16}{:>16}",
        "",
        "CPU of a job, ms",
        "limit, ms",
        "submission to done, ms",
        "peak, MB",
        "commands",
        "round trips"
    );
    for workload in Workload::all() {
        if names.is_empty() || names.contains(&workload.name) {
            bench.compare(&workload, &programs).await;
        }
    }
}

/// What is wrong with the program or the names of jobs that were given.
fn mistake(before: &Path, names: &[&str]) -> Option<String> {
    if !before.is_file() {
        let before = before.display();
        return Some(format!(
            "{before} is no program: build the older commit and name its redis-consumer"
        ));
    }
    let all = Workload::all();
    let known: Vec<_> = all.iter().map(|workload| workload.name).collect();
    let unknown = names.iter().find(|name| !known.contains(name))?;
    Some(format!(
        "{unknown} is none of the jobs: {}",
        known.join(", ")
    ))
}

struct Bench {
    cluster: Cluster,
    s3: S3Server,
    /// What consumers speak to instead.
    store: Replay,
    models: Replay,
    /// Requests to models before this workload.
    asked: Cell<usize>,
}

impl Bench {
    async fn open() -> Self {
        let exact = |kind: &str, id: &str| remembering(exact_models::model(kind, id, [TILE, TILE]));
        let side = TILE as i64;
        let models = vec![
            exact("nuclear", "NuclearSegmentation:6"),
            exact("mesmer", "MultiplexSegmentation:9"),
            remembering(spot_model::model(
                &ModelId::new("SpotDetection", 3),
                &[-1, side, side, 1],
            )),
        ];
        let s3 = S3Server::start();
        fs::create_dir_all(s3.folder().join("uploads")).expect("a folder");
        let cluster = Cluster::with(Redis::start_in_memory(), models).await;
        let endpoint = s3.endpoint();
        let store = endpoint.trim_start_matches("http://").parse();
        Self {
            store: Replay::of_store(store.expect("an address")),
            models: Replay::of_models(cluster.models.address()),
            cluster,
            s3,
            asked: Cell::new(0),
        }
    }

    async fn compare(&self, workload: &Workload, programs: &[PathBuf; 2]) {
        self.put_image(workload);
        self.cluster.models.faults().answer_as(workload.encoding);
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (taken, program) in taken.iter_mut().zip(programs) {
                taken.push(self.run(workload, program));
            }
        }
        let [before, after] = taken;
        let errand = self.errand(workload);
        self.models.take(Duration::ZERO);
        let peers = [self.store.address(), self.models.address()];
        let limit = limit::cpu_of(&errand, peers, workload.jobs as u32).await;
        let of = |of: fn(&Taken) -> f64| [median(&before, of), median(&after, of)];
        let shown =
            |[before, after]: [f64; 2]| format!("{before:.1} {after:.1} {:.2}", after / before);
        println!(
            "{:12}{:>22}{:>16}{:>24}{:>20}{:>16}{:>16}",
            workload.name,
            shown(of(|it| it.cpu * 1e3)),
            format!(
                "{:.1} {:.1}x",
                limit * 1e3,
                median(&after, |it| it.cpu) / limit
            ),
            shown(of(|it| it.wall * 1e3)),
            shown(of(|it| it.peak * 1e-6)),
            shown(of(|it| it.commands)),
            shown(of(|it| it.trips)),
        );
    }

    /// What the peers have seen of a job of the last run.
    fn errand(&self, workload: &Workload) -> Errand {
        let seen = self.cluster.models.faults().seen();
        let mut asked: Vec<_> = seen
            .into_iter()
            .filter(|seen| seen.method == Method::Predict)
            .collect();
        let rounds = 2 * ROUNDS * WARM_UP;
        let last = asked.split_off(asked.len() - (asked.len() - self.asked.get()) / rounds);
        self.asked.set(asked.len() + last.len());
        let model = ModelId::new(&last[0].model, last[0].version.unwrap_or(0));
        let requests = last.into_iter().map(|seen| {
            let input = &seen.inputs[0];
            (input.name.clone(), input.shape.clone())
        });
        Errand {
            model,
            requests: requests.collect(),
            input: workload.input(),
            labels: self.labels(),
        }
    }

    /// The first file of the last result.
    fn labels(&self) -> Vec<u8> {
        let results = fs::read_dir(self.s3.folder().join("output")).expect("results");
        let files = results.map(|entry| entry.expect("an entry").path());
        let written = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
        let last = files.max_by_key(written).expect("a result");
        let archive = ZipArchive::new(File::open(last).expect("a result"));
        let mut archive = archive.expect("an archive");
        let mut labels = Vec::new();
        let mut first = archive.by_index(0).expect("a file");
        first.read_to_end(&mut labels).expect("labels");
        labels
    }

    /// One build works its jobs.
    fn run(&self, workload: &Workload, program: &Path) -> Taken {
        let are_known = |are| [&self.store, &self.models].map(|peer| peer.repeat(are));
        are_known(false);
        self.models.take(workload.model_takes);
        let start = |number| self.start(workload, program, number);
        let pods: Vec<_> = (0..workload.processes).map(start).collect();
        let mut redis = self.cluster.redis.connection();
        for _ in &pods {
            self.work(workload, WARM_UP, &mut redis);
        }
        are_known(true);
        let clients = self.clients();
        let monitor = self.cluster.redis.monitor();
        let cpu = || pods.iter().map(cpu_seconds).sum::<f64>();
        let (began, cpu_before) = (Instant::now(), cpu());
        self.work(workload, workload.jobs, &mut redis);
        let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu() - cpu_before);
        let lines = monitor.lines(&self.cluster.redis);
        let inside = lines.iter().filter(|line| line.contains(" lua]")).count();
        let is_outside = |line: &&String| clients.iter().any(|client| line.contains(client));
        let outside = lines.iter().filter(is_outside).count();
        let jobs = workload.jobs as f64;
        let peaks = pods.iter().map(|pod| memory(pod, "VmHWM"));
        Taken {
            cpu: cpu / jobs,
            wall: wall / jobs,
            peak: peaks.fold(0.0, f64::max),
            commands: (inside + outside) as f64 / jobs,
            trips: outside as f64 / jobs,
        }
    }

    /// The connections of consumers, as the record names them.
    fn clients(&self) -> Vec<String> {
        let list: String = self.cluster.redis.ask(&["CLIENT", "LIST"]);
        let theirs = list
            .lines()
            .filter(|line| line.contains("cmd=evalsha") || line.contains("cmd=blmove"));
        let addresses = theirs
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.strip_prefix("addr="));
        addresses.map(|address| format!(" {address}]")).collect()
    }

    fn start(&self, workload: &Workload, program: &Path, number: usize) -> Pod {
        let models = self.models.address();
        let pod = self.cluster.pod(&format!("pod-{number}")).program(program);
        let pod = pod
            .set("CONSUMER_TYPE", workload.kind)
            .set("LOG_LEVEL", "INFO")
            .set("CONCURRENCY", &workload.slots.to_string())
            .set("TF_MAX_IN_FLIGHT", &workload.slots.to_string())
            .set("TF_PORT", &models.port().to_string());
        let environment = self.s3.environment().into_iter();
        let set = environment.fold(pod, |pod, (name, value)| pod.set(&name, &value));
        set.set(
            "AWS_ENDPOINT_URL",
            &format!("http://{}", self.store.address()),
        )
        .start()
    }

    fn work(&self, workload: &Workload, count: usize, redis: &mut redis::Connection) {
        let fields = [
            (
                "dimension_order",
                if workload.image.1 > 1 { "CXY" } else { "XY" },
            ),
            ("channels", if workload.image.1 > 1 { "0,1" } else { "0," }),
            ("scale", "1"),
        ];
        let submit = || self.cluster.submit(&workload.input(), &fields);
        if workload.is_idle {
            (0..count).for_each(|_| wait_done(redis, &submit()));
            return;
        }
        let keys: Vec<_> = (0..count).map(|_| submit()).collect();
        keys.iter().for_each(|key| wait_done(redis, key));
    }

    /// Puts the image of a workload into the bucket: nuclei, counts of a camera.
    fn put_image(&self, workload: &Workload) {
        let (side, channels) = workload.image;
        let nuclei = Nuclei::new(side).image.index_axis_move(Axis(0), 0);
        let image: Array3<u16> = nuclei.mapv(|count| count as u16);
        let image: ArrayD<u16> = match channels {
            1 => image.index_axis(Axis(2), 0).to_owned().into_dyn(),
            _ => image
                .permuted_axes([2, 0, 1])
                .as_standard_layout()
                .into_owned()
                .into_dyn(),
        };
        let path = self.s3.folder().join(workload.input());
        fs::write(path, encode_tiff(image.view())).expect("an object");
    }
}

/// Waits for the end of a job, by a connection that is there already.
fn wait_done(redis: &mut redis::Connection, key: &str) {
    let ask = redis::Cmd::hget(key, "status");
    loop {
        let status: Option<String> = ask.query(redis).expect("redis answers");
        match status.as_deref() {
            Some("done") => return,
            Some("failed") => panic!("{key} has failed"),
            _ => std::thread::sleep(LOOK),
        }
    }
}

/// The same model, which computes what it makes of a batch once.
fn remembering(model: Model) -> Model {
    let (run, known) = (model.run, Mutex::new(HashMap::new()));
    Model {
        run: Arc::new(move |inputs| {
            let mut hasher = DefaultHasher::new();
            for (_, array) in inputs {
                array.shape().hash(&mut hasher);
                array
                    .iter()
                    .for_each(|value| value.to_bits().hash(&mut hasher));
            }
            let mut known = known.lock().expect("no panic");
            let entry = known.entry(hasher.finish());
            entry.or_insert_with(|| run(inputs)).clone()
        }),
        ..model
    }
}

fn median(taken: &[Taken], of: fn(&Taken) -> f64) -> f64 {
    let mut values: Vec<_> = taken.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
