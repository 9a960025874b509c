//! The steps of a job's work: what is timed, what has a time limit, and what of it the status tells.

use std::time::Duration;

use crate::wire::Status;

/// A step of the work. Those that say so set the status of the job; the others leave it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetching the input; status `started`.
    Download,
    /// Fetching a part of it.
    Fetch,
    /// Turning the file into an image.
    Decode,
    /// Preparing the image; status `pre-processing`.
    Preprocess,
    /// Preparing it for one model.
    Prepare,
    /// Running the model; status `predicting`.
    Predict,
    /// Turning the model's predictions into objects.
    Label,
    /// The same as a step that users see; status `post-processing`.
    Postprocess,
    /// Turning objects into files.
    Encode,
    /// Packing the files.
    Zip,
    /// Storing the result; status `saving-results`.
    Upload,
    /// Storing a part of it.
    Store,
}

impl Step {
    /// The status that the step begins with.
    pub(crate) fn status(self) -> Option<Status> {
        match self {
            Self::Download => Some(Status::Started),
            Self::Preprocess => Some(Status::PreProcessing),
            Self::Predict => Some(Status::Predicting),
            Self::Postprocess => Some(Status::PostProcessing),
            Self::Upload => Some(Status::SavingResults),
            Self::Fetch
            | Self::Decode
            | Self::Prepare
            | Self::Label
            | Self::Encode
            | Self::Zip
            | Self::Store => None,
        }
    }

    /// What metrics and traces call it.
    pub(crate) fn stage(self) -> &'static str {
        match self {
            Self::Download | Self::Fetch => "download",
            Self::Decode => "decode",
            Self::Preprocess | Self::Prepare => "preprocess",
            Self::Predict => "predict",
            Self::Label | Self::Postprocess => "postprocess",
            Self::Encode => "encode",
            Self::Zip => "zip",
            Self::Upload | Self::Store => "upload",
        }
    }
}

/// How long steps may take; none is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepLimits {
    pub(crate) download: Option<Duration>,
    pub(crate) predict: Option<Duration>,
    pub(crate) postprocess: Option<Duration>,
    pub(crate) upload: Option<Duration>,
}

impl StepLimits {
    pub(crate) fn of(&self, step: Step) -> Option<Duration> {
        match step {
            Step::Download | Step::Fetch => self.download,
            Step::Decode | Step::Preprocess | Step::Prepare | Step::Predict => self.predict,
            Step::Label | Step::Postprocess => self.postprocess,
            Step::Encode | Step::Zip | Step::Upload | Step::Store => self.upload,
        }
    }
}
