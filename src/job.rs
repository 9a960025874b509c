//! One job: typed access to its hash, its progress through the stages, its end.
//!
//! This is the only file that knows the words of the wire: field names and statuses of the Redis hash
//! (contract sections 1.4 to 1.6). It writes stamps, stage times and identities, so that no consumer has to.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tracing::info;

use crate::failure::InvalidInput;
use crate::queue::{self, Claim, JobKey, Queue, RawFields, Settled};

/// Where a job stands, as the frontend shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            Self::New | Self::Done | Self::Failed => None,
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

/// The job is no longer ours: expired, deleted, or claimed by another consumer.
#[derive(Debug, thiserror::Error)]
#[error("the job is no longer held by this consumer")]
pub struct JobLost;

/// A job that this process holds.
pub struct Job {
    queue: Queue,
    claim: Claim,
    fields: RawFields,
    status: Status,
    entered: Instant,
    claimed: Instant,
    stage_seconds: BTreeMap<&'static str, f64>,
}

impl Job {
    pub(crate) fn new(queue: Queue, claim: Claim, fields: RawFields) -> Self {
        let now = Instant::now();
        let stage_seconds = BTreeMap::new();
        Self { queue, claim, fields, status: Status::New, entered: now, claimed: now, stage_seconds }
    }

    /// The key of the job's hash.
    pub fn key(&self) -> &JobKey {
        &self.claim.key
    }

    /// The queue that the job was taken from.
    pub fn queue_name(&self) -> &str {
        self.queue.name()
    }

    /// Where the job stands.
    pub fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Key or URL of the input in the bucket.
    pub fn input_file_name(&self) -> anyhow::Result<&str> {
        let name = self.text("input_file_name")?;
        name.ok_or_else(|| InvalidInput("the job names no input file (`input_file_name` is empty)".to_owned()).into())
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
        let words: Vec<_> = channels.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let number = |word: &&str| {
            let number = word.parse::<usize>();
            number.map_err(|_| InvalidInput(format!("channels `{channels}`: `{word}` is no channel number")))
        };
        let numbers: Vec<usize> = words.iter().map(number).collect::<Result<_, _>>()?;
        Ok((!numbers.is_empty()).then_some(numbers))
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
        let Some(text) = self.text("scale")? else { return Ok(None) };
        let scale = text.trim().parse::<f64>();
        scale.map(Some).map_err(|_| InvalidInput(format!("scale `{text}` is not a number")).into())
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

    /// Where the result goes: the same place each time the job is run, so that a second run replaces the first.
    pub fn output_key(&self) -> String {
        let digest = Sha256::digest(&self.claim.key.0);
        let mut key = "output/".to_owned();
        digest.iter().take(16).for_each(|byte| write!(key, "{byte:02x}").unwrap_or_default());
        key + ".zip"
    }

    /// The refusal of a file that this queue does not take.
    pub fn invalid_file_type(&self) -> anyhow::Error {
        InvalidFileType(self.queue.name().to_owned()).into()
    }

    /// Goes on to the next stage: writes the status, and the time that the last stage took.
    pub async fn enter(&mut self, status: Status) -> anyhow::Result<()> {
        self.close_stage();
        let mut fields = vec![("status", status.to_string())];
        if status == Status::Started {
            fields.push(("identity_started", self.queue.consumer().to_owned()));
        }
        fields.extend(self.time_fields());
        self.status = status;
        self.write(fields).await
    }

    /// Records what was found out about a job that did not say it.
    pub async fn record_detected(&mut self, detected: Detected) -> anyhow::Result<()> {
        self.write(vec![match detected {
            Detected::Scale(scale) => ("scale", scale.to_string()),
            Detected::Label(label) => ("label", label.to_string()),
            Detected::DimensionOrder(order) => ("dim_order", order),
        }])
        .await
    }

    /// Ends the job with a result.
    pub(crate) async fn finish(&mut self, output: &Output) -> Result<Settled, queue::Error> {
        let result = [("output_file_name", output.key.clone()), ("output_url", output.url.clone())];
        self.settle(Status::Done, result.to_vec()).await
    }

    /// Ends the job without a result.
    pub(crate) async fn fail(&mut self, reason: String) -> Result<Settled, queue::Error> {
        self.settle(Status::Failed, vec![("reason", reason)]).await
    }

    /// Hands the job back for another consumer.
    pub(crate) async fn release(&self) -> Result<Settled, queue::Error> {
        self.queue.release(&self.claim).await
    }

    async fn settle(
        &mut self,
        status: Status,
        mut fields: Vec<(&'static str, String)>,
    ) -> Result<Settled, queue::Error> {
        self.close_stage();
        self.status = status;
        let now = timestamp();
        fields.extend([
            ("status", status.to_string()),
            ("finished_at", now.clone()),
            ("updated_at", now),
            ("updated_by", self.queue.consumer().to_owned()),
            ("total_jobs", "1".to_owned()),
            ("total_time", seconds(self.claimed.elapsed().as_secs_f64())),
        ]);
        fields.extend(self.time_fields());
        self.queue.finish(&self.claim, &fields).await
    }

    async fn write(&self, mut fields: Vec<(&'static str, String)>) -> anyhow::Result<()> {
        fields.push(("updated_at", timestamp()));
        fields.push(("updated_by", self.queue.consumer().to_owned()));
        match self.queue.set(&self.claim, &fields).await? {
            Settled::Committed => Ok(()),
            _ => Err(JobLost.into()),
        }
    }

    fn close_stage(&mut self) {
        let spent = self.entered.elapsed().as_secs_f64();
        if let Some(field) = self.status.time_field() {
            *self.stage_seconds.entry(field).or_default() += spent;
            info!(stage = %self.status, duration_s = spent, "stage ended");
        }
        self.entered = Instant::now();
    }

    fn time_fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.stage_seconds.iter().map(|(field, spent)| (*field, seconds(*spent)))
    }

    fn text(&self, field: &str) -> anyhow::Result<Option<&str>> {
        let Some(bytes) = self.fields.get(field.as_bytes()) else { return Ok(None) };
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| InvalidInput(format!("the job's field `{field}` is not UTF-8 text")))?;
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

/// A job that is yet to be queued.
#[derive(Clone, Copy, Debug, Default)]
pub struct Submission<'a> {
    /// Key of the input in the bucket.
    pub input_key: &'a str,
    /// The user's name for it.
    pub original_name: &'a str,
    /// Which image channel goes to which model; empty for the first channel to the first model.
    pub channels: &'a str,
    /// The order of the image's axes; empty to have it told by the file.
    pub dimension_order: &'a str,
}

impl Submission<'_> {
    /// The fields that a frontend writes for it.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let now = timestamp();
        vec![
            ("original_name", self.original_name.to_owned()),
            ("input_file_name", self.input_key.to_owned()),
            ("channels", self.channels.to_owned()),
            ("dimension_order", self.dimension_order.to_owned()),
            ("status", Status::New.to_string()),
            ("created_at", now.clone()),
            ("updated_at", now),
        ]
    }
}

