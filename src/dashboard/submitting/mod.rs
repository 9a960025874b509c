//! Jobs for files that were uploaded: what they are asked for, whether that can be done, and how they are queued. One file is a
//! job, several are a batch.

pub(super) mod act;
mod command;
mod confirm;
mod files;
mod inspected;
mod kinds;
mod mine;
mod options;
mod plan;
pub(super) mod request;

pub(super) use self::confirm::submit;
pub(super) use self::mine::mine;
pub(super) use self::options::{inspect, options};
