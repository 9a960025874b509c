//! A job's hash as those see it who submit one and follow it.

use super::{Status, timestamp};
use crate::queue::{JobKey, RawFields};

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
        self.text("reason")
            .unwrap_or_else(|| "no reason given".to_owned())
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
        stages
            .into_iter()
            .filter_map(|(stage, field)| Some((stage, self.text(field)?.parse().ok()?)))
            .collect()
    }

    /// The keys of the children, if there are any.
    pub(super) fn children(&self) -> Vec<JobKey> {
        let keys = self
            .0
            .get(b"children".as_slice())
            .map_or(&[][..], Vec::as_slice);
        keys.split(|&byte| byte == b',')
            .filter(|key| !key.is_empty())
            .map(|key| JobKey(key.to_vec()))
            .collect()
    }

    pub(super) fn number(&self, field: &str) -> u64 {
        self.text(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    pub(super) fn text(&self, field: &str) -> Option<String> {
        self.0
            .get(field.as_bytes())
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, &str)]) -> Record {
        Record(
            fields
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn a_missing_hash_is_neither_done_nor_failed() {
        let empty = record(&[]);
        assert!(!empty.is_done() && !empty.has_failed() && empty.seconds().is_empty());
    }

    #[test]
    fn stages_come_in_their_order() {
        let record = record(&[
            ("total_time", "0.5"),
            ("prediction_time", "0.25"),
            ("status", "done"),
        ]);
        assert!(record.is_done());
        assert_eq!(record.seconds(), [("predicting", 0.25), ("in all", 0.5)]);
    }
}
