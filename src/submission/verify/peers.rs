//! What the rules of plans are held against.

use std::time::Duration;

use batch_plan::Resolved;

use super::super::wanted::Wanted;
use super::models::ModelPeer;
use super::rules::need_redis;
use crate::queue::{Admin, RedisSettings};
use crate::settings::{Env, Loader};
use crate::storage::Storage;

/// How long a Redis is waited for that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the rules of plans are held against; rules whose peer is not there are not looked at.
#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) storage: Option<Storage>,
    pub(crate) admin: Option<Admin>,
    pub(crate) models: Option<ModelPeer>,
    /// Whether an object may be written, to see whether that can be done.
    pub(crate) may_write: bool,
}

impl Peers {
    /// Those that the settings name, as far as rules need them. Nothing is written.
    pub(crate) fn named(
        plans: &[Resolved],
        wanted: &Wanted,
        env: &Env,
        loader: &mut Loader<'_>,
    ) -> Self {
        let is_named = |name| env.get(name).is_some();
        let needs_redis = !wanted.skip_verify && plans.iter().any(need_redis);
        let redis = needs_redis && is_named("REDIS_HOST");
        Self {
            admin: redis.then(|| Admin::new(&RedisSettings::load(loader)).with_patience(PATIENCE)),
            models: is_named("TF_HOST")
                .then(|| ModelPeer::load(plans, wanted, loader))
                .flatten(),
            ..Self::default()
        }
    }
}
