//! The protocols of model servers, one file each, behind one trait.
//!
//! A protocol turns one call into messages and back, and says what a failed one means. When a call is made, how often,
//! to which server and for how long is decided above.

mod call;
pub(super) mod open_inference;
pub(super) mod tf_serving;
pub(super) mod unknown;

pub(super) use call::{Call, Protocol};