/// A job's hash as its submitter reads it, at one moment.
pub struct Record(pub RawFields);

impl Record {
    /// The word for where the job stands; empty if there is no such job.
    pub fn status(&self) -> String {
        self.text("status").unwrap_or_default()
    }

    /// Whether the job has a result.
    pub fn is_done(&self) -> bool {
        self.status() == Status::Done.as_str()
    }

    /// Whether the job has ended without a result.
    pub fn has_failed(&self) -> bool {
        self.status() == Status::Failed.as_str()
    }

    /// Why the job has failed.
    pub fn reason(&self) -> String {
        self.text("reason").unwrap_or_else(|| "no reason given".to_owned())
    }

    /// The key of the result in the bucket.
    pub fn output_key(&self) -> Option<String> {
        self.text("output_file_name")
    }

    /// What each stage took in seconds, in the order of the stages, and at last the whole.
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let stages = [
            ("fetching the image", "download_time"),
            ("pre-processing", "preprocess_time"),
            ("predicting", "prediction_time"),
            ("post-processing", "postprocess_time"),
            ("saving the result", "upload_time"),
            ("in all", "total_time"),
        ];
        stages.into_iter().filter_map(|(stage, field)| Some((stage, self.text(field)?.parse().ok()?))).collect()
    }

    fn text(&self, field: &str) -> Option<String> {
        self.0.get(field.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// The time as every writer of a job's hash gives it: UTC with microseconds and offset.
pub(crate) fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
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
        assert_eq!(text.len(), "2023-07-12T16:31:13.123456+00:00".len(), "{text}");
        assert!(text.ends_with("+00:00") && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
    }

    fn record(fields: &[(&str, &str)]) -> Record {
        Record(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect())
    }

    #[test]
    fn a_missing_hash_is_neither_done_nor_failed() {
        let empty = record(&[]);
        assert!(!empty.is_done() && !empty.has_failed() && empty.seconds().is_empty());
    }

    #[test]
    fn stages_come_in_their_order() {
        let record = record(&[("total_time", "0.5"), ("prediction_time", "0.25"), ("status", "done")]);
        assert!(record.is_done());
        assert_eq!(record.seconds(), [("predicting", 0.25), ("in all", 0.5)]);
    }
}
