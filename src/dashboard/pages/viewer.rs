//! The picture of a job as its pages have it: a still one, which a script replaces by one that can be looked into.

use super::super::assets;
use super::super::layout::Layout;
use super::super::looks::Subject;
use super::super::shown::encoded;

/// Where a picture is.
pub(super) struct Viewer {
    /// What is seen of the job, below the base.
    pub(super) path: String,
    /// Another one after each run.
    pub(super) version: String,
    pub(super) alt: String,
}

impl Viewer {
    pub(super) fn of(subject: &Subject, input: &str) -> Self {
        Self {
            path: format!("/jobs/{}", encoded(subject.key())),
            version: subject.version().to_owned(),
            alt: match subject.result() {
                Some(_) => format!("{input}, with what was found in it"),
                None => format!("{input}, the input"),
            },
        }
    }

    /// What a page needs to have it looked into.
    pub(super) fn add_scripts(layout: Layout) -> Layout {
        layout
            .with_script(&assets::OPENSEADRAGON)
            .with_script(&assets::VIEW_PANEL)
            .with_script(&assets::VIEWER)
    }
}
