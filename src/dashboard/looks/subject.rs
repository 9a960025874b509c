//! Which job is looked at, and which of its files.

use sha2::{Digest as _, Sha256};

use crate::queue::JobKey;
use crate::wire::{self, RawFields, field};

/// Endings of the files that images are read from.
pub(in super::super) const IMAGES: [&str; 11] = [
    ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".qptiff", ".lsm", ".btf", ".tf8",
];

/// Whether a file of this name is read as an image.
pub(in super::super) fn is_image(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    IMAGES.iter().any(|image| name.ends_with(image))
}

/// A job that is looked at.
#[derive(Clone)]
pub(in super::super) struct Subject {
    key: JobKey,
    input: String,
    /// The archive of its result, if it is done.
    result: Option<String>,
    order: String,
    channels: Vec<usize>,
    is_final: bool,
    version: String,
}

impl Subject {
    /// The job with these fields; nothing if its input is no image.
    pub(in super::super) fn of(key: &JobKey, fields: &RawFields) -> Option<Self> {
        let bytes = |name: &str| fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
        let text = |name: &str| String::from_utf8_lossy(bytes(name)).into_owned();
        let input = std::str::from_utf8(bytes(field::INPUT_FILE_NAME)).ok()?;
        if !is_image(input) {
            return None;
        }
        let is_done = bytes(field::STATUS) == b"done";
        let result = text(field::OUTPUT_FILE_NAME);
        let has_result = is_done && result.to_ascii_lowercase().ends_with(".zip");
        Some(Self {
            version: version(key, fields),
            key: key.clone(),
            input: input.to_owned(),
            result: has_result.then_some(result),
            order: text(field::DIMENSION_ORDER),
            channels: numbers(&text(field::CHANNELS)),
            is_final: wire::is_final(Some(bytes(field::STATUS))),
        })
    }

    /// A file of so many bytes in the bucket, which no job has as yet.
    pub(in super::super) fn of_file(input: &str, bytes: u64, order: &str) -> Self {
        let key = JobKey(format!("{input} {bytes} {order}").into_bytes());
        Self {
            version: version(&key, &RawFields::default()),
            key,
            input: input.to_owned(),
            result: None,
            order: order.to_owned(),
            channels: Vec::new(),
            is_final: false,
        }
    }

    pub(in super::super) fn key(&self) -> &JobKey {
        &self.key
    }

    pub(super) fn input(&self) -> &str {
        &self.input
    }

    pub(in super::super) fn result(&self) -> Option<&str> {
        self.result.as_deref()
    }

    /// The order of the image's axes; empty if the file tells it.
    pub(super) fn order(&self) -> &str {
        &self.order
    }

    /// The channels that were worked; none if the job does not say it.
    pub(super) fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// Whether nothing changes any more.
    pub(in super::super) fn is_final(&self) -> bool {
        self.is_final
    }

    /// Another one for each thing that could be seen: of another job, or after another run.
    pub(in super::super) fn version(&self) -> &str {
        &self.version
    }

    /// Where the preview of the result would be.
    pub(super) fn stored_preview(&self) -> Option<String> {
        self.result.as_ref().map(|_| self.key.preview())
    }
}

fn version(key: &JobKey, fields: &RawFields) -> String {
    let names = [
        field::STATUS,
        field::INPUT_FILE_NAME,
        field::OUTPUT_FILE_NAME,
        field::FINISHED_AT,
        field::DIMENSION_ORDER,
        field::CHANNELS,
    ];
    let mut digest = Sha256::new();
    let values = names.iter().filter_map(|name| fields.get(name.as_bytes()));
    for part in std::iter::once(&key.0).chain(values) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let bytes = digest.finalize();
    bytes
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The numbers of a list such as `0,` or `0,1`.
fn numbers(list: &str) -> Vec<usize> {
    let words = list.split(',').map(str::trim);
    words.filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> RawFields {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn images_alone_are_looked_at_and_results_of_what_is_done() {
        let key = JobKey(b"q:1".to_vec());
        let of = |pairs: &[(&str, &str)]| Subject::of(&key, &fields(pairs));
        assert!(of(&[("input_file_name", "uploads/a.zip")]).is_none());
        assert!(of(&[]).is_none());
        let done = [
            ("input_file_name", "uploads/a.TIF"),
            ("status", "done"),
            ("output_file_name", "output/x.zip"),
            ("channels", "1,,0"),
        ];
        let found = of(&done).expect("an image");
        assert_eq!(found.result(), Some("output/x.zip"));
        assert!(found.is_final() && found.channels() == [1, 0]);
        let failed = of(&[done[0], ("status", "failed"), done[2]]).expect("an image");
        assert_eq!((failed.result(), failed.stored_preview()), (None, None));
        assert_ne!(failed.version(), found.version());
    }
}
