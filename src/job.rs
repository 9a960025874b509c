//! One job: typed access to its hash, its progress through the stages, its end.
//!
//! This is the only file that knows the words of the wire: field names and statuses of the Redis hash
//! (contract sections 1.4 to 1.6). It writes stamps, stage times and identities, so that no consumer has to.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tracing::info;

use crate::failure::{Class, InvalidInput};
pub use crate::queue::NewChild;
use crate::queue::{self, Awaited, ChildWait, Claim, Due, JobKey, Queue, RawFields, Settled};

/// The field that says where a job stands.
pub(crate) const STATUS: &str = "status";
/// The field that says when a job was last written to.
pub(crate) const UPDATED_AT: &str = "updated_at";
/// Fields that only our consumers write: the right to write, and the list that the entry was put into.
pub(crate) const TOKEN: &str = "rc_token";
pub(crate) const OWNER: &str = "rc_owner";

/// Whether a status says that nothing more will be written.
pub(crate) fn is_final(status: Option<&[u8]>) -> bool {
    status.is_some_and(|status| [Status::Done, Status::Failed].iter().any(|end| end.as_str().as_bytes() == status))
}

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

/// The input of a child.
#[derive(Clone, Copy, Debug)]
pub struct ChildInput<'a> {
    /// Key of the object in the bucket.
    pub key: &'a str,
    /// The name that results are called after.
    pub original_name: &'a str,
    /// Public address of the object, unless the child has one already.
    pub url: Option<&'a str>,
}

/// A stored result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Key of the object in the bucket.
    pub key: String,
    /// Address from which the frontend and the label tool fetch it.
    pub url: String,
}

/// A part of the work that has a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Fetching the input.
    Download,
    /// Preparing pixels and asking the model.
    Predict,
    /// Turning the model's answers into objects.
    PostProcess,
    /// Packing and storing the result.
    Upload,
}

