//! A conformance suite that a consumer runs on itself, without Redis, a bucket server or a cluster.
//!
//! The feature `testing` brings it; a crate of one's own has it among its dev-dependencies.

mod attempt;
mod conformance;
mod sample;
mod setup;

pub use self::conformance::Conformance;
pub use crate::consumers::exec::parsers as commands;
