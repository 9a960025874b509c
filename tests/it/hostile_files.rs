//! What hostile files take of the program's memory: never more than its budget and a little, four at a time.

use redis_consumer::serving::Method;

use crate::peers::cluster::{Cluster, Pod, eventually};
use crate::peers::hostile_files::{File, archives, images, track_files};

/// `MEMORY_BUDGET`, in bytes.
const BUDGET: u64 = 200_000_000;

/// What the program may take beside it: itself, its buffers, and headers while they are read.
const BESIDE: u64 = 100_000_000;

const SLOTS: usize = 4;

const QUEUE: &str = "walk";

#[tokio::test(flavor = "multi_thread")]
async fn images_never_take_more_than_the_budget() {
    for kind in ["segmentation", "polaris"] {
        walk(kind, images()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_never_take_more_than_the_budget() {
    let mut files = images();
    files.extend(track_files());
    walk("tracking", files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_never_take_more_than_the_budget() {
    walk("zip", archives()).await;
}

/// Gives each file to all slots at once, and at last all of them together.
async fn walk(kind: &str, files: Vec<File>) {
    let cluster = Cluster::with_models_of_children().await;
    // What can be read costs its decoding; predictions are others' business.
    let faults = cluster.models.faults();
    faults.fail(Method::Predict, tonic::Code::InvalidArgument, 10_000);
    let pod = start(&cluster, kind);
    let mut jobs = Vec::new();
    for (name, content) in &files {
        cluster.put(&format!("uploads/{name}"), content);
        jobs.push(submit(&cluster, kind, name));
        let keys: Vec<String> = (0..SLOTS).map(|_| submit(&cluster, kind, name)).collect();
        let reasons = wait(&cluster, &keys);
        let peak = peak_bytes(&pod);
        assert!(
            peak <= BUDGET + BESIDE,
            "{peak} bytes after four jobs on {name}, which ended: {reasons:?}"
        );
    }
    wait(&cluster, &jobs);
    let peak = peak_bytes(&pod);
    assert!(peak <= BUDGET + BESIDE, "{peak} bytes with all of them");
    println!("{kind}: at most {peak} bytes");
}

fn start(cluster: &Cluster, kind: &str) -> Pod {
    let settings = [
        ("CONSUMER_TYPE", kind.to_owned()),
        ("QUEUE", QUEUE.to_owned()),
        ("SEGMENTATION_QUEUE", "nobody".to_owned()),
        ("CONCURRENCY", SLOTS.to_string()),
        ("MEMORY_BUDGET", BUDGET.to_string()),
        ("LOG_LEVEL", "INFO".to_owned()),
        // The budget is to be what holds, so that other limits do not.
        ("MAX_DECODED_BYTES", "64G".to_owned()),
        ("MAX_IMAGE_WIDTH", "100000".to_owned()),
        ("MAX_IMAGE_HEIGHT", "100000".to_owned()),
        ("MAX_IMAGE_FRAMES", "1000".to_owned()),
        ("SHUTDOWN_GRACE", "1".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    cluster
        .pod(&format!("pod-{kind}"))
        .set_all(settings.into())
        .start()
}

/// Where the jobs of a kind wait; those of archives on a queue of their own.
fn queue(kind: &str) -> String {
    let suffix = if kind == "zip" { "-zip" } else { "" };
    format!("{QUEUE}{suffix}")
}

fn submit(cluster: &Cluster, kind: &str, name: &str) -> String {
    let fields = [("channels", "0,0,"), ("dimension_order", "")];
    cluster.submit_to(&queue(kind), &format!("uploads/{name}"), &fields)
}

/// Waits until every job has ended or waits for children, which nobody works; the reasons of those that failed.
fn wait(cluster: &Cluster, keys: &[String]) -> Vec<String> {
    let mut reasons = Vec::new();
    for key in keys {
        eventually(&format!("{key} is worked"), || {
            let mut hash = cluster.redis.hash(key);
            let has_failed = hash.get("status").is_some_and(|status| status == "failed");
            if has_failed {
                reasons.extend(hash.remove("reason"));
            }
            has_failed || hash["status"] == "done" || hash.contains_key("children_total")
        });
    }
    reasons
}

/// The most memory that the process has had at once.
fn peak_bytes(pod: &Pod) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.id()));
    let status = status.expect("the program runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("Linux tells it") * 1024
}
