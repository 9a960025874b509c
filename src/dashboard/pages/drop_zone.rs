//! Where files are dropped.

use super::super::auth::Role;
use super::super::looks::IMAGES;
use super::super::visit::Visit;
use crate::figures::size;

/// Endings of other files that jobs take.
const OTHERS: [&str; 4] = [".zip", ".npy", ".trk", ".trks"];

/// Where files are dropped.
pub(super) struct DropZone {
    /// Why they are not.
    pub(super) why_not: Option<&'static str>,
    /// The largest file, in bytes and in words.
    pub(super) most_bytes: u64,
    pub(super) most: String,
    /// Endings of what is taken from folders.
    pub(super) endings: String,
}

impl DropZone {
    pub(super) fn of(visit: &Visit) -> Self {
        let site = &visit.site;
        let most_bytes = site.api.settings.max_upload_bytes;
        let endings: Vec<_> = IMAGES.into_iter().chain(OTHERS).collect();
        Self {
            why_not: match visit.user.role {
                _ if site.is_read_only => Some(READ_ONLY),
                Role::Operator if site.storage.is_none() => Some(NO_BUCKET),
                Role::Operator => None,
                _ => Some(VIEWER),
            },
            most_bytes,
            most: size(most_bytes as f64),
            endings: endings.join(" "),
        }
    }
}

const READ_ONLY: &str =
    "Nothing can be submitted here: this dashboard is read-only (DASHBOARD_READ_ONLY).";
const VIEWER: &str = "You may look, and not submit: ask whoever set DASHBOARD_OPERATORS.";
const NO_BUCKET: &str =
    "Nothing can be submitted here: set STORAGE_BUCKET for the dashboard, as for consumers.";
