//! The guided run: servers, a bucket and a consumer on this machine, one job, and what became of it.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, bail, ensure};
use ndarray::Array2;
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::iou::Agreement;
use crate::networks::{self, Network, TRAINED};
use crate::overlay;
use crate::page::{self, Page};
use crate::processes::{HERE, Processes, consumer_program, free_port, introduce, search_path};
use crate::progress::{Progress, Style};
use crate::report::Report;
use crate::result::{self, Entry};
use crate::sample::Sample;
use redis_consumer::compute;
use redis_consumer::job::{JobSnapshot, NewJob};
use redis_consumer::queue::{JobKey, Queue, QueueSettings, RawFields, RedisSettings};

/// Everything that stays when the demo is over goes here, below the current folder.
const OUTPUT: &str = "demo-output";

const QUEUE: &str = "segmentation";
const MODEL: &str = "NuclearSegmentation:6";

/// Longer side of the picture in pixels, about.
const OVERLAY_SIDE: f64 = 1100.0;

/// Pause between two looks at the job.
const POLL: Duration = Duration::from_millis(20);

/// What somebody wants of the demo.
pub(crate) struct Wishes<'a> {
    /// An image of their own.
    pub(crate) image: Option<&'a Path>,
    pub(crate) network: Network,
    pub(crate) page: Page,
}

/// Runs one image through the whole system and reports; nothing that was started is left, however it ends.
pub(crate) async fn run(wishes: Wishes<'_>, stop: CancellationToken) -> anyhow::Result<()> {
    let sample = wishes
        .image
        .map_or_else(|| Ok(Sample::shipped()), Sample::read)?;
    // Held until the end: the bucket goes with them.
    let folders = Arc::new(Folders::prepare()?);
    let mut processes = Processes::new(&folders.logs, &search_path())?;
    let shown = async {
        let (fields, redis) = work(&mut processes, &folders, &sample, wishes.network).await?;
        let page = match wishes.page.is_wanted() {
            true => Some(page::start(&mut processes, redis, &folders.bucket_url()?).await?),
            false => None,
        };
        let files = Arc::clone(&folders);
        let report = compute::run(move || report(&files, &sample, wishes.network, &fields)).await?;
        write!(stdout(), "{report}")?;
        Ok(page)
    };
    let shown = stop.run_until_cancelled(shown).await;
    let ended = match &shown {
        Some(Ok(Some(address))) => page::keep(&mut processes, address, wishes.page, &stop).await,
        _ => Ok(()),
    };
    processes.end().await?;
    let Some(shown) = shown else {
        bail!("interrupted; every process of the demo has ended")
    };
    let complaint = || {
        let logs = folders.logs.display();
        format!("the demo failed; the logs of its processes are in {logs}")
    };
    shown.and(ended).with_context(complaint)
}

/// Folders of one run.
struct Folders {
    output: PathBuf,
    logs: PathBuf,
    bucket: PathBuf,
    models: PathBuf,
    /// Holds bucket and models, and goes with them.
    _scratch: TempDir,
}

impl Folders {
    fn prepare() -> anyhow::Result<Self> {
        let output = PathBuf::from(OUTPUT);
        let logs = output.join("logs");
        fs::create_dir_all(&logs)
            .with_context(|| format!("cannot create the folder {}", logs.display()))?;
        let scratch = tempfile::Builder::new()
            .prefix("redis-consumer-demo-")
            .tempdir()
            .context(
                "cannot create a folder for the bucket below the folder for temporary files",
            )?;
        let bucket = scratch.path().join("bucket");
        fs::create_dir(&bucket)?;
        let models = scratch.path().join("models");
        Ok(Self {
            output,
            logs,
            bucket,
            models,
            _scratch: scratch,
        })
    }

    fn bucket_url(&self) -> anyhow::Result<Url> {
        let url = Url::from_directory_path(&self.bucket).ok();
        url.with_context(|| {
            let path = self.bucket.display();
            format!("the bucket's folder {path} is not an absolute path, so it has no URL")
        })
    }
}

