//! What changes on open pages: one poller for all of them asks Redis once a second for what they show, and each is sent the
//! pieces that have changed. Nobody looks: nothing is asked.

mod board;
pub(super) mod hub;
mod poll;
mod seen;
mod slow;
pub(super) mod stream;
mod told;
pub(super) mod topic;
