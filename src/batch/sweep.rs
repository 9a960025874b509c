//! Items that have ended without anybody counting them: worked by consumers that know no batches, or vanished.

use std::collections::HashMap;

use tracing::info;

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::storage::Storage;
use crate::wire::{JobKey, batch};

/// Items that are looked at in one go.
const LOOKED: usize = 1000;
const CHUNK: usize = 200;

/// Where the next look at a stage begins.
#[derive(Default)]
pub(super) struct Sweep(HashMap<(String, usize), u64>);

impl Sweep {
    /// Looks at some items of a stage that are under way.
    pub(super) async fn look(
        &mut self,
        admin: &Admin,
        storage: Option<&Storage>,
        loaded: &mut Loaded,
        name: &str,
        stage: usize,
    ) -> anyhow::Result<()> {
        let at = self.0.entry((name.to_owned(), stage)).or_default();
        let (items, next) = admin.marked(name, stage, batch::OUT, *at, LOOKED).await?;
        *at = next.unwrap_or(0);
        for chunk in items.chunks(CHUNK) {
            let mut jobs = Vec::new();
            for &item in chunk {
                let (_, key) = loaded.identity(storage, stage, item).await?;
                jobs.push((item, JobKey(key.into_bytes())));
            }
            let (ended, vanished) = admin.count_ends(name, stage, &jobs).await?;
            if vanished > 0 {
                info!(
                    batch = name,
                    stage, vanished, "items whose jobs have vanished are fed again"
                );
            }
            if ended > 0 {
                info!(
                    batch = name,
                    stage, ended, "counted items that had ended unnoticed"
                );
            }
        }
        Ok(())
    }
}
