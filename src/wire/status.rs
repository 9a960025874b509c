//! Where a job stands.

use std::fmt::{self, Display};

use super::field;

/// Where a job stands, as the frontend shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Submitted and not yet claimed.
    New,
    /// Claimed; the input is being fetched.
    Started,
    /// Pixels are being prepared.
    PreProcessing,
    /// The model is being run.
    Predicting,
    /// The model's predictions are being turned into objects.
    PostProcessing,
    /// The result is being packed and uploaded.
    SavingResults,
    /// The job waits for children that it has created.
    Waiting,
    /// Finished with a result.
    Done,
    /// Finished without one; `reason` says why.
    Failed,
}

impl Status {
    /// The word in the hash.
    pub const fn as_str(self) -> &'static str {
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

    /// The field that takes the seconds spent with this status.
    pub(crate) fn time_field(self) -> Option<&'static str> {
        match self {
            Self::Started => Some(field::DOWNLOAD_TIME),
            Self::PreProcessing => Some(field::PREPROCESS_TIME),
            Self::Predicting => Some(field::PREDICTION_TIME),
            Self::PostProcessing => Some(field::POSTPROCESS_TIME),
            Self::SavingResults => Some(field::UPLOAD_TIME),
            Self::New | Self::Waiting | Self::Done | Self::Failed => None,
        }
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a status, as a hash has it, says that nothing more will be written.
pub(crate) fn is_final(status: Option<&[u8]>) -> bool {
    let finals = [Status::Done, Status::Failed];
    status.is_some_and(|status| finals.iter().any(|end| end.as_str().as_bytes() == status))
}