impl Stage {
    /// The stage that begins with a status.
    fn of(status: Status) -> Option<Self> {
        match status {
            Status::Started => Some(Self::Download),
            Status::PreProcessing | Status::Predicting => Some(Self::Predict),
            Status::PostProcessing => Some(Self::PostProcess),
            Status::SavingResults => Some(Self::Upload),
            Status::New | Status::Waiting | Status::Done | Status::Failed => None,
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
        let record = Record(fields.clone());
        let attempts = record.number("rc_attempts");
        let children = record.children();
        // What waits for children goes on waiting for them, whatever happens.
        let resting = if children.is_empty() { Status::New.to_string() } else { record.status() };
        let progress = Mutex::new(Progress::new());
        let custody = Custody { queue, claim, attempts, children, resting, progress, claimed: Instant::now() };
        Self { custody: Arc::new(custody), fields }
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
        let Some(text) = self.text("not_before")? else { return Ok(None) };
        let seconds = text.trim().parse::<f64>().ok().filter(|seconds| (0.0..1e11).contains(seconds));
        let millis = match seconds {
            Some(seconds) => Some((seconds * 1e3) as u64),
            None => text.trim().parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond().max(0).unsigned_abs()),
        };
        let wrong = || InvalidInput(format!("not_before `{text}` is neither a time stamp nor seconds since 1970"));
        Ok(Some(millis.ok_or_else(wrong)?))
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

    /// The numbers of `channels` by position; a position may be empty.
    pub fn channel_positions(&self) -> anyhow::Result<Vec<Option<usize>>> {
        let channels = self.channels()?;
        let number = |word: &str| match word.trim() {
            "" => Ok(None),
            word => word
                .parse()
                .map(Some)
                .map_err(|_| InvalidInput(format!("channels `{channels}`: `{word}` is no channel number"))),
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

    /// What the job knows of the jobs that it has created.
    pub async fn family(&self) -> anyhow::Result<Family> {
        let keys = &self.custody.children;
        if keys.is_empty() {
            return Ok(Family::None);
        }
        if !self.fields.contains_key(b"children_total".as_slice()) {
            return Ok(Family::Foreign(Children::adopted(keys.clone())));
        }
        let records = self.custody.queue.read_many(keys, &OF_CHILDREN).await?;
        let child = |(key, fields): (&JobKey, RawFields)| Child { key: key.clone(), record: Record(fields) };
        Ok(Family::Waited(keys.iter().zip(records).map(child).collect()))
    }

    /// The fields that a child takes over from the job: all but those that say how the job itself fares.
    pub fn inheritance(&self) -> Vec<(String, Vec<u8>)> {
        let own = |name: &str| {
            name.starts_with("rc_")
                || name.starts_with("children")
                || name.starts_with("identity_")
                || name.ends_with("_time")
                || [
                    STATUS,
                    UPDATED_AT,
                    "updated_by",
                    "created_at",
                    "finished_at",
                    "reason",
                    "error_class",
                    "progress",
                    "failures",
                    "output_url",
                    "output_file_name",
                    "total_jobs",
                    "dim_order",
                    "parent",
                    "not_before",
                ]
                .contains(&name)
        };
        let named = self.fields.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        let mut taken: Vec<_> =
            named.filter(|(name, _)| !own(name)).map(|(name, value)| (name.to_owned(), value.clone())).collect();
        taken.push(("identity_upload".to_owned(), self.custody.queue.consumer().as_bytes().to_vec()));
        taken
    }

    /// A child that works the object `input_key` of the bucket, with `more` fields beside those of every child.
    pub fn child(&self, queue: &str, input: ChildInput<'_>, more: Vec<(String, Vec<u8>)>) -> NewChild {
        let mut fields = more;
        let mut own = vec![
            ("identity_upload", self.custody.queue.consumer()),
            ("input_file_name", input.key),
            ("original_name", input.original_name),
        ];
        own.extend(input.url.map(|url| ("url", url)));
        fields.retain(|(name, _)| own.iter().all(|(taken, _)| taken != name));
        fields.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
        NewChild { queue: queue.to_owned(), name: input.original_name.to_owned(), fields }
    }

    /// Records how the parts of an archive fared: sums of times as lists, and the reasons of those that failed.
    pub fn record_collected(&self, children: &[Child]) {
        let done = || children.iter().filter(|child| child.record.is_done());
        let mut fields = Vec::new();
        for field in &OF_CHILDREN[4..] {
            let values: Vec<_> =
                done().filter_map(|child| child.record.text(field)).filter(|text| !text.is_empty()).collect();
            if !values.is_empty() {
                fields.push((*field, values.join(",")));
            }
        }
        let mut failures = url::form_urlencoded::Serializer::new(String::new());
        for child in children.iter().filter(|child| child.result().is_err()) {
            let reason = match child.result() {
                Err(_) if child.record.has_failed() => child.reason(),
                Err(error) => error.reason,
                Ok(_) => continue,
            };
            failures.append_pair(&child.key.to_string(), &reason);
        }
        fields.push(("failures", failures.finish()));
        self.custody.write(fields);
    }

    /// Records how long the upload of an archive's images took.
    pub fn record_expanded(&self, time: Duration) {
        self.custody.write(vec![("children_upload_time", seconds(time.as_secs_f64()))]);
    }

    /// Records how long the collecting of an archive's results took.
    pub fn record_cleanup(&self, time: Duration) {
        self.custody.write(vec![("cleanup_time", seconds(time.as_secs_f64())), ("progress", "100".to_owned())]);
    }

    /// Where parts of the job go, and a name for it that is the same each time the job is run.
    pub fn run_id(&self) -> String {
        let digest = Sha256::digest(&self.key().0);
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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

    /// Goes on to a stage that has no status of its own, but a time limit.
    pub fn enter_stage(&self, stage: Stage) {
        self.custody.progress().begin(Some(stage));
    }

    /// Until the value is dropped the job waits its turn, and its time limit waits with it.
    pub fn waiting(&self) -> Waiting {
        self.custody.progress().waiting += 1;
        Waiting(Arc::clone(&self.custody))
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
        let Some(bytes) = self.fields.get(field.as_bytes()) else { return Ok(None) };
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| InvalidInput(format!("the job's field `{field}` is not UTF-8 text")))?;
        Ok((!text.is_empty()).then_some(text))
    }
}

/// A job waits for something that is nobody's fault, such as memory that others use.
pub struct Waiting(Arc<Custody>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.progress().waiting -= 1;
    }
}

/// What the worker keeps of a job while a consumer has it: where it stands, and the right to settle it.
pub(crate) struct Custody {
    queue: Queue,
    claim: Claim,
    attempts: u64,
    children: Vec<JobKey>,
    /// The status that the job goes back to when it is tried again.
    resting: String,
    progress: Mutex<Progress>,
    claimed: Instant,
}

/// Where a job stands and since when.
struct Progress {
    status: Status,
    entered: Instant,
    seconds: BTreeMap<&'static str, f64>,
    stage: Option<Stage>,
    stage_entered: Instant,
    /// Time in this stage that does not count.
    excused: Duration,
    waiting: u32,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            status: Status::New,
            entered: now,
            seconds: BTreeMap::new(),
            stage: None,
            stage_entered: now,
            excused: Duration::ZERO,
            waiting: 0,
        }
    }

