//! What every page works with.

use std::sync::Arc;

use axum::http::HeaderValue;

use super::api::state::Api;
use super::auth::Door;
use super::elsewhere::Elsewhere;
use super::live::hub::Hub;
use super::looks::Looks;
use super::settings::DashboardSettings;
use crate::consumer::Registry;
use crate::queue::Admin;
use crate::settings::Setting;
use crate::storage::Storage;
use cell_analysis::quality::QualityThresholds;

/// What every page works with.
pub(super) struct Site {
    pub(super) admin: Admin,
    /// The bucket, if the settings name one that can be used.
    pub(super) storage: Option<Storage>,
    /// Whether addresses of results lead here, so that everybody may fetch them.
    pub(super) serves_files: bool,
    /// Makes pictures of what lies there.
    pub(super) looks: Option<Looks>,
    /// Tells open pages what changes.
    pub(super) hub: Hub,
    pub(super) door: Door,
    pub(super) api: Api,
    /// The path before all others, without a slash at its end.
    pub(super) base: String,
    pub(super) is_read_only: bool,
    /// Where other programs show the same.
    pub(super) elsewhere: Elsewhere,
    /// What browsers are told that pages may do.
    pub(super) policy: HeaderValue,
    /// From when on numbers of quality are out of the ordinary.
    pub(super) quality_flags: QualityThresholds,
    /// The kinds of consumers that can be checked.
    pub(super) registry: Registry,
    /// What is in force, for those who ask.
    pub(super) settings: Vec<Setting>,
}

/// A handle on it.
pub(super) type Shared = Arc<Site>;

impl Site {
    pub(super) fn new(
        settings: DashboardSettings,
        (admin, bucket, looks): (Admin, Option<PublicBucket>, Option<Looks>),
        (registry, hub, all): (Registry, Hub, Vec<Setting>),
    ) -> anyhow::Result<Self> {
        let is_local = settings.listen.ip().is_loopback();
        let serves_files = bucket
            .as_ref()
            .is_some_and(|bucket| bucket.is_public_at(&settings.base));
        Ok(Self {
            admin,
            storage: bucket.map(|bucket| bucket.storage),
            serves_files,
            looks,
            hub,
            door: Door::new(settings.access, &settings.base, is_local)?,
            api: Api::new(settings.api),
            base: settings.base,
            is_read_only: settings.is_read_only,
            policy: settings.elsewhere.policy()?,
            elsewhere: settings.elsewhere,
            quality_flags: settings.quality_flags,
            registry,
            settings: all,
        })
    }
}

/// A bucket, and what the settings say of the addresses of its objects.
pub(super) struct PublicBucket {
    pub(super) storage: Storage,
    /// What they begin with, if that is set.
    pub(super) address: Option<String>,
}

impl PublicBucket {
    /// Whether addresses of objects lead to the files of a page below this path. The host may be that of a proxy. An address that
    /// nobody has set is the bucket's own.
    fn is_public_at(&self, base: &str) -> bool {
        let address = self.address.as_deref();
        let address = address.and_then(|address| url::Url::parse(address).ok());
        address.is_some_and(|address| {
            let path = address.path().trim_end_matches('/');
            path.strip_suffix("/files") == Some(base)
        })
    }
}
