//! One job: typed access to its hash, its progress through the steps, its end.
//!
//! It writes stamps, times and identities, so that no consumer has to.

mod children;
mod claimed;
mod progress;
mod request;
mod settlement;
mod snapshot;
mod step;

pub use self::children::{Child, ChildFailed, ChildInput, ChildState, Children, Timing};
pub(crate) use self::claimed::trace_context;
pub use self::claimed::{Detected, Job};
pub(crate) use self::progress::Progress;
pub use self::request::InvalidFileType;
pub use self::settlement::Output;
pub(crate) use self::settlement::Settlement;
pub use self::snapshot::{JobSnapshot, NewJob};
pub use self::step::Step;
pub(crate) use self::step::StepLimits;
pub(crate) use crate::queue::QueueName;
pub use crate::queue::{ChildSpec, DeadlinePause};
pub use crate::wire::{JobKey, Status};
