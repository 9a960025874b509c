//! Golden cases of cell tracking: its steps one by one, whole movies with stand-in models over gRPC, and track files.

mod children;
mod files;
mod movies;
mod recorded;
mod steps;
mod trace;

use cell_analysis::tracking::CropOptions;
use ndarray::{Array, Array3, ArrayD, Dimension};
use serde_json::Value;

use crate::cases::{Case, Verdict};
use crate::outcome::{Failure, judged, refused};

/// What cases may be skipped for: where the reference takes or refuses what is not so here.
pub(crate) const SKIPPED: &[&str] = &["caliban_load", "image_features"];

/// Runs a case of the area; operations that are not built are skipped.
pub(crate) fn run(case: &Case, runtime: &tokio::runtime::Runtime) -> Result<Verdict, String> {
    let outcome = match case.operation.as_str() {
        "clean_up_annotations" => steps::clean_up(case),
        // Several channels are refused: the kiosk sends one.
        "image_features" if case.input("X")?.values.shape().last() != Some(&1) => {
            return Ok(Verdict::Skipped);
        }
        "image_features" => steps::features(case),
        "adjacency" => steps::neighbours(case),
        "normalize_adj" => steps::normalized(case),
        "cost_matrix" => steps::costs(case),
        "linear_sum_assignment" => steps::assignment(case),
        "model_batch_size" => steps::batch_size(case),
        "wrapper_predict" => runtime.block_on(movies::in_batches(case)),
        "track" => runtime.block_on(movies::track(case)),
        // Whatever the operation is called: what went wrong is not the movie, but what became of its frames.
        _ if children::are_told_of(case) => runtime.block_on(children::fail(case)),
        "caliban_job" => runtime.block_on(movies::job(case)),
        // The reference looks at the case of letters in a suffix, and refuses what its own queue has let pass.
        "caliban_load" if case.text("original_name").ends_with("TIF") => {
            return Ok(Verdict::Skipped);
        }
        "caliban_load" => files::load(case),
        "trk_read" => files::read_file(case, true),
        "kiosk_load_track_file" => files::read_file(case, false),
        "trk_write" => files::write_file(case),
        "relabel_sequential_lineage" => files::relabel(case),
        "is_valid_lineage" => files::is_valid(case),
        "trk_to_isbi" => files::isbi(case),
        _ => return Ok(Verdict::Skipped),
    };
    judged(case, outcome)
}

/// The numbers that the reference gives cells: unique in the movie, above their count.
fn unique(numbered: &Array3<i32>, counts: &[usize]) -> Array3<i32> {
    let mut before = counts.iter().sum::<usize>() as i32;
    let mut unique = numbered.clone();
    for (mut frame, count) in unique.outer_iter_mut().zip(counts) {
        frame.mapv_inplace(|number| if number > 0 { number + before } else { 0 });
        before += *count as i32;
    }
    unique
}

fn appearance(options: &Value) -> Result<CropOptions, Failure> {
    let side = options["appearance_dim"]
        .as_u64()
        .ok_or_else(|| "no size of appearances".to_owned())? as usize;
    let crop = options["crop_mode"]
        .as_str()
        .unwrap_or_default()
        .parse()
        .map_err(refused)?;
    let appearance = CropOptions {
        side,
        crop,
        norm: options["norm"] == true,
    };
    appearance.check().map_err(refused)?;
    Ok(appearance)
}

fn shaped<T, D: Dimension>(array: ArrayD<T>) -> Result<Array<T, D>, Failure> {
    array
        .into_dimensionality()
        .map_err(|error| Failure::Differs(error.to_string()))
}
