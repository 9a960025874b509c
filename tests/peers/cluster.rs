//! A cluster on one machine: Redis, a bucket, a model server, and consumers as child processes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use redis_consumer::serving::{Method, Model, ModelId, ModelServer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::redis::Redis;
use super::results::unzipped;
use super::{exact_models, graph_models, spot_model};

/// How long a test waits for what should take a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where [`Cluster::with_nuclei`] puts its image.
pub(crate) const NUCLEI: &str = "uploads/nuclei.png";

/// That image.
pub(crate) const IMAGE: &[u8] = include_bytes!("../fixtures/nuclei/dsb2018_777f7c42.png");

/// What a job on it needs to say.
pub(crate) const FIELDS: [(&str, &str); 3] = [
    ("dimension_order", "XYC"),
    ("channels", "0,"),
    ("scale", "1"),
];

/// The peers of one test.
pub(crate) struct Cluster {
    pub(crate) redis: Redis,
    pub(crate) models: ModelServer,
    bucket: TempDir,
    logs: TempDir,
    jobs: std::cell::Cell<u32>,
}

impl Cluster {
    /// Redis, a bucket in a folder, and the stand-in models under the names that the consumer asks for by default.
    pub(crate) async fn open() -> Self {
        Self::with_model_tile(64).await
    }

    /// The same with models that take square tiles of this side.
    pub(crate) async fn with_model_tile(side: usize) -> Self {
        let model = |kind: &str, id: &str| exact_models::model(kind, id, [side, side]);
        let models = vec![
            model("nuclear", "NuclearSegmentation:6"),
            model("nuclear", "NuclearSegmentation:0"),
            model("cytoplasm", "CytoplasmSegmentation:5"),
            model("cytoplasm", "PhaseCytoSegmentation:0"),
            model("mesmer", "MultiplexSegmentation:9"),
            model("two-heads", "TwoHeads:1"),
            model("scale", "ScaleDetection:1"),
            model("label", "LabelDetection:1"),
        ];
        Self::with(Redis::start(), models).await
    }

