//! The golden cases: what the reference computed, file by file. `cargo test --release golden -- --nocapture` runs them all.
//!
//! `GOLDEN_DIR` names the folder with one folder an area; `cases.rs` says where else they are looked for.

#[path = "../peers/mod.rs"]
mod peers;

/// Cases as the indices list them.
mod cases;

/// Arrays from `.npy` files.
mod npy;

/// How closely results must agree.
mod agreement;

/// What became of an operation.
mod outcome;

/// Tiles, as the indices note them.
mod tiles;

// What the operations mean, area by area.

mod images;
mod segmentation_chains;
mod segmentation_kernels;
mod spots;
mod tracking;

use cases::Verdict;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn golden_segmentation() {
    let runtime = runtime();
    cases::run("segmentation", segmentation_kernels::SKIPPED, |case| {
        match segmentation_kernels::run(case)? {
            Verdict::Skipped => segmentation_chains::run(case, &runtime),
            verdict => Ok(verdict),
        }
    });
}

#[test]
fn golden_image_io() {
    cases::run("image-io", &[], images::run);
}

#[test]
fn golden_tracking() {
    let runtime = runtime();
    cases::run("tracking", tracking::SKIPPED, |case| {
        tracking::run(case, &runtime)
    });
}

#[test]
fn golden_spots() {
    let runtime = runtime();
    cases::run("spots", spots::SKIPPED, |case| spots::run(case, &runtime));
}
