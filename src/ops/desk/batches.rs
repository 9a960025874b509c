//! Batches, stages and items by their names.

use std::io::{self, Write as _};

use super::connection::Desk;
pub(crate) use crate::batch::stage_of;
use crate::batch::{self, Operator};
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::untrusted;

/// A batch that has to be there.
pub(crate) async fn known(desk: &Desk, name: &str) -> anyhow::Result<BatchState> {
    batch::known(&desk.admin, name).await
}

impl Desk {
    /// The operator, where batches are changed.
    pub(crate) fn operator(&self, storage: Option<Storage>) -> Operator<'_> {
        Operator {
            admin: &self.admin,
            storage,
            who: &self.who,
        }
    }
}

/// Queues the first items of a batch that goes on.
pub(crate) async fn feed_first(
    desk: &Desk,
    storage: Option<Storage>,
    name: &str,
) -> anyhow::Result<()> {
    if let Err(error) = desk.operator(storage).feed_first(name).await {
        let error = untrusted::message(format!("{error:#}"));
        writeln!(
            io::stderr(),
            "no item was queued, which is left to consumers: {error}"
        )?;
    }
    Ok(())
}