    /// What jobs of one image need: a nuclear model beside this Redis, and [`NUCLEI`] in the bucket.
    pub(crate) async fn with_nuclei(redis: Redis) -> Self {
        let model = exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]);
        let cluster = Self::with(redis, vec![model]).await;
        cluster.put(NUCLEI, IMAGE);
        cluster
    }

    /// What jobs that become many need: the models of images, frames, tracks and spots.
    pub(crate) async fn with_models_of_children() -> Self {
        let models = vec![
            exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]),
            exact_models::model("mesmer", "MultiplexSegmentation:9", [64, 64]),
            graph_models::encoder(&ModelId::new("NuclearTrackingNE", 6)),
            graph_models::inference(
                &ModelId::new("NuclearTrackingInf", 6),
                &graph_models::defaults(),
            ),
            spot_model::model(&ModelId::new("SpotDetection", 3), &[-1, 64, 64, 1]),
        ];
        Self::with(Redis::start(), models).await
    }

    /// A bucket in a folder, beside this Redis and these models.
    pub(crate) async fn with(redis: Redis, models: Vec<Model>) -> Self {
        Self {
            redis,
            models: ModelServer::start(0, models)
                .await
                .expect("a port for the model server"),
            bucket: tempfile::tempdir().expect("a folder for the bucket"),
            logs: tempfile::tempdir().expect("a folder for logs"),
            jobs: std::cell::Cell::new(0),
        }
    }

    /// The bucket's URL, as `STORAGE_BUCKET` takes it.
    pub(crate) fn bucket_url(&self) -> String {
        format!("file://{}", self.bucket.path().display())
    }

    /// Puts an object into the bucket.
    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        let path = self.bucket.path().join(key);
        fs::create_dir_all(path.parent().expect("it lies in the bucket")).expect("a folder");
        fs::write(path, body).expect("an object");
    }

    /// Removes an object from the bucket.
    pub(crate) fn remove(&self, key: &str) {
        fs::remove_file(self.bucket.path().join(key)).expect("it was there");
    }

    /// Whether the bucket has an object, or a folder of objects, under this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.bucket.path().join(key).exists()
    }

    /// An object of the bucket.
    pub(crate) fn object(&self, key: &str) -> Vec<u8> {
        fs::read(self.bucket.path().join(key)).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    /// The settings of a consumer of this cluster, before changes.
    pub(crate) fn pod(&self, name: &str) -> PodSettings {
        let models = self.models.address();
        let settings = [
            ("HOSTNAME", name.to_owned()),
            ("QUEUE", "segmentation".to_owned()),
            ("CONSUMER_TYPE", "segmentation".to_owned()),
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", self.redis.port().to_string()),
            ("REDIS_TIMEOUT", "0.2".to_owned()),
            ("STORAGE_BUCKET", self.bucket_url()),
            ("TF_HOST", models.ip().to_string()),
            ("TF_PORT", models.port().to_string()),
            ("GRPC_BACKOFF", "0.05".to_owned()),
            ("CONCURRENCY", "1".to_owned()),
            ("LOG_LEVEL", "DEBUG".to_owned()),
        ];
        let environment = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        PodSettings {
            program: PathBuf::from(env!("CARGO_BIN_EXE_redis-consumer")),
            environment,
            log: self.logs.path().join(format!("{name}.log")),
        }
    }

    /// Runs a subcommand of the program against these peers, with these variables as well.
    pub(crate) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = self.command(arguments, variables);
        command.output().expect("the program starts")
    }

    /// The same without waiting for its end.
    pub(crate) fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
        let mut command = self.command(arguments, variables);
        command.spawn().expect("the program starts")
    }

    /// The same before it runs.
    pub(crate) fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let models = self.models.address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-consumer"));
        command
            .args(arguments)
            .env_clear()
            .env("REDIS_HOST", "127.0.0.1")
            .env("REDIS_PORT", self.redis.port().to_string())
            .env("STORAGE_BUCKET", self.bucket_url())
            .env("TF_HOST", models.ip().to_string())
            .env("TF_PORT", models.port().to_string())
            .envs(variables.iter().copied());
        command
    }

    /// Submits a job as the newest frontend does, and returns its key.
    pub(crate) fn submit(&self, input: &str, fields: &[(&str, &str)]) -> String {
        self.submit_to("segmentation", input, fields)
    }

    /// The same to any queue.
    pub(crate) fn submit_to(&self, queue: &str, input: &str, fields: &[(&str, &str)]) -> String {
        self.jobs.set(self.jobs.get() + 1);
        let key = format!(
            "{queue}:{input}:00000000-0000-4000-8000-{:012}",
            self.jobs.get()
        );
        self.write_job(&key, input, fields);
        let _: u32 = self.redis.ask(&["LPUSH", queue, &key]);
        key
    }

    /// Submits a job and waits until the model is asked for it.
    pub(crate) fn submit_to_model(&self, input: &str, fields: &[(&str, &str)]) -> String {
        let before = self.models.faults().calls(Method::Predict);
        let key = self.submit(input, fields);
        eventually("the model is asked", || {
            self.models.faults().calls(Method::Predict) > before
        });
        key
    }

    /// Writes the hash of a job without queueing it.
    pub(crate) fn write_job(&self, key: &str, input: &str, fields: &[(&str, &str)]) {
        self.write_job_at(&self.redis, key, input, fields);
    }

    /// The same on another server.
    pub(crate) fn write_job_at(
        &self,
        redis: &Redis,
        key: &str,
        input: &str,
        fields: &[(&str, &str)],
    ) {
        let now = "2023-07-12T16:31:13.123Z";
        let mut hash: BTreeMap<&str, &str> = [
            ("original_name", input),
            ("input_file_name", input),
            ("status", "new"),
            ("created_at", now),
            ("updated_at", now),
            ("identity_upload", "frontend-0"),
            ("url", ""),
            ("model_name", ""),
            ("model_version", ""),
            ("preprocess_function", ""),
            ("postprocess_function", ""),
            ("cuts", "0"),
            ("label", ""),
            ("scale", "1"),
            ("channels", "0,"),
            ("dimension_order", "XYB"),
            ("segmentation_type", ""),
        ]
        .into();
        hash.extend(fields.iter().copied());
        let mut command = vec!["HSET", key];
        command.extend(hash.iter().flat_map(|(name, value)| [*name, *value]));
        let _: u32 = redis.ask(&command);
    }

    /// Waits until a job is done or failed, and returns its hash.
    pub(crate) fn wait(&self, key: &str) -> HashMap<String, String> {
        let mut hash = HashMap::new();
        eventually(&format!("{key} is final"), || {
            hash = self.redis.hash(key);
            matches!(
                hash.get("status").map(String::as_str),
                Some("done" | "failed")
            )
        });
        hash
    }

    /// Waits until a job is done, and returns its hash.
    pub(crate) fn wait_done(&self, key: &str) -> HashMap<String, String> {
        let hash = self.wait(key);
        assert_eq!(hash["status"], "done", "{:?}", hash.get("reason"));
        hash
    }

    /// Waits until a job has failed, and returns the last line of its reason, which is all that users see.
    pub(crate) fn wait_failed(&self, key: &str) -> String {
        let hash = self.wait(key);
        assert_eq!(hash["status"], "failed", "{hash:?}");
        assert!(!hash["reason"].ends_with('\n'));
        hash["reason"]
            .lines()
            .last()
            .expect("a reason has a line")
            .to_owned()
    }

    /// The names and contents of the entries of a job's result, in their order.
    pub(crate) fn result(&self, hash: &HashMap<String, String>) -> Vec<(String, Vec<u8>)> {
        unzipped(self.object(&hash["output_file_name"]))
    }

    /// Their names alone.
    pub(crate) fn result_names(&self, hash: &HashMap<String, String>) -> Vec<String> {
        let entries = self.result(hash).into_iter();
        entries.map(|(name, _)| name).collect()
    }

    /// The children of a job, as soon as it waits for them.
    pub(crate) fn children(&self, parent: &str) -> Vec<String> {
        let mut hash = HashMap::new();
        eventually("it waits for its children", || {
            hash = self.redis.hash(parent);
            hash.contains_key("children_total")
        });
        children(&hash)
    }

    /// Whether no list of the queue has an entry and nothing is leased or delayed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.redis.keys("processing-*").is_empty()
            && [
                "segmentation",
                "rc:lease:segmentation",
                "rc:delayed:segmentation",
            ]
            .iter()
            .all(|key| self.redis.ask::<u32>(&["EXISTS", key]) == 0)
    }
}

