//! Names of the fields of a job's hash.

// What a submitter writes.
pub(crate) const CHANNELS: &str = "channels";
pub(crate) const COMPARTMENT: &str = "compartment";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const CUTS: &str = "cuts";
pub(crate) const DIAMETER: &str = "diameter";
pub(crate) const DIMENSION_ORDER: &str = "dimension_order";
pub(crate) const IDENTITY_UPLOAD: &str = "identity_upload";
pub(crate) const INPUT_FILE_NAME: &str = "input_file_name";
pub(crate) const LABEL: &str = "label";
pub(crate) const MODEL_NAME: &str = "model_name";
pub(crate) const MODEL_VERSION: &str = "model_version";
pub(crate) const NOT_BEFORE: &str = "not_before";
pub(crate) const ORIGINAL_NAME: &str = "original_name";
pub(crate) const POSTPROCESS_FUNCTION: &str = "postprocess_function";
pub(crate) const PREPROCESS_FUNCTION: &str = "preprocess_function";
pub(crate) const SCALE: &str = "scale";
pub(crate) const SEGMENTATION_TYPE: &str = "segmentation_type";
pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";
pub(crate) const URL: &str = "url";

// What a consumer writes.
pub(crate) const CLEANUP_TIME: &str = "cleanup_time";
pub(crate) const DIM_ORDER: &str = "dim_order";
pub(crate) const DOWNLOAD_TIME: &str = "download_time";
pub(crate) const ERROR_CLASS: &str = "error_class";
pub(crate) const FAILURES: &str = "failures";
pub(crate) const FINISHED_AT: &str = "finished_at";
pub(crate) const IDENTITY_STARTED: &str = "identity_started";
pub(crate) const LOG_FILE_NAME: &str = "log_file_name";
pub(crate) const OUTPUT_FILE_NAME: &str = "output_file_name";
pub(crate) const OUTPUT_URL: &str = "output_url";
pub(crate) const POSTPROCESS_TIME: &str = "postprocess_time";
pub(crate) const PREDICT_RETRIES: &str = "predict_retries";
pub(crate) const PREDICTION_TIME: &str = "prediction_time";
pub(crate) const PREPROCESS_TIME: &str = "preprocess_time";
pub(crate) const PROGRESS: &str = "progress";
pub(crate) const REASON: &str = "reason";
pub(crate) const STATUS: &str = "status";
pub(crate) const TOTAL_JOBS: &str = "total_jobs";
pub(crate) const TOTAL_TIME: &str = "total_time";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const UPDATED_BY: &str = "updated_by";
pub(crate) const UPLOAD_TIME: &str = "upload_time";

// What is known of children.
pub(crate) const CHILDREN: &str = "children";
pub(crate) const CHILDREN_DONE: &str = "children_done";
pub(crate) const CHILDREN_FAILED: &str = "children_failed";
/// Whether the first failure of a child ends the wait of its parent.
pub(crate) const CHILDREN_FAIL_FAST: &str = "children_fail_fast";
/// The parent's progress when all children are final, in per cent.
pub(crate) const CHILDREN_PROGRESS: &str = "children_progress";
pub(crate) const CHILDREN_TOTAL: &str = "children_total";
pub(crate) const CHILDREN_UPLOAD_TIME: &str = "children_upload_time";
pub(crate) const PARENT: &str = "parent";

// What only our consumers and commands write and read.
/// An operator has requeued the job so that its failed children are tried again.
pub(crate) const AGAIN: &str = "rc_again";
/// Attempts that have failed with a transient error.
pub(crate) const ATTEMPTS: &str = "rc_attempts";
/// The batch of which the job is an item.
pub(crate) const BATCH: &str = "rc_batch";
/// Which item of its batch the job is: number of the stage, number of the item.
pub(crate) const ITEM: &str = "rc_item";
/// When a job that waits for children was claimed first, in milliseconds since 1970.
pub(crate) const BEGUN: &str = "rc_begun";
/// The queue that a parent chose for a child.
pub(crate) const CHILD_QUEUE: &str = "rc_child_queue";
/// How often the job was claimed.
pub(crate) const CLAIMS: &str = "rc_claims";
/// The claim under which a parent is creating children.
pub(crate) const CREATING: &str = "rc_creating";
/// Consumers that have died while they worked the job.
pub(crate) const CRASHES: &str = "rc_crashes";
/// Keys that the job's results have to have, one a line; those below a prefix if it ends in `/`.
pub(crate) const EXPECT: &str = "rc_expect";
pub(crate) const LAST_ERROR: &str = "rc_last_error";
/// The last lines that the job's command has written.
pub(crate) const LOG: &str = "rc_log";
/// What the job's command says beside its progress.
pub(crate) const NOTE: &str = "rc_note";
/// In place of `MAX_ATTEMPTS`.
pub(crate) const MAX_ATTEMPTS: &str = "rc_attempts_max";
/// In place of `MAX_CRASHES`.
pub(crate) const MAX_CRASHES: &str = "rc_crashes_max";
/// Bytes that are set aside in `MEMORY_BUDGET` while the job is worked.
pub(crate) const MEMORY: &str = "rc_memory";
/// The processing list that holds the entry of a claimed job.
pub(crate) const OWNER: &str = "rc_owner";
/// How good the result seems to be, as JSON.
pub(crate) const QUALITY: &str = "rc_quality";
/// To which round of its parent's children a job belongs.
pub(crate) const ROUND: &str = "rc_round";
/// The longest time of one attempt, in seconds.
pub(crate) const TIMEOUT: &str = "rc_timeout";
/// The right to write to the job.
pub(crate) const TOKEN: &str = "rc_token";
/// The span of a trace that was that of the job's work, for its parent.
pub(crate) const TRACE: &str = "rc_trace";
/// The signature of what made the job fail, by which failures are grouped.
pub(crate) const WHY: &str = "rc_why";
