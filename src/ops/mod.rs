//! Commands for those who run a Kiosk: keeping order, checking, measuring.

mod bench;
mod fsck;
mod janitor;
mod kubernetes;

pub(crate) use self::bench::{BenchArguments, bench};
pub(crate) use self::fsck::{FsckArguments, fsck};
pub(crate) use self::janitor::{JanitorArguments, JanitorSettings, janitor};
