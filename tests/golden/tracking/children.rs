//! Movies whose frames fail: the real program is given the movie, and its frames end as the reference's message tells.

use crate::cases::Case;
use crate::outcome::{Failure, Outcome};
use crate::peers::cluster::Cluster;
use redis_consumer::storage::archive;

const FAILED: &str = "Tracking failed during segmentation on frame ";
const REASON: &str = ". Segmentation Error: ";
const SEVERAL: &str = "After unzipping predicted frame, got back multiple files";

/// The queue on which the frames wait.
const QUEUE: &str = "segmentation";

/// Whether the reference's message is about the jobs of the frames.
pub(super) fn are_told_of(case: &Case) -> bool {
    case.fails && (case.error.contains(FAILED) || case.error.contains(SEVERAL))
}

/// What becomes of the job of one frame; the others are done.
#[derive(Debug)]
enum End {
    Failed {
        frame: usize,
        reason: String,
    },
    /// Its result has more than one image.
    Several,
}

impl End {
    fn told_by(message: &str) -> Result<Self, String> {
        let Some((_, rest)) = message.split_once(FAILED) else {
            return Ok(Self::Several);
        };
        let told = rest.split_once(REASON).and_then(|(frame, reason)| {
            let (frame, reason) = (frame.parse().ok()?, reason.to_owned());
            Some(Self::Failed { frame, reason })
        });
        told.ok_or_else(|| format!("`{message}` does not tell frame and reason"))
    }
}

/// Has the movie of a case tracked, and its frames ended; the job must fail and say what the reference says.
pub(super) async fn fail(case: &Case) -> Outcome {
    let end = End::told_by(&case.error)?;
    let cluster = Cluster::with_models_of_children().await;
    cluster.put("uploads/movie.tif", &case.input_bytes("file")?);
    let pod = cluster.pod("pod-track").set("CONSUMER_TYPE", "caliban");
    let pod = pod
        .set("QUEUE", "caliban")
        .set("SEGMENTATION_QUEUE", QUEUE)
        .set("LEASE_TIME", "2");
    let _pod = pod.start();
    let name = case.text("original_name");
    let key = cluster.submit_to("caliban", "uploads/movie.tif", &[("original_name", name)]);
    let frames = cluster.children(&key);
    if let End::Failed { frame, .. } = &end
        && *frame >= frames.len()
    {
        return Err(format!("the movie has {} frames, none is {frame}", frames.len()).into());
    }
    let _: u32 = cluster.redis.ask(&["DEL", QUEUE]);
    put_results(&cluster, frames.len(), &end)?;
    for (index, frame) in frames.iter().enumerate() {
        finish(&cluster, frame, index, &end);
    }
    let reason = cluster.wait_failed(&key);
    let expected = match &end {
        End::Failed { frame, reason } => {
            shown(&format!("{FAILED}{frame}{REASON}{}", last_line(reason)))
        }
        End::Several => "the result of a frame is not exactly one image".to_owned(),
    };
    if reason.contains(&expected) {
        Err(Failure::Refused(reason))
    } else {
        Err(format!("the job failed with `{reason}`, not with `{expected}`").into())
    }
}

/// Messages are shown on one line.
fn shown(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reasons of several lines are shown by their last one.
fn last_line(reason: &str) -> &str {
    reason.trim_end().lines().last().unwrap_or_default()
}

fn put_results(cluster: &Cluster, frames: usize, end: &End) -> Result<(), Failure> {
    for frame in 0..frames {
        let images = if matches!(end, End::Several) { 2 } else { 1 };
        let image = bioimage::encode_tiff(ndarray::Array2::<f32>::zeros((8, 8)).view().into_dyn());
        let entries = (0..images).map(|image_of| (format!("{image_of}.tif"), image.clone()));
        let archive =
            archive::write_zip(entries.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
        cluster.put(&format!("output/{frame}.zip"), &archive);
    }
    Ok(())
}

/// What a consumer of the reference's leaves in the hash of a frame.
fn finish(cluster: &Cluster, key: &str, index: usize, end: &End) {
    let result = format!("output/{index}.zip");
    let fields = match end {
        End::Failed { frame, reason } if *frame == index => {
            ["status", "failed", "reason", reason.as_str()]
        }
        _ => ["status", "done", "output_file_name", result.as_str()],
    };
    let _: u32 = cluster.redis.ask(&[&["HSET", key][..], &fields].concat());
}