/// The environment of a consumer that is yet to start.
pub(crate) struct PodSettings {
    program: PathBuf,
    environment: BTreeMap<String, String>,
    log: PathBuf,
}

impl PodSettings {
    /// Sets a variable.
    #[must_use]
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs another build of the program.
    #[must_use]
    pub(crate) fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Sets several variables.
    #[must_use]
    pub(crate) fn set_all(mut self, variables: Vec<(String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Removes a variable.
    #[must_use]
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Starts the consumer.
    pub(crate) fn start(self) -> Pod {
        self.start_with(&[])
    }

    /// The same with these arguments.
    pub(crate) fn start_with(self, arguments: &[&str]) -> Pod {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log file");
        let child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Pod {
            child,
            log: self.log,
        }
    }
}

/// A running consumer, killed when the value is dropped.
pub(crate) struct Pod {
    child: Child,
    log: PathBuf,
}

impl Pod {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, as Kubernetes does.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the consumer ends", || {
            ended = self.child.try_wait().expect("it can be waited for");
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// Kills it at once, as an out-of-memory killer would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            print_end_of(&self.log());
        }
    }
}

/// Prints the last lines of the log of a consumer, if it has any: the reason of the failure stands above it.
fn print_end_of(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    if !lines.is_empty() {
        let last = &lines[lines.len().saturating_sub(100)..];
        eprintln!("--- log of the consumer\n{}", last.join("\n"));
    }
}

/// The children that the hash of a job lists.
pub(crate) fn children(hash: &HashMap<String, String>) -> Vec<String> {
    hash["children"].split(',').map(str::to_owned).collect()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
