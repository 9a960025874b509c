#![doc = include_str!("../README.md")]

pub mod segmentation;

pub mod cellpose;

pub mod spots;

pub mod stardist;

pub mod legacy;

pub mod regions;

pub mod quality;

pub mod tracking;

mod plane;

#[cfg(test)]
mod strategies;

pub use plane::{finite_range, zeros};
