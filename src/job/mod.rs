//! One job: typed access to its hash, its progress through the stages, its end.
//!
//! This folder is the only one that knows the words of the wire: field names and statuses of the Redis hash
//! (contract sections 1.4 to 1.6). It writes stamps, stage times and identities, so that no consumer has to.

mod custody;
mod family;
mod record;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub(crate) use self::custody::Custody;
pub use self::custody::Waiting;
pub(crate) use self::family::CHILD_QUEUE;
pub use self::family::{Child, ChildFailed, ChildInput, Children, Family};
pub use self::record::{Record, Submission};
use crate::failure::InvalidInput;
pub use crate::queue::NewChild;
use crate::queue::{Claim, JobKey, Queue, RawFields};

/// The field that says where a job stands.
pub(crate) const STATUS: &str = "status";
/// The field that says when a job was submitted.
pub(crate) const CREATED_AT: &str = "created_at";
/// The field that says when a job was last written to.
pub(crate) const UPDATED_AT: &str = "updated_at";
/// Fields that only our consumers write: the right to write, and the list that the entry was put into.
pub(crate) const TOKEN: &str = "rc_token";
pub(crate) const OWNER: &str = "rc_owner";

/// The field that says which span of a trace was that of the job's work, for the job that waits for it.
pub(crate) const TRACE: &str = "rc_trace";
/// The field that says when a job that waits for others was taken first, in milliseconds since 1970.
const BEGUN: &str = "rc_begun";

/// The trace that the job belongs to, as W3C Trace Context has it.
const TRACE_CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

/// Whether a status says that nothing more will be written.
pub(crate) fn is_final(status: Option<&[u8]>) -> bool {
    status.is_some_and(|status| {
        [Status::Done, Status::Failed]
            .iter()
            .any(|end| end.as_str().as_bytes() == status)
    })
}

/// Where a job stands, as the frontend shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Submitted and not yet taken.
    New,
    /// Taken; the input is being fetched.
    Started,
    /// Pixels are being prepared.
    PreProcessing,
    /// The model is being asked.
    Predicting,
    /// The model's answers are being turned into objects.
    PostProcessing,
    /// The result is being packed and uploaded.
    SavingResults,
    /// Other jobs, which this one has created, are being worked.
    Waiting,
    /// Finished with a result.
    Done,
    /// Finished without one; `reason` says why.
    Failed,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Started => "started",
            Self::PreProcessing => "pre-processing",
            Self::Predicting => "predicting",
            Self::PostProcessing => "post-processing",
            Self::SavingResults => "saving-results",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The field that takes the seconds spent here.
    fn time_field(self) -> Option<&'static str> {
        match self {
            Self::Started => Some("download_time"),
            Self::PreProcessing => Some("preprocess_time"),
            Self::Predicting => Some("prediction_time"),
            Self::PostProcessing => Some("postprocess_time"),
            Self::SavingResults => Some("upload_time"),
            Self::New | Self::Waiting | Self::Done | Self::Failed => None,
        }
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Key of the object in the bucket.
    pub key: String,
    /// Address from which the frontend and the label tool fetch it.
    pub url: String,
}

/// A part of the work that is timed and has a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Fetching the input.
    Download,
    /// Turning the file into an image.
    Decode,
    /// Preparing pixels.
    Preprocess,
    /// Asking the model.
    Predict,
    /// Turning the model's answers into objects.
    PostProcess,
    /// Turning objects into files.
    Encode,
    /// Packing the files.
    Zip,
    /// Storing the result.
    Upload,
}

impl Stage {
    /// The stage that begins with a status.
    fn of(status: Status) -> Option<Self> {
        match status {
            Status::Started => Some(Self::Download),
            Status::PreProcessing => Some(Self::Preprocess),
            Status::Predicting => Some(Self::Predict),
            Status::PostProcessing => Some(Self::PostProcess),
            Status::SavingResults => Some(Self::Upload),
            Status::New | Status::Waiting | Status::Done | Status::Failed => None,
        }
    }

    /// The word in metrics and traces.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Predict => "predict",
            Self::PostProcess => "postprocess",
            Self::Encode => "encode",
            Self::Zip => "zip",
            Self::Upload => "upload",
        }
    }
}

/// A job that this process holds.
pub struct Job {
    custody: Arc<Custody>,
    fields: RawFields,
}

impl Job {
    pub(crate) fn new(queue: Queue, claim: Claim, fields: RawFields) -> Self {
        let custody = Custody::new(queue, claim, &Record(fields.clone()));
        Self {
            custody: Arc::new(custody),
            fields,
        }
    }

