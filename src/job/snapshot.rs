//! A job's hash as those see it who submit a job and follow it.

use crate::wire::{JobKey, RawFields, Status, field, split_keys, timestamp};

/// A job that is yet to be queued.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewJob<'a> {
    /// Key of the input in the bucket.
    pub input_key: &'a str,
    /// The user's name for it.
    pub original_name: &'a str,
    /// Which image channel goes to which model; empty for the first channel to the first model.
    pub channels: &'a str,
    /// The order of the image's axes; empty to have it told by the file.
    pub dimension_order: &'a str,
}

impl NewJob<'_> {
    /// The fields that a frontend writes for it.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let now = timestamp();
        vec![
            (field::ORIGINAL_NAME, self.original_name.to_owned()),
            (field::INPUT_FILE_NAME, self.input_key.to_owned()),
            (field::CHANNELS, self.channels.to_owned()),
            (field::DIMENSION_ORDER, self.dimension_order.to_owned()),
            (field::STATUS, Status::New.to_string()),
            (field::CREATED_AT, now.clone()),
            (field::UPDATED_AT, now),
        ]
    }
}

/// A job's hash at one moment.
#[derive(Clone, Copy, Debug)]
pub struct JobSnapshot<'a>(pub &'a RawFields);

impl JobSnapshot<'_> {
    /// The word for where the job stands; empty if there is no such job.
    pub fn status(&self) -> String {
        self.text(field::STATUS).unwrap_or_default()
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
        self.text(field::REASON)
            .unwrap_or_else(|| "no reason given".to_owned())
    }

    /// The key of the result in the bucket.
    pub fn output_key(&self) -> Option<String> {
        self.text(field::OUTPUT_FILE_NAME)
    }

    /// What each stage took in seconds, in the order of the stages, and at last the whole.
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let stages = [
            ("fetching the image", field::DOWNLOAD_TIME),
            ("pre-processing", field::PREPROCESS_TIME),
            ("predicting", field::PREDICTION_TIME),
            ("post-processing", field::POSTPROCESS_TIME),
            ("saving the result", field::UPLOAD_TIME),
            ("in all", field::TOTAL_TIME),
        ];
        stages
            .into_iter()
            .filter_map(|(stage, field)| Some((stage, self.text(field)?.parse().ok()?)))
            .collect()
    }

    /// The keys of the children, if there are any.
    pub(super) fn children(&self) -> Vec<JobKey> {
        let keys = self.0.get(field::CHILDREN.as_bytes());
        let keys = keys.map_or(&[][..], Vec::as_slice);
        split_keys(keys).map(JobKey).collect()
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.text(field)?.parse().ok()
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

    fn hash(fields: &[(&str, &str)]) -> RawFields {
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_missing_hash_is_neither_done_nor_failed() {
        let fields = hash(&[]);
        let snapshot = JobSnapshot(&fields);
        assert!(!snapshot.is_done() && !snapshot.has_failed());
        assert!(snapshot.seconds().is_empty());
    }

    #[test]
    fn stages_come_in_their_order() {
        let fields = hash(&[
            ("total_time", "0.5"),
            ("prediction_time", "0.25"),
            ("status", "done"),
        ]);
        let snapshot = JobSnapshot(&fields);
        assert!(snapshot.is_done());
        assert_eq!(snapshot.seconds(), [("predicting", 0.25), ("in all", 0.5)]);
    }
}
