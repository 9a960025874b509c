//! What every page works with.

use std::sync::Arc;

use super::api::state::Api;
use super::auth::Door;
use super::live::hub::Hub;
use super::looks::Looks;
use super::settings::DashboardSettings;
use crate::queue::Admin;
use crate::settings::Setting;
use crate::storage::Storage;
use cell_analysis::quality::QualityThresholds;

/// What every page works with.
pub(super) struct Site {
    pub(super) admin: Admin,
    /// The bucket, if the settings name one that can be used.
    pub(super) storage: Option<Storage>,
    /// Makes pictures of what lies there.
    pub(super) looks: Option<Looks>,
    /// Tells open pages what changes.
    pub(super) hub: Hub,
    pub(super) door: Door,
    pub(super) api: Api,
    /// The path before all others, without a slash at its end.
    pub(super) base: String,
    pub(super) is_read_only: bool,
    /// From when on numbers of quality are out of the ordinary.
    pub(super) quality_flags: QualityThresholds,
    /// What is in force, for those who ask.
    pub(super) settings: Vec<Setting>,
}

/// A handle on it.
pub(super) type Shared = Arc<Site>;

impl Site {
    pub(super) fn new(
        settings: DashboardSettings,
        (admin, storage, looks): (Admin, Option<Storage>, Option<Looks>),
        (hub, all): (Hub, Vec<Setting>),
    ) -> anyhow::Result<Self> {
        let is_local = settings.listen.ip().is_loopback();
        Ok(Self {
            admin,
            storage,
            looks,
            hub,
            door: Door::new(settings.access, &settings.base, is_local)?,
            api: Api::new(settings.api),
            base: settings.base,
            is_read_only: settings.is_read_only,
            quality_flags: settings.quality_flags,
            settings: all,
        })
    }
}