/// Starts everything, submits the job and follows it to its end. Gives the job's fields and the port of Redis.
async fn work(
    processes: &mut Processes,
    folders: &Folders,
    sample: &Sample,
    network: Network,
) -> anyhow::Result<(RawFields, u16)> {
    writeln!(
        stdout(),
        "segmenting {} with a whole system on this machine:\n",
        sample.name
    )?;
    let redis = start_redis(processes, folders).await?;
    let model = match network {
        Network::Trained => None,
        Network::Classical => Some(start_model_server(processes).await?),
    };
    start_consumer(processes, folders, Ports { redis, model }).await?;
    upload(&folders.bucket, sample)?;
    let queue = Queue::new(QueueSettings::new(
        RedisSettings::plain(HERE, redis),
        QUEUE,
        "demo",
    ));
    writeln!(stdout())?;
    let fields = processes.unless_one_ends(follow(&queue, sample)).await?;
    let record = JobSnapshot(&fields);
    ensure!(!record.has_failed(), "the job failed: {}", record.reason());
    Ok((fields, redis))
}

async fn start_redis(processes: &mut Processes, folders: &Folders) -> anyhow::Result<u16> {
    let port = free_port().await?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", HERE, "--port", &port.to_string()]);
    command
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--dir",
        ])
        .arg(&folders.bucket);
    let id = processes.start("redis-server", command, &[]).await;
    let id = id.context(
        "the demo needs `redis-server` on the PATH: install the package `redis-server`, or run `make demo`, which installs it",
    )?;
    processes.listens(port).await?;
    introduce("redis-server", id, &format!("{HERE}:{port}"))?;
    Ok(port)
}

async fn start_model_server(processes: &mut Processes) -> anyhow::Result<u16> {
    let port = free_port().await?;
    let mut command = Command::new(env::current_exe()?);
    command.args([
        "model-server",
        "--port",
        &port.to_string(),
        "--model",
        MODEL,
    ]);
    let id = processes.start("model-server", command, &[]).await?;
    processes.listens(port).await?;
    introduce(
        "model server",
        id,
        &format!("{HERE}:{port}, {MODEL} (a classical stand-in)"),
    )?;
    Ok(port)
}

/// Where the servers listen on this machine.
#[derive(Clone, Copy)]
struct Ports {
    redis: u16,
    /// None, if the consumer runs the model itself.
    model: Option<u16>,
}

/// The consumer with the variables that an operator would set.
async fn start_consumer(
    processes: &mut Processes,
    folders: &Folders,
    ports: Ports,
) -> anyhow::Result<()> {
    let bucket = folders.bucket_url()?;
    let redis = ports.redis.to_string();
    let mut environment = vec![
        ("QUEUE", QUEUE),
        ("HOSTNAME", "demo-consumer"),
        ("REDIS_HOST", HERE),
        ("REDIS_PORT", &redis),
        ("STORAGE_BUCKET", bucket.as_str()),
        ("PREVIEWS", "true"),
        ("LOG_LEVEL", "DEBUG"),
        ("SHUTDOWN_GRACE", "2"),
    ];
    let port = ports.model.map(|port| port.to_string());
    let models = folders.models.to_string_lossy();
    let runs = match &port {
        Some(port) => {
            environment.extend(elsewhere(port));
            String::new()
        }
        None => {
            networks::install(&folders.models)?;
            environment.extend(in_itself(&models));
            format!(", runs {TRAINED} itself")
        }
    };
    let mut command = Command::new(consumer_program()?);
    command.arg("consume");
    let id = processes.start("consumer", command, &environment).await?;
    let about = format!("queue `{QUEUE}`, bucket {bucket}{runs}");
    introduce("consumer", id, &about)?;
    Ok(())
}

