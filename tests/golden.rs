//! The golden cases: what the reference computed, file by file. `cargo test --release golden -- --nocapture` runs them all.
//!
//! `GOLDEN_DIR` names the folder with one folder an area; `tests/golden/mod.rs` says where else they are looked for.

mod golden;
mod peers;

use golden::{Verdict, images, segmentation_chains, segmentation_kernels};

#[test]
fn golden_segmentation() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    golden::run("segmentation", |case| match segmentation_kernels::run(case)? {
        Verdict::Skipped => segmentation_chains::run(case, &runtime),
        verdict => Ok(verdict),
    });
}

#[test]
fn golden_image_io() {
    golden::run("image-io", images::run);
}
