//! What whole jobs cost: the real program beside a Redis, an S3 server and a model server on the same machine.
//!
//! Prints one table of what was found and what is wanted; nothing fails for being slow. The kernels alone are timed in
//! `analysis.rs`.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bioimage::{Limits, encode_tiff};
use cell_analysis::segmentation::{PadMode, Tiling};
use ndarray::{Array2, Array4, ArrayD, Axis};
use redis_consumer::serving::{Input, Model, ModelId};
use redis_consumer::settings::{Env, Loader};
use redis_consumer::storage::archive::write_zip;
use redis_consumer::storage::{Storage, StorageSettings};

use crate::nuclei::Nuclei;
use crate::peers::cluster::{Cluster, Pod, PodSettings};
use crate::peers::redis::{Monitor, Redis, free_port};
use crate::peers::s3::S3Server;
use crate::process::cpu_seconds;

mod nuclei;
#[path = "../tests/peers/mod.rs"]
mod peers;
mod process;

/// Rows and columns of the image.
const SIDE: usize = 512;
/// Rows and columns of the model's tiles.
const TILE: usize = 256;
const INPUT: &str = "uploads/nuclei.tif";
const FIELDS: [(&str, &str); 2] = [("dimension_order", "XY"), ("channels", "0,")];

/// An image of one tile.
const SMALL_INPUT: &str = "uploads/tile.tif";
/// A model with a price for each request, as those on a GPU have.
const COSTLY: &str = "Costly:1";
const REQUEST_COST: Duration = Duration::from_millis(50);
const TILE_COST: Duration = Duration::from_millis(3);

const ARCHIVE: &str = "uploads/plate.zip";
/// Images in it.
const IMAGES: usize = 500;
/// Rows and columns of images of the usual sizes.
const SIDES: [usize; 4] = [256, 512, 1024, 2048];
const JOBS_OF_A_SIZE: usize = 40;
/// Rows and columns of an image far beyond the usual limit.
const LARGE_SIDE: usize = 10_000;
const LARGE_INPUT: &str = "uploads/slide.tif";
/// Jobs that wait while metrics are looked at.
const WAITING: usize = 100_000;
const LOOKS: usize = 100;

/// How often it goes through, one after the other.
const ARCHIVES: usize = 3;

const STARTS: usize = 10;
const JOBS: usize = 100;
/// How often consumers with previews and without take turns.
const TURNS: usize = 4;
const JOBS_OF_TWO_SLOTS: usize = 200;
const IDLE_TIME: Duration = Duration::from_secs(20);

/// The stages of a job by the fields that take their seconds, and what happens in them.
const STAGES: [(&str, &str); 4] = [
    ("download_time", "  reading the job, download"),
    ("preprocess_time", "  decoding, metadata of the model"),
    (
        "prediction_time",
        "  preparation, the model, watershed, encoding",
    ),
    ("upload_time", "  archive, upload"),
];

type Measure = fn(&Bench, &mut Table);

