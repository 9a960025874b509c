//! Jobs that have not ended.

use super::selector::Selector;
use crate::queue::Admin;
use crate::queue::control::{Selected, Source};
use crate::wire;

impl Selector {
    /// What is meant and is not final. Jobs that move meanwhile may be met twice, which does no harm.
    pub(crate) async fn active(&self, admin: &Admin) -> anyhow::Result<Selected> {
        if self.names_jobs() {
            return self.named(admin).await;
        }
        let mut selected = Selected::default();
        let limit = self.limit_or(usize::MAX);
        self.each_job(admin, &Source::ACTIVE, limit, |queue, key, fields| {
            let is_meant = wire::is_active(&fields);
            if is_meant {
                selected.0.push((queue.to_owned(), key));
            }
            Ok(is_meant)
        })
        .await?;
        Ok(selected)
    }
}