    /// The key of the job's hash.
    pub fn key(&self) -> &JobKey {
        &self.custody.claim.key
    }

    /// The queue that the job was taken from.
    pub fn queue_name(&self) -> &str {
        self.custody.queue.name()
    }

    /// Where the job stands.
    pub fn status(&self) -> Status {
        self.custody.status()
    }

    /// What the worker keeps of the job while a consumer has it.
    pub(crate) fn custody(&self) -> Arc<Custody> {
        Arc::clone(&self.custody)
    }

    /// The moment before which the job is not to be worked, in milliseconds since 1970, if there is one.
    pub(crate) fn not_before(&self) -> anyhow::Result<Option<u64>> {
        let Some(text) = self.text("not_before")? else {
            return Ok(None);
        };
        let seconds = text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|seconds| (0.0..1e11).contains(seconds));
        let millis = match seconds {
            Some(seconds) => Some((seconds * 1e3) as u64),
            None => text
                .trim()
                .parse::<jiff::Timestamp>()
                .ok()
                .map(|at| at.as_millisecond().max(0).unsigned_abs()),
        };
        let wrong = || {
            InvalidInput(format!(
                "not_before `{text}` is neither a time stamp nor seconds since 1970"
            ))
        };
        Ok(Some(millis.ok_or_else(wrong)?))
    }

    /// Key or URL of the input in the bucket.
    pub fn input_file_name(&self) -> anyhow::Result<&str> {
        let name = self.text("input_file_name")?;
        name.ok_or_else(|| {
            InvalidInput("the job names no input file (`input_file_name` is empty)".to_owned())
                .into()
        })
    }

    /// The user's name for the input, from which results take theirs.
    pub fn original_name(&self) -> anyhow::Result<&str> {
        match self.text("original_name")? {
            Some(name) => Ok(name),
            None => self.input_file_name(),
        }
    }

    /// Which image channel goes to which model, such as `0,` or `0,1`; empty if not given.
    pub fn channels(&self) -> anyhow::Result<&str> {
        Ok(self.text("channels")?.unwrap_or_default())
    }

    /// The numbers of `channels`, counted from 0, for jobs in which their order is all; `None` if not given.
    pub fn channel_numbers(&self) -> anyhow::Result<Option<Vec<usize>>> {
        let channels = self.channels()?;
        let words: Vec<_> = channels
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let number = |word: &&str| {
            let number = word.parse::<usize>();
            number.map_err(|_| {
                InvalidInput(format!(
                    "channels `{channels}`: `{word}` is no channel number"
                ))
            })
        };
        let numbers: Vec<usize> = words.iter().map(number).collect::<Result<_, _>>()?;
        Ok((!numbers.is_empty()).then_some(numbers))
    }

    /// The numbers of `channels` by position; a position may be empty.
    pub fn channel_positions(&self) -> anyhow::Result<Vec<Option<usize>>> {
        let channels = self.channels()?;
        let number = |word: &str| match word.trim() {
            "" => Ok(None),
            word => word.parse().map(Some).map_err(|_| {
                InvalidInput(format!(
                    "channels `{channels}`: `{word}` is no channel number"
                ))
            }),
        };
        Ok(channels.split(',').map(number).collect::<Result<_, _>>()?)
    }

    /// What kind of cells there are around spots: `none`, `tissue` or `cell culture`; empty if not given.
    pub fn segmentation_type(&self) -> anyhow::Result<&str> {
        Ok(self.text("segmentation_type")?.unwrap_or_default())
    }

    /// What of the cells is segmented, if given: `whole-cell`, `nuclear` or `both`.
    pub fn compartment(&self) -> anyhow::Result<Option<&str>> {
        self.text("compartment")
    }

    /// The order of the image's axes, such as `XYB`; empty if not given.
    pub fn dimension_order(&self) -> anyhow::Result<&str> {
        Ok(self.text("dimension_order")?.unwrap_or_default())
    }

    /// The factor by which the image is to be resized for the model, if given.
    pub fn scale(&self) -> anyhow::Result<Option<f64>> {
        let Some(text) = self.text("scale")? else {
            return Ok(None);
        };
        let scale = text.trim().parse::<f64>();
        scale
            .map(Some)
            .map_err(|_| InvalidInput(format!("scale `{text}` is not a number")).into())
    }

    /// The kind of image (`0` nuclear, `1` phase, `2` cytoplasm) for jobs of older frontends.
    pub fn label(&self) -> anyhow::Result<Option<&str>> {
        self.text("label")
    }

    /// Name and version of the model that the job itself names, if it names both.
    pub fn named_model(&self) -> anyhow::Result<Option<(&str, &str)>> {
        Ok(self.text("model_name")?.zip(self.text("model_version")?))
    }

    /// Names of functions that prepare the image, separated by commas.
    pub fn preprocess_function(&self) -> anyhow::Result<&str> {
        Ok(self.text("preprocess_function")?.unwrap_or_default())
    }

    /// Names of functions that turn the model's answers into labels, separated by commas.
    pub fn postprocess_function(&self) -> anyhow::Result<&str> {
        Ok(self.text("postprocess_function")?.unwrap_or_default())
    }

    /// Where parts of the job go, and a name for it that is the same each time the job is run.
    pub fn run_id(&self) -> String {
        let digest = Sha256::digest(&self.key().0);
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Where the result goes: the same place each time the job is run, so that a second run replaces the first.
    pub fn output_key(&self) -> String {
        format!("output/{}.zip", self.run_id())
    }

    /// The refusal of a file that this queue does not take.
    pub fn invalid_file_type(&self) -> anyhow::Error {
        InvalidFileType(self.queue_name().to_owned()).into()
    }

    /// Goes on to the next stage: the status, and the time that the last one took, are written within half a second.
    pub fn enter(&self, status: Status) {
        self.custody.enter(status);
    }

    /// Goes on to a stage that the status does not tell, with a time limit of its own.
    pub fn enter_stage(&self, stage: Stage) {
        self.custody.begin(stage);
    }

    /// Until the value is dropped the job waits its turn, and its time limit waits with it.
    pub fn waiting(&self) -> Waiting {
        Waiting::begin(&self.custody)
    }

    /// Counts the pixels of an image that was decoded for the job.
    pub fn record_pixels(&self, pixels: usize) {
        self.custody.decoded(pixels as u64);
    }

    /// Records how much of the work is done, in per cent. It never goes back, not even when the job is run again.
    pub fn record_progress(&self, percent: u64) {
        self.custody.advance(percent.min(100));
    }

    /// Records what was found out about a job that did not say it.
    pub fn record_detected(&self, detected: Detected) {
        self.custody.write(vec![match detected {
            Detected::Scale(scale) => ("scale", scale.to_string()),
            Detected::Label(label) => ("label", label.to_string()),
            Detected::DimensionOrder(order) => ("dim_order", order),
        }]);
    }

    fn text(&self, field: &str) -> anyhow::Result<Option<&str>> {
        let Some(bytes) = self.fields.get(field.as_bytes()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes);
        let text =
            text.map_err(|_| InvalidInput(format!("the job's field `{field}` is not UTF-8 text")))?;
        Ok((!text.is_empty()).then_some(text))
    }
}

