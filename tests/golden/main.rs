//! The golden cases: what the reference computed, file by file. `cargo test --release golden -- --nocapture` runs them all.
//!
//! `GOLDEN_DIR` names the folder with one folder an area; `cases.rs` says where else they are looked for. Every output that
//! an index records is compared, or the case fails.

#[path = "../peers/mod.rs"]
mod peers;

/// Cases as the indices list them.
mod cases;

/// Arrays from `.npy` files.
mod npy;

/// Arrays that an index notes as a formula.
mod formula;

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
mod stardist;
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

#[test]
fn golden_stardist() {
    cases::run("stardist", &[], stardist::run);
}

#[test]
fn golden_forms_of_files_and_movies() {
    let (folder, runtime) = (cases::forms(), runtime());
    cases::run_below(&folder, "image-io", &[], images::run);
    cases::run_below(&folder, "tracking", &[], |case| {
        tracking::run(case, &runtime)
    });
}

/// A copy of an area below this folder.
fn copied(area: &str, to: &std::path::Path) {
    for entry in std::fs::read_dir(cases::forms().join(area)).expect("an area") {
        let from = entry.expect("an entry").path();
        let at = to.join(area).join(from.file_name().expect("a name"));
        std::fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&from, &at).expect("a copy");
    }
}

#[test]
fn golden_cases_fail_where_one_value_differs() {
    let runtime = runtime();
    let changes: [(&str, &str, &str); 5] = [
        ("image-io", "npy_u8.npy", "npy_write_u8"),
        ("image-io", "tif_i2.tif", "imsave_i2"),
        ("tracking", "out_f02_embedding.npy", "track_by_frame"),
        ("tracking", "out_f03_morphologies.npy", "track_by_frame"),
        ("tracking", "out_col_ind.npy", "lap_by_formula"),
    ];
    for (area, file, case) in changes {
        let folder = tempfile::tempdir().expect("a folder");
        copied(area, folder.path());
        let changed = folder.path().join(area).join(file);
        let mut bytes = std::fs::read(&changed).expect("a file of the case");
        // The last value of an array, or of the image of a page.
        let at = if file.ends_with(".tif") {
            300
        } else {
            bytes.len() - 2
        };
        bytes[at] ^= 0x41;
        std::fs::write(&changed, bytes).expect("a file of the case");
        let report = cases::report(folder.path(), area, |case| match area {
            "image-io" => images::run(case),
            _ => tracking::run(case, &runtime),
        });
        let failed: Vec<&String> = report.failed.iter().map(|(name, _)| name).collect();
        assert_eq!(failed, [case], "{file}: {:?}", report.failed);
    }
}

#[test]
fn golden_cases_fail_where_nothing_is_compared_with_an_output() {
    let folder = tempfile::tempdir().expect("a folder");
    copied("tracking", folder.path());
    let index = folder.path().join("tracking/index.json");
    let text = std::fs::read_to_string(&index).expect("an index");
    std::fs::write(
        &index,
        text.replace("\"f02_embedding\":", "\"f02_dreams\":"),
    )
    .expect("an index");
    let runtime = runtime();
    let report = cases::report(folder.path(), "tracking", |case| {
        tracking::run(case, &runtime)
    });
    let reasons: Vec<&String> = report.failed.iter().map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons,
        ["`track` puts out nothing that is called [\"f02_dreams\"]"]
    );
}
