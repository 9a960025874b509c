//! What Redis knows of the items of a stage.

use crate::queue::Admin;
use crate::wire::batch;

/// What Redis knows of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    New,
    Out,
    Done,
    Failed,
}

/// The marks of all items of a stage.
pub(super) struct Marks {
    done: Vec<u8>,
    out: Vec<u8>,
    failed: Vec<u8>,
}

impl Marks {
    pub(super) async fn read(admin: &Admin, name: &str, stage: usize) -> anyhow::Result<Self> {
        Ok(Self {
            done: admin.all_marks(name, stage, batch::DONE).await?,
            out: admin.all_marks(name, stage, batch::OUT).await?,
            failed: admin.all_marks(name, stage, batch::FAILED).await?,
        })
    }

    pub(super) fn of(&self, item: u64) -> Mark {
        match () {
            () if is_set(&self.done, item) => Mark::Done,
            () if is_set(&self.out, item) => Mark::Out,
            () if is_set(&self.failed, item) => Mark::Failed,
            () => Mark::New,
        }
    }
}

/// Whether the bit of an item is set, as `GETBIT` counts bits.
pub(super) fn is_set(bits: &[u8], item: u64) -> bool {
    let byte = bits.get((item / 8) as usize).copied().unwrap_or(0);
    byte & bit_of(item) != 0
}

/// The bit of an item in its byte.
pub(super) fn bit_of(item: u64) -> u8 {
    0x80 >> (item % 8)
}