/// What is measured, by the names that can be given after `--`.
const MEASUREMENTS: [(&str, Measure); 11] = [
    ("start", Bench::starts),
    ("idle", Bench::idleness),
    ("pick-up", Bench::pick_up),
    ("jobs", Bench::jobs),
    ("previews", Bench::previews),
    ("throughput", Bench::throughput),
    ("pooling", Bench::pooling),
    ("archives", Bench::archives),
    ("sizes", Bench::sizes),
    ("large", Bench::large),
    ("metrics", Bench::metrics),
];

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` wants a test, and there is none.
    if arguments.iter().all(|argument| argument != "--bench") {
        return;
    }
    let names: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let bench = Bench::open().await;
    let mut table = Table::default();
    for (name, measure) in MEASUREMENTS {
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            measure(&bench, &mut table);
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores for all; images of {SIDE} x {SIDE} pixels, tiles of {TILE} x {TILE}\n\n{table}"
    );
}

/// The peers, and the time that the model has taken for itself.
struct Bench {
    cluster: Cluster,
    s3: S3Server,
    model_nanos: Arc<AtomicU64>,
}

impl Bench {
    async fn open() -> Self {
        let scene = Scene::new();
        let model_nanos = Arc::<AtomicU64>::default();
        let model = scene.model(Arc::clone(&model_nanos));
        let s3 = S3Server::start();
        fs::create_dir_all(s3.folder().join("uploads")).expect("a folder");
        fs::write(
            s3.folder().join(INPUT),
            encode_tiff(scene.image.view().into_dyn()),
        )
        .expect("an object");
        Self {
            cluster: Cluster::with(Redis::start_in_memory(), vec![model, costly()]).await,
            s3,
            model_nanos,
        }
    }

    fn pod(&self, concurrency: usize) -> Pod {
        self.pod_of("segmentation", "pod-1", concurrency)
    }

    fn pod_of(&self, kind: &str, name: &str, concurrency: usize) -> Pod {
        let settings = self.cluster.pod(name).set("CONSUMER_TYPE", kind);
        self.start(settings.set("CONCURRENCY", &concurrency.to_string()))
    }

    /// A consumer with the S3 server as its bucket.
    fn start(&self, settings: PodSettings) -> Pod {
        self.s3
            .environment()
            .into_iter()
            .fold(settings, |pod, (name, value)| pod.set(&name, &value))
            .start()
    }

    /// A job from its submission to its end.
    fn run_job(&self) -> (Life, HashMap<String, String>) {
        let mut monitor = self.cluster.redis.monitor();
        let key = self.cluster.submit(INPUT, &FIELDS);
        (Life::read(&mut monitor, &key), self.cluster.wait_done(&key))
    }

    fn starts(&self, table: &mut Table) {
        let mut seconds = Samples::default();
        for _ in 0..STARTS {
            let mut monitor = self.cluster.redis.monitor();
            let key = self.cluster.submit(INPUT, &FIELDS);
            let before = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("it is later than 1970");
            let _pod = self.pod(1);
            seconds
                .0
                .push(Life::read(&mut monitor, &key).taken - before.as_secs_f64());
        }
        table.times(
            "start of the program to first job claimed",
            &seconds,
            "< 300 ms",
        );
    }

    fn idleness(&self, table: &mut Table) {
        let pod = self.pod(1);
        std::thread::sleep(Duration::from_secs(5));
        table.row("memory, 5 s after the start", megabytes(&pod), "< 20 MB");
        let monitor = self.cluster.redis.monitor();
        let cpu_before = cpu_seconds(&pod);
        std::thread::sleep(IDLE_TIME);
        let cpu = (cpu_seconds(&pod) - cpu_before) / IDLE_TIME.as_secs_f64();
        let commands = monitor
            .lines(&self.cluster.redis)
            .iter()
            .filter(|line| !line.contains("lua]"))
            .count();
        let rate = commands as f64 / IDLE_TIME.as_secs_f64();
        table.row("idle: commands to Redis", format!("{rate:.2} /s"), "");
        table.row("idle: CPU time", format!("{:.2} ms/s", cpu * 1e3), "");
    }

    fn pick_up(&self, table: &mut Table) {
        let _pod = self.pod(1);
        self.run_job();
        let (mut taken, mut random) = (Samples::default(), fastrand::Rng::with_seed(1));
        for _ in 0..JOBS {
            // A wait inside Redis lasts up to a second: jobs come at any time of it.
            std::thread::sleep(Duration::from_secs_f32(0.02 + 0.2 * random.f32()));
            let (life, _) = self.run_job();
            taken.0.push(life.taken - life.pushed);
        }
        table.times(
            "submission to pick-up by an idle consumer",
            &taken,
            "< 5 ms",
        );
    }

    fn jobs(&self, table: &mut Table) {
        let pod = self.pod(1);
        let (_, hash) = self.run_job();
        let (mut whole, mut model) = (Samples::default(), Samples::default());
        let mut stages = STAGES.map(|_| Samples::default());
        let cpu_before = cpu_seconds(&pod);
        for _ in 0..JOBS {
            self.model_nanos.store(0, Ordering::Relaxed);
            let (life, hash) = self.run_job();
            let model_seconds = self.model_nanos.load(Ordering::Relaxed) as f64 * 1e-9;
            whole.0.push(life.done - life.pushed - model_seconds);
            model.0.push(model_seconds);
            for ((field, _), samples) in STAGES.iter().zip(&mut stages) {
                samples
                    .0
                    .push(hash[*field].parse().expect("a number of seconds"));
            }
        }
        let cpu = (cpu_seconds(&pod) - cpu_before) / JOBS as f64;
        table.times(
            "submission to done, the model's time taken off",
            &whole,
            "< 60 ms",
        );
        for ((_, what), samples) in STAGES.iter().zip(&stages) {
            table.times(what, samples, "");
        }
        table.times("  the model (taken off above)", &model, "");
        table.row(
            "CPU time of a job",
            format!("{:.1} ms", cpu * 1e3),
            "<= 30 ms",
        );
        table.row(
            format!("memory, right after {JOBS} jobs"),
            megabytes(&pod),
            "",
        );
        std::thread::sleep(Duration::from_secs(10));
        table.row("memory, 10 s later", megabytes(&pod), "");
        table.row("nuclei found in each", self.nuclei(&hash).to_string(), "");
    }

    /// CPU time of jobs with previews and without, in turns, since other programs may take from both.
    fn previews(&self, table: &mut Table) {
        let mut times = [Samples::default(), Samples::default()];
        let run = || drop(self.cluster.wait_done(&self.cluster.submit(INPUT, &FIELDS)));
        for _ in 0..TURNS {
            for (times, previews) in times.iter_mut().zip(["false", "true"]) {
                let pod = self.start(self.cluster.pod("pod-1").set("PREVIEWS", previews));
                run();
                let before = cpu_seconds(&pod);
                (0..JOBS / TURNS).for_each(|_| run());
                times
                    .0
                    .push((cpu_seconds(&pod) - before) / (JOBS / TURNS) as f64);
            }
        }
        let [without, with] = &times;
        table.times("CPU time of a job without a preview", without, "<= 30 ms");
        table.times("  with one", with, "6 ms more");
    }

    fn throughput(&self, table: &mut Table) {
        let pod = self.pod(2);
        self.run_job();
        let cpu_before = cpu_seconds(&pod);
        let seconds = self.seconds_for("throughput", INPUT, JOBS_OF_TWO_SLOTS);
        let cores = (cpu_seconds(&pod) - cpu_before) / seconds;
        let rate = JOBS_OF_TWO_SLOTS as f64 / seconds;
        table.row(
            format!("{JOBS_OF_TWO_SLOTS} jobs in two slots"),
            format!("{rate:.1} jobs/s"),
            "",
        );
        table.row(
            "  cores that the consumer had of it",
            format!("{cores:.2}"),
            "",
        );
    }

    /// Seconds from the submission of as many jobs at once to the end of the last.
    fn seconds_for(&self, name: &str, input: &str, count: usize) -> f64 {
        let keys = (0..count).map(|number| format!("segmentation:{name}:{number}"));
        let keys: Vec<_> = keys.collect();
        keys.iter()
            .for_each(|key| self.cluster.write_job(key, input, &FIELDS));
        let mut monitor = self.cluster.redis.monitor();
        let mut push = vec!["LPUSH", "segmentation"];
        push.extend(keys.iter().map(String::as_str));
        let _: u32 = self.cluster.redis.ask(&push);
        let pushed = stamp(&monitor.until(|line| line.contains("\"LPUSH\"")));
        let ends = keys
            .iter()
            .map(|_| stamp(&monitor.until(|line| enters(line, "done"))));
        ends.last().expect("there are jobs") - pushed
    }

    /// Jobs of one tile each on a model that has a price for each request, with and without waiting for company.
    fn pooling(&self, table: &mut Table) {
        self.put_image(SMALL_INPUT, TILE);
        for wait in ["0", "0.005", "0.02"] {
            let settings = self
                .cluster
                .pod("pod-1")
                .set("CONCURRENCY", "8")
                .set("MODEL_SERVER", "oip")
                .set("NUCLEAR_MODEL", COSTLY)
                .set("BATCH_WAIT", wait);
            let environment = self.s3.environment().into_iter();
            let _pod = environment
                .fold(settings, |pod, (name, value)| pod.set(&name, &value))
                .start();
            self.run_job();
            let seconds = self.seconds_for(&format!("pooling{wait}"), SMALL_INPUT, JOBS);
            table.row(
                format!("{JOBS} jobs of one tile in eight slots, BATCH_WAIT={wait}"),
                format!("{:.1} jobs/s", JOBS as f64 / seconds),
                "",
            );
        }
        let ms = |time: Duration| time.as_millis();
        table.row(
            format!(
                "  on a model of {} ms a request and {} ms a tile, one at a time",
                ms(REQUEST_COST),
                ms(TILE_COST)
            ),
            String::new(),
            "",
        );
    }

    /// Archives one after the other through two consumers of archives and two of images.
    fn archives(&self, table: &mut Table) {
        let zips = ["pod-zip-1", "pod-zip-2"].map(|name| self.pod_of("zip", name, 1));
        let images = ["pod-1", "pod-2"].map(|name| self.pod_of("segmentation", name, 1));
        let megabytes = self.put_archive();
        table.row(
            format!("an archive of {IMAGES} images"),
            format!("{megabytes:.0} MB"),
            "",
        );
        for number in 1..=ARCHIVES {
            let cpu = || images.iter().map(cpu_seconds).sum::<f64>();
            let (began, cpu_before) = (Instant::now(), cpu());
            let key = format!("segmentation-zip:{ARCHIVE}:{number}");
            self.cluster.write_job(&key, ARCHIVE, &FIELDS);
            let _: u32 = self.cluster.redis.ask(&["LPUSH", "segmentation-zip", &key]);
            while !matches!(
                self.cluster.redis.hash(&key)["status"].as_str(),
                "done" | "failed"
            ) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let hash = self.cluster.wait_done(&key);
            assert_eq!(
                (hash["total_jobs"].parse(), hash["failures"].as_str()),
                (Ok(IMAGES), "")
            );
            let seconds = began.elapsed().as_secs_f64();
            let cores = (cpu() - cpu_before) / seconds;
            table.row(
                format!("{number}. archive, submission to done"),
                format!("{seconds:.1} s"),
                "",
            );
            for (what, field) in [
                ("making jobs of it", "children_upload_time"),
                ("collecting results", "cleanup_time"),
            ] {
                let seconds: f64 = hash[field].parse().expect("a number of seconds");
                table.row(format!("  {what}"), format!("{seconds:.1} s"), "");
            }
            table.row(
                "  cores that consumers of images had of it",
                format!("{cores:.2}"),
                "",
            );
            for zip in &zips {
                table.row(
                    "  most memory of a consumer of archives so far",
                    memory(zip, "VmHWM"),
                    "",
                );
            }
        }
    }

    /// What jobs of images of several sizes take, with the stand-in model of the program itself.
    fn sizes(&self, table: &mut Table) {
        let models = StandIn::start();
        for side in SIDES {
            let input = format!("uploads/{side}.tif");
            self.put_image(&input, side);
            let pod = self.pod_with(&models, 2, side);
            let run = |count: usize| {
                let keys: Vec<_> = (0..count)
                    .map(|_| self.cluster.submit(&input, &FIELDS))
                    .collect();
                keys.iter()
                    .for_each(|key| drop(self.cluster.wait_done(key)));
            };
            run(2);
            let cpu_before = cpu_seconds(&pod);
            run(JOBS_OF_A_SIZE);
            let cpu = (cpu_seconds(&pod) - cpu_before) / JOBS_OF_A_SIZE as f64;
            table.row(
                format!("{side} x {side}: CPU time of a job"),
                format!("{:.1} ms", cpu * 1e3),
                "",
            );
            table.row("  most memory, two at a time", memory(&pod, "VmHWM"), "");
            std::thread::sleep(Duration::from_secs(30));
            table.row("  memory half a minute later", megabytes(&pod), "");
        }
    }

    /// A large image, with the stand-in model of the program itself.
    fn large(&self, table: &mut Table) {
        let models = StandIn::start();
        self.put_image(LARGE_INPUT, LARGE_SIDE);
        let pod = self.pod_with(&models, 1, LARGE_SIDE);
        let began = Instant::now();
        let key = self.cluster.submit(LARGE_INPUT, &FIELDS);
        while !matches!(
            self.cluster.redis.hash(&key)["status"].as_str(),
            "done" | "failed"
        ) {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.cluster.wait_done(&key);
        let pixels = (LARGE_SIDE * LARGE_SIDE) as f64;
        let wanted = format!("< {:.0} MB", pixels * 12e-6 + 200.0);
        table.row(
            format!("most memory for {LARGE_SIDE} x {LARGE_SIDE} pixels"),
            memory(&pod, "VmHWM"),
            &wanted,
        );
        table.row(
            "  submission to done, the stand-in model's time in it",
            format!("{:.0} s", began.elapsed().as_secs_f64()),
            "",
        );
    }

    /// A consumer of images up to this size.
    fn pod_with(&self, models: &StandIn, concurrency: usize, side: usize) -> Pod {
        let pod = self
            .cluster
            .pod("pod-1")
            .set("CONCURRENCY", &concurrency.to_string())
            .set("TF_PORT", &models.port);
        let pod = pod
            .set("MAX_IMAGE_WIDTH", &side.to_string())
            .set("MAX_IMAGE_HEIGHT", &side.to_string());
        self.s3
            .environment()
            .into_iter()
            .fold(pod, |pod, (name, value)| pod.set(&name, &value))
            .start()
    }

    /// Puts an image of this many rows and columns into the bucket, the usual one over and over.
    fn put_image(&self, key: &str, side: usize) {
        let small = fs::read(self.s3.folder().join(INPUT)).expect("an object");
        let small = bioimage::decode(&small, INPUT, &Limits::default()).expect("it is a TIFF");
        let small = small
            .into_dimensionality::<ndarray::Ix2>()
            .expect("two axes");
        let image = Array2::from_shape_fn((side, side), |(row, column)| {
            small[[row % SIDE, column % SIDE]] as u16
        });
        fs::write(
            self.s3.folder().join(key),
            encode_tiff(image.view().into_dyn()),
        )
        .expect("an object");
    }

    /// Looks at the metrics of a consumer whose queue is long.
    fn metrics(&self, table: &mut Table) {
        let port = free_port();
        let keys: Vec<_> = (0..WAITING)
            .map(|number| format!("long:job:{number}"))
            .collect();
        for keys in keys.chunks(10_000) {
            let mut push = vec!["LPUSH", "long"];
            push.extend(keys.iter().map(String::as_str));
            let _: u32 = self.cluster.redis.ask(&push);
        }
        // A consumer that cannot claim: its model server is away.
        let pod = self
            .cluster
            .pod("pod-1")
            .set("QUEUE", "long")
            .set("TF_PORT", "1")
            .set("CONCURRENCY", "1");
        let pod = pod
            .set("METRICS_HOST", "127.0.0.1")
            .set("METRICS_PORT", &port.to_string())
            .start();
        std::thread::sleep(Duration::from_secs(2));
        let (mut taken, mut bytes) = (Samples::default(), 0);
        let cpu_before = cpu_seconds(&pod);
        for _ in 0..LOOKS {
            let began = Instant::now();
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("metrics are served");
            write!(
                stream,
                "GET /metrics HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"
            )
            .expect("it listens");
            let mut answer = Vec::new();
            bytes = stream.read_to_end(&mut answer).expect("it answers");
            taken.0.push(began.elapsed().as_secs_f64());
        }
        table.times(
            &format!("a look at the metrics, {WAITING} jobs waiting"),
            &taken,
            "",
        );
        table.row(
            "  CPU time of the consumer for it",
            format!(
                "{:.2} ms",
                (cpu_seconds(&pod) - cpu_before) / LOOKS as f64 * 1e3
            ),
            "",
        );
        table.row("  its answer", format!("{:.1} kB", bytes as f64 * 1e-3), "");
        let _: u32 = self.cluster.redis.ask(&["DEL", "long"]);
    }

    /// Puts an archive of images into the bucket; gives its size.
    fn put_archive(&self) -> f64 {
        let image = fs::read(self.s3.folder().join(INPUT)).expect("an object");
        let entries =
            (0..IMAGES).map(|number| (format!("plate/field {number}.tif"), image.clone()));
        let archive = write_zip(entries).expect("it fits in memory");
        let megabytes = archive.len() as f64 * 1e-6;
        let env: Env = self.s3.environment().into_iter().collect();
        let mut loader = Loader::new(&env);
        let settings = StorageSettings::load(&mut loader);
        loader.finish().expect("good settings");
        // Through the server, which then knows the digest that it sends with every range.
        let upload = async move {
            let storage = Storage::open(&settings).expect("a client");
            storage
                .upload(ARCHIVE, archive.into())
                .await
                .expect("stored");
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(upload));
        megabytes
    }

    fn nuclei(&self, hash: &HashMap<String, String>) -> usize {
        let archive = fs::read(self.s3.folder().join(&hash["output_file_name"]))
            .expect("the job has a result");
        let mut archive =
            zip::ZipArchive::new(Cursor::new(archive)).expect("the result is an archive");
        let mut tiff = Vec::new();
        archive
            .by_index(0)
            .expect("an entry")
            .read_to_end(&mut tiff)
            .expect("its body");
        let labels =
            bioimage::decode(&tiff, "labels.tif", &Limits::default()).expect("the entry is a TIFF");
        labels.iter().fold(0.0_f32, |most, &label| most.max(label)) as usize
    }
}

/// The program as a server of its classical models, ended when the value is dropped.
struct StandIn {
    server: Child,
    port: String,
}

impl StandIn {
    fn start() -> Self {
        let port = free_port().to_string();
        let program = Path::new(env!("CARGO_BIN_EXE_redis-consumer"));
        let server = Command::new(program.with_file_name("redis-consumer-demo"))
            .args(["model-server", "--port", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo is built beside the program, as `make bench` does");
        Self { server, port }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// When the steps of a job took place, by the clock of Redis, in seconds since 1970.
#[derive(Default)]
struct Life {
    pushed: f64,
    taken: f64,
    done: f64,
}

impl Life {
    /// Follows a job that is about to be queued, the only one, to its end.
    fn read(monitor: &mut Monitor, key: &str) -> Self {
        let at = |line: String| stamp(&line);
        Self {
            pushed: at(monitor.until(|line| line.contains("\"LPUSH\"") && line.contains(key))),
            // An idle slot waits inside Redis, a busy one asks; both take the lease by a script.
            taken: at(
                monitor.until(|line| line.contains("\"HSET\"") && line.contains("\"rc_token\""))
            ),
            done: at(monitor.until(|line| enters(line, "done"))),
        }
    }
}

/// A model that takes one request at a time, and time for each besides that for its tiles.
fn costly() -> Model {
    let model = peers::exact_models::model("nuclear", COSTLY, [TILE, TILE]);
    let (run, turn) = (model.run, Mutex::new(()));
    Model {
        run: Arc::new(move |inputs| {
            let _turn = turn.lock();
            let tiles = inputs.first().map_or(0, |(_, batch)| batch.len_of(Axis(0)));
            std::thread::sleep(REQUEST_COST + TILE_COST * tiles as u32);
            run(inputs)
        }),
        ..model
    }
}

/// Whether a line of the record is the write of a script that puts a job into this status.
fn enters(line: &str, status: &str) -> bool {
    line.contains("lua] \"HSET\"") && line.contains(&format!("\"status\" \"{status}\""))
}

/// The time in front of a line of the record, such as `+1700000000.123456 [0 lua] "HSET"`.
fn stamp(line: &str) -> f64 {
    let time = line
        .trim_start_matches('+')
        .split(' ')
        .next()
        .and_then(|time| time.parse().ok());
    time.unwrap_or_else(|| panic!("no time in {line}"))
}

/// Memory of a consumer that is in RAM, the pages of the program itself included.
fn megabytes(pod: &Pod) -> String {
    memory(pod, "VmRSS")
}

/// What the system says of the memory of a consumer under this name.
fn memory(pod: &Pod, name: &str) -> String {
    format!("{:.1} MB", process::memory(pod, name) * 1e-6)
}

/// An image of nuclei, and what a model could say about it.
struct Scene {
    /// `[SIDE, SIDE]`, counts of a camera.
    image: Array2<u16>,
    /// `[1, SIDE, SIDE, 1]` each: nearness to the center of a nucleus, and being inside.
    heads: [Array4<f32>; 2],
}

impl Scene {
    fn new() -> Self {
        let Nuclei {
            image,
            maxima,
            interior,
        } = Nuclei::new(SIDE);
        let channel = image
            .index_axis_move(Axis(3), 0)
            .index_axis_move(Axis(0), 0);
        let heads = [maxima, interior].map(|head| head.insert_axis(Axis(0)).insert_axis(Axis(3)));
        Self {
            image: channel.mapv(|count| count as u16),
            heads,
        }
    }

    /// A model that has every answer ready for the tiles of this image, and adds up the time it takes to copy them.
    fn model(&self, nanos: Arc<AtomicU64>) -> Model {
        let tiling = Tiling::new([1, SIDE, SIDE, 1], [TILE, TILE], PadMode::Reflect);
        let answer = |index: usize| {
            let mut tiles = Array4::zeros((tiling.len(), TILE, TILE, 1));
            for (place, tile) in tiles.axis_iter_mut(Axis(0)).enumerate() {
                tiling.copy_tile(self.heads[index].view(), place, tile);
            }
            (format!("prediction_{index}"), tiles.into_dyn())
        };
        let answers: Vec<(String, ArrayD<f32>)> = [0, 1].map(answer).into();
        let run = move |inputs: &[(String, ArrayD<f32>)]| {
            let began = Instant::now();
            let asked = inputs[0].1.shape()[0];
            if asked != tiling.len() {
                return Err(format!("{asked} tiles, wanted are all {}", tiling.len()));
            }
            let answers = answers.clone();
            nanos.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
            Ok(answers)
        };
        let side = TILE as i64;
        let shape = [-1, side, side, 1];
        Model {
            id: ModelId::new("NuclearSegmentation", 6),
            inputs: vec![Input::float("image", &shape)],
            outputs: [0, 1]
                .map(|index| Input::float(&format!("prediction_{index}"), &shape))
                .into(),
            run: Arc::new(run),
        }
    }
}

/// Seconds, as often as they were measured.
#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    /// The value that this share of the samples does not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    }
}

/// What was found, line by line.
#[derive(Default)]
struct Table(Vec<[String; 4]>);

impl Table {
    fn row(&mut self, what: impl Into<String>, found: String, wanted: &str) {
        self.0
            .push([what.into(), found, String::new(), wanted.to_owned()]);
    }

    fn times(&mut self, what: &str, samples: &Samples, wanted: &str) {
        let shown = |share| format!("{:.2} ms", samples.quantile(share) * 1e3);
        self.0
            .push([what.to_owned(), shown(0.5), shown(0.99), wanted.to_owned()]);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "median", "99 %", "wanted"].map(str::to_owned);
        for [what, found, worst, wanted] in std::iter::once(&head).chain(&self.0) {
            writeln!(f, "{what:48}{found:>14}{worst:>14}{wanted:>12}")?;
        }
        Ok(())
    }
}