/// What was found out about an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Detected {
    /// The scale of the image.
    Scale(f64),
    /// The kind of image.
    Label(usize),
    /// The order of its axes, such as `YXC`.
    DimensionOrder(String),
}

/// The file is of a type that this queue does not take. The text is the Python consumer's, which clients know.
#[derive(Debug, thiserror::Error)]
#[error("Invalid filetype for \"{0}\" job.")]
pub struct InvalidFileType(String);

/// The fields of a hash that say which trace the job belongs to.
pub(crate) fn trace_context(fields: &RawFields) -> HashMap<String, String> {
    let text = |name: &str| String::from_utf8(fields.get(name.as_bytes())?.clone()).ok();
    TRACE_CONTEXT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), text(name)?)))
        .collect()
}

/// How long ago a time stamp of a hash was; nothing if it is none.
pub(crate) fn age_of(stamp: &[u8]) -> Option<Duration> {
    let stamp: jiff::Timestamp = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    Some(Duration::try_from(jiff::Timestamp::now().duration_since(stamp)).unwrap_or_default())
}

/// The time as every writer of a job's hash gives it: UTC with microseconds and offset.
pub(crate) fn timestamp() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
        .to_string()
}

fn seconds(value: f64) -> String {
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_have_six_digits_and_an_offset() {
        let text = timestamp();
        assert_eq!(
            text.len(),
            "2023-07-12T16:31:13.123456+00:00".len(),
            "{text}"
        );
        assert!(
            text.ends_with("+00:00") && text.parse::<jiff::Timestamp>().is_ok(),
            "{text}"
        );
        assert!(age_of(text.as_bytes()).is_some_and(|age| age < Duration::from_secs(60)));
        assert!(
            age_of(b"2023-07-12T16:31:13.123Z").is_some_and(|age| age > Duration::from_secs(86400))
        );
        assert_eq!(age_of(b"soon"), None);
    }
}