    fn begin(&mut self, stage: Option<Stage>) {
        self.stage = stage;
        self.stage_entered = Instant::now();
        self.excused = Duration::ZERO;
    }

    fn close_status(&mut self) {
        let spent = self.entered.elapsed().as_secs_f64();
        if let Some(field) = self.status.time_field() {
            *self.seconds.entry(field).or_default() += spent;
            info!(stage = %self.status, duration_s = spent, "stage ended");
        }
        self.entered = Instant::now();
    }

    fn times(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.seconds.iter().map(|(field, spent)| (*field, seconds(*spent)))
    }
}

impl Custody {
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(crate) fn status(&self) -> Status {
        self.progress().status
    }

    /// How often the job has failed in a way that may pass.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The stage that the job is in and the time that counts against its limit.
    pub(crate) fn stage(&self) -> Option<(Stage, Duration)> {
        let progress = self.progress();
        Some((progress.stage?, progress.stage_entered.elapsed().saturating_sub(progress.excused)))
    }

    /// This much time of the stage does not count.
    pub(crate) fn excuse(&self, time: Duration) {
        self.progress().excused += time;
    }

    /// Whether the job waits for something that is nobody's fault.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress().waiting > 0
    }

    pub(crate) fn enter(&self, status: Status) {
        let mut progress = self.progress();
        progress.close_status();
        progress.begin(Stage::of(status));
        progress.status = status;
        let mut fields = vec![("status", status.to_string())];
        if status == Status::Started {
            fields.push(("identity_started", self.queue.consumer().to_owned()));
        }
        fields.extend(progress.times());
        drop(progress);
        self.write(fields);
    }

    /// Ends the job with a result.
    pub(crate) async fn finish(&self, output: &Output) -> Result<Settled, queue::Error> {
        let result = vec![("output_file_name", output.key.clone()), ("output_url", output.url.clone())];
        self.settle(Status::Done, result, false).await
    }

    /// Ends the job without a result. One that is `dead` is given up though nothing is known to be wrong with it.
    pub(crate) async fn fail(&self, reason: String, class: Class, dead: bool) -> Result<Settled, queue::Error> {
        self.settle(Status::Failed, vec![("reason", reason), ("error_class", class.to_string())], dead).await
    }

    /// Has the job tried again later. What failed counts as one more attempt or, if the consumer died, one more death.
    pub(crate) async fn retry(&self, reason: &str, class: Class, after: Duration) -> Result<Settled, queue::Error> {
        let counted = match class {
            Class::Crash => ("rc_crashes", self.claim.crashes + 1),
            _ => ("rc_attempts", self.attempts + 1),
        };
        let fields = [
            ("status", self.resting.clone()),
            (counted.0, counted.1.to_string()),
            ("rc_last_error", format!("{class}: {}", reason.lines().last().unwrap_or_default())),
            ("updated_at", timestamp()),
            ("updated_by", self.queue.consumer().to_owned()),
        ];
        self.queue.delay(&self.claim, Due::In(after), &fields).await
    }

    /// Puts the job off until a moment in milliseconds since 1970; [`Settled::Due`] if that has passed.
    pub(crate) async fn postpone(&self, until: u64) -> Result<Settled, queue::Error> {
        self.queue.delay(&self.claim, Due::At(until), &[]).await
    }

    /// Hands the job back for another consumer.
    pub(crate) async fn release(&self) -> Result<Settled, queue::Error> {
        self.queue.release(&self.claim).await
    }

    /// Puts the job aside until its children are final.
    pub(crate) async fn park(&self, children: &Children) -> Result<Settled, queue::Error> {
        let Children { awaited, status, fail_fast } = children;
        let wait = ChildWait { awaited: awaited.clone(), status: status.as_str(), fail_fast: *fail_fast };
        self.queue.park(&self.claim, &wait).await
    }

    /// Lets the children of the job go, if it has any: they expire, and those that nobody has begun end.
    pub(crate) async fn disown_children(&self, lifetime: Duration) -> Result<(), queue::Error> {
        self.queue.disown(&self.claim.key, &self.children, lifetime).await
    }

    /// Leaves the job to its fate: its lease is no longer renewed.
    pub(crate) fn abandon(&self) {
        self.queue.abandon(&self.claim);
    }

    async fn settle(
        &self,
        status: Status,
        mut fields: Vec<(&'static str, String)>,
        dead: bool,
    ) -> Result<Settled, queue::Error> {
        let now = timestamp();
        fields.extend([
            ("finished_at", now.clone()),
            ("updated_at", now),
            ("updated_by", self.queue.consumer().to_owned()),
            ("total_jobs", self.children.len().max(1).to_string()),
            ("total_time", seconds(self.claimed.elapsed().as_secs_f64())),
        ]);
        {
            let mut progress = self.progress();
            progress.close_status();
            progress.status = status;
            fields.extend(progress.times());
        }
        self.queue.finish(&self.claim, status.as_str(), &fields, dead).await
    }

    fn write(&self, mut fields: Vec<(&'static str, String)>) {
        fields.push(("updated_at", timestamp()));
        fields.push(("updated_by", self.queue.consumer().to_owned()));
        self.queue.set(&self.claim, fields);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs that a job creates and waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    awaited: Awaited,
    status: Status,
    fail_fast: bool,
}

impl Children {
    /// These, with the job in `status` meanwhile. The job goes on when all are final.
    pub fn new(children: Vec<NewChild>, status: Status) -> Self {
        Self { awaited: Awaited::New(children), status, fail_fast: false }
    }

    /// The same, but the job goes on as soon as one of them has failed.
    #[must_use]
    pub fn failing_fast(self) -> Self {
        Self { fail_fast: true, ..self }
    }

    /// Children that a Python consumer has created for an archive.
    fn adopted(children: Vec<JobKey>) -> Self {
        Self { awaited: Awaited::Existing(children), status: Status::Waiting, fail_fast: false }
    }
}

/// What a job knows of its children.
#[derive(Clone, Debug)]
pub enum Family {
    /// It has none yet.
    None,
    /// It has waited for these, in the order in which they were created.
    Waited(Vec<Child>),
    /// A Python consumer has created them: this is how to wait for them.
    Foreign(Children),
}

/// A child as its parent sees it.
#[derive(Clone, Debug)]
pub struct Child {
    /// The key of its hash.
    pub key: JobKey,
    record: Record,
}

/// The field that says which queue a parent chose for a child: the role that it plays, whatever its key looks like.
pub(crate) const CHILD_QUEUE: &str = "rc_child_queue";

/// Fields of children that their parents read, beside status and reason.
const OF_CHILDREN: [&str; 10] = [
    CHILD_QUEUE,
    STATUS,
    "reason",
    "output_file_name",
    "prediction_time",
    "postprocess_time",
    "upload_time",
    "download_time",
    "total_time",
    "predict_retries",
];

impl Child {
    /// The key of its result.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub fn result(&self) -> Result<String, ChildFailed> {
        let failed = |reason: String| ChildFailed { key: self.key.clone(), reason };
        match self.record.status().as_str() {
            "" => Err(failed("it has vanished (expired or deleted)".to_owned())),
            status if status == Status::Done.as_str() => {
                let key = self.record.text("output_file_name").filter(|key| !key.is_empty());
                key.ok_or_else(|| failed("it is done and names no result".to_owned()))
            }
            status if status == Status::Failed.as_str() => Err(failed(self.reason())),
            status => Err(failed(format!("it is still {status}"))),
        }
    }

    /// Whether it has ended without a result.
    pub fn has_failed(&self) -> bool {
        self.record.has_failed()
    }

    /// The queue that its parent put it into.
    pub fn queue(&self) -> String {
        self.record.text(CHILD_QUEUE).unwrap_or_default()
    }

    fn reason(&self) -> String {
        let reason = self.record.text("reason").unwrap_or_else(|| "None".to_owned());
        reason.lines().last().unwrap_or_default().to_owned()
    }
}

/// A child has no result.
#[derive(Debug, thiserror::Error)]
#[error("the job `{key}`, a part of this one, has no result: {reason}")]
pub struct ChildFailed {
    key: JobKey,
    /// The last line of its reason.
    pub reason: String,
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
#[derive(Clone, Debug)]
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

    /// The keys of the children, if there are any.
    fn children(&self) -> Vec<JobKey> {
        let keys = self.0.get(b"children".as_slice()).map_or(&[][..], Vec::as_slice);
        keys.split(|&byte| byte == b',').filter(|key| !key.is_empty()).map(|key| JobKey(key.to_vec())).collect()
    }

    fn number(&self, field: &str) -> u64 {
        self.text(field).and_then(|text| text.parse().ok()).unwrap_or(0)
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