/// What a consumer is told that asks a model server.
fn elsewhere(port: &str) -> [(&'static str, &str); 4] {
    [
        ("CONSUMER_TYPE", "segmentation"),
        ("TF_HOST", HERE),
        ("TF_PORT", port),
        ("NUCLEAR_MODEL", MODEL),
    ]
}

/// What a consumer is told that runs the model itself.
fn in_itself(models: &str) -> [(&'static str, &str); 4] {
    [
        ("CONSUMER_TYPE", "stardist"),
        ("MODEL_SERVER", "onnx"),
        ("MODEL_DIR", models),
        ("STARDIST_MODEL", TRAINED),
    ]
}

fn upload(bucket: &Path, sample: &Sample) -> anyhow::Result<()> {
    let path = bucket.join(sample.key());
    fs::create_dir_all(path.parent().unwrap_or(bucket))?;
    fs::write(&path, &sample.file).with_context(|| format!("cannot write {}", path.display()))
}

/// Submits the job as the web frontend does, and shows its progress until it is final.
async fn follow(queue: &Queue, sample: &Sample) -> anyhow::Result<RawFields> {
    let key = JobKey(format!("{QUEUE}:{}:{:032x}", sample.name, fastrand::u128(..)).into_bytes());
    let fields = NewJob {
        input_key: &sample.key(),
        original_name: &sample.name,
        channels: "0,",
        dimension_order: "",
    }
    .fields();
    let style = if stdout().is_terminal() {
        Style::Rewritten
    } else {
        Style::Lines
    };
    let mut progress = Progress::new(stdout(), style);
    queue.submit(&key, &fields).await?;
    loop {
        let fields = queue.fields(&key).await?;
        let record = JobSnapshot(&fields);
        progress.show(&record.status())?;
        if record.is_done() || record.has_failed() {
            progress.finish()?;
            return Ok(fields);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Copies the result to the output folder, draws it and sums it up.
fn report(
    folders: &Folders,
    sample: &Sample,
    network: Network,
    fields: &RawFields,
) -> anyhow::Result<Report> {
    let record = JobSnapshot(fields);
    let key = record
        .output_key()
        .context("the job is done but its hash has no `output_file_name`")?;
    let (archive, overlay) = (
        folders.output.join("result.zip"),
        folders.output.join("overlay.png"),
    );
    fs::copy(folders.bucket.join(&key), &archive).with_context(|| {
        let to = archive.display();
        format!("cannot copy the result `{key}` from the bucket to {to}")
    })?;
    let entries = result::read(&fs::read(&archive)?)?;
    let first = entries
        .first()
        .with_context(|| format!("{} holds no label images", archive.display()))?;
    let first = &first.labels;
    draw(sample, first, &overlay)?;
    Ok(Report {
        network,
        cells: entries.iter().map(Entry::cells).sum(),
        seconds: record.seconds(),
        agreement: agreement(sample, first)?,
        archive,
        entries: entries.into_iter().map(|entry| entry.name).collect(),
        overlay,
        logs: folders.logs.clone(),
    })
}

fn draw(sample: &Sample, labels: &Array2<u32>, path: &Path) -> anyhow::Result<()> {
    let image = sample.plane()?;
    ensure!(
        image.dim() == labels.dim(),
        "the result has {:?} rows and columns, the image {:?}",
        labels.dim(),
        image.dim()
    );
    let picture = overlay::draw(image.view(), labels.view(), OVERLAY_SIDE);
    overlay::save(&picture, path)
}

fn agreement(sample: &Sample, labels: &Array2<u32>) -> anyhow::Result<Option<Agreement>> {
    let Some(truth) = sample.truth()? else {
        return Ok(None);
    };
    ensure!(
        truth.dim() == labels.dim(),
        "the ground truth beside the image has {:?} rows and columns, the result {:?}",
        truth.dim(),
        labels.dim()
    );
    Ok(Some(Agreement::of(labels.view(), truth.view())))
}
