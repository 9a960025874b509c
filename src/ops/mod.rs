//! Commands for those who run a Kiosk: keeping order, checking, measuring.

mod bench;
mod check;
mod connect;
mod fsck;
mod janitor;
mod promote_delayed;

pub(crate) use self::bench::{BenchArguments, bench};
pub(crate) use self::check::{CheckArguments, check};
pub(crate) use self::fsck::{FsckArguments, fsck};
pub(crate) use self::janitor::{JanitorArguments, JanitorSettings, janitor};
pub(crate) use self::promote_delayed::promote_delayed;
