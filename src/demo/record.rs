//! A job's hash as its submitter reads it.

use crate::job::Status;
use crate::queue::RawFields;

/// The fields of a job at one moment.
pub(super) struct Record(pub(super) RawFields);

impl Record {
    /// The word for where the job stands.
    pub(super) fn status(&self) -> String {
        self.text("status").unwrap_or_default()
    }

    /// Whether the job has a result.
    pub(super) fn is_done(&self) -> bool {
        self.status() == Status::Done.as_str()
    }

    /// Whether the job has ended without a result.
    pub(super) fn has_failed(&self) -> bool {
        self.status() == Status::Failed.as_str()
    }

    /// Why the job has failed.
    pub(super) fn reason(&self) -> String {
        self.text("reason").unwrap_or_else(|| "no reason given".to_owned())
    }

    /// The key of the result in the bucket.
    pub(super) fn output_key(&self) -> Option<String> {
        self.text("output_file_name")
    }

    /// What each stage took in seconds, in the order of the stages, and at last the whole.
    pub(super) fn seconds(&self) -> Vec<(&'static str, f64)> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
