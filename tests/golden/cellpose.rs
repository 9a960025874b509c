//! Golden cases of `cell_analysis::cellpose`.
//!
//! Border: no network runs here.

use cell_analysis::cellpose::{
    Cellpose, fill_holes_and_remove_small_masks, flow_errors, follow_flows, masks_of_positions,
    masks_to_flows, normalize99, remove_bad_flow_masks, tile_windows,
};
use ndarray::{Array, Array1, Array2, Array3, Axis, concatenate};

use crate::cases::{Case, Verdict};

/// Runs a case; other operations are skipped.
pub(crate) fn run(case: &Case) -> Result<Verdict, String> {
    let operation: fn(&Case) -> Result<(), String> = match case.operation.as_str() {
        "cellpose_follow_flows" => run_follow_flows,
        "cellpose_get_masks" => run_get_masks,
        "cellpose_masks_to_flows" => |case| {
            case.agrees(
                "flows",
                masks_to_flows(labels(case)?.view()).into_dyn().view(),
            )
        },
        "cellpose_remove_bad_flow_masks" => run_remove_bad_flow_masks,
        "cellpose_fill_holes_and_remove_small_masks" => run_fill_holes,
        "cellpose_compute_masks" => run_compute_masks,
        "cellpose_normalize99" => run_normalize99,
        "cellpose_make_tiles" => run_make_tiles,
        _ => return Ok(Verdict::Skipped),
    };
    operation(case).map(|()| Verdict::Passed)
}

fn run_follow_flows(case: &Case) -> Result<(), String> {
    let steps = case.count("niter")? as u32;
    let positions = follow_flows(flows(case)?.view(), mask(case)?.view(), steps);
    case.agrees("positions", positions.into_dyn().view())
}

fn run_get_masks(case: &Case) -> Result<(), String> {
    let positions: Array2<i32> = case.ranked("positions", |value| value as i32)?;
    let fraction = case.number("max_size_fraction")?;
    let labels = masks_of_positions(positions.view(), mask(case)?.view(), fraction);
    case.agrees("labels", labels.into_dyn().view())
}

fn run_remove_bad_flow_masks(case: &Case) -> Result<(), String> {
    let (labels, flows) = (labels(case)?, flows(case)?);
    let errors = flow_errors(labels.view(), flows.view());
    let errors: Array1<f64> = errors.into_iter().map(|(_, error)| error).collect();
    case.agrees("errors", errors.into_dyn().view())?;
    let kept = remove_bad_flow_masks(labels, flows.view(), case.number("threshold")?);
    case.agrees("labels", kept.into_dyn().view())
}

fn run_fill_holes(case: &Case) -> Result<(), String> {
    let filled = fill_holes_and_remove_small_masks(labels(case)?, min_size(case)?);
    case.agrees("labels", filled.into_dyn().view())
}

fn run_compute_masks(case: &Case) -> Result<(), String> {
    let cellprob: Array2<f32> = case.ranked("cellprob", |value| value as f32)?;
    let cellprob = cellprob.insert_axis(Axis(0));
    let heads = concatenate(Axis(0), &[flows(case)?.view(), cellprob.view()]);
    let heads = heads.map_err(|error| error.to_string())?;
    let options = Cellpose {
        cellprob_threshold: case.number("cellprob_threshold")?,
        // Where nothing is to be checked, the index may note no number.
        flow_threshold: case.params["flow_threshold"].as_f64().unwrap_or(0.0),
        min_size: min_size(case)?,
        max_size_fraction: case.number("max_size_fraction")?,
        steps: case.count("niter")? as u32,
    };
    let labels = options
        .segment(heads.view())
        .map_err(|error| error.to_string())?;
    case.agrees("labels", labels.into_dyn().view())
}

fn run_normalize99(case: &Case) -> Result<(), String> {
    let image: Array2<f32> = case.ranked("image", |value| value as f32)?;
    let percentiles = [case.number("lower")?, case.number("upper")?];
    case.agrees("image", normalize99(image, percentiles).into_dyn().view())
}

fn run_make_tiles(case: &Case) -> Result<(), String> {
    let image: Array3<f32> = case.ranked("image", |value| value as f32)?;
    let (_, rows, columns) = image.dim();
    let windows = tile_windows(
        [rows, columns],
        case.count("size")?,
        case.number("overlap")?,
    );
    let windows = windows.into_iter().map(|[down, across]| {
        [down.start, down.end, across.start, across.end].map(|edge| edge as u32)
    });
    let windows: Vec<[u32; 4]> = windows.collect();
    case.agrees("windows", Array2::from(windows).into_dyn().view())
}

/// A size that is not positive keeps everything.
fn min_size(case: &Case) -> Result<usize, String> {
    Ok(case.number("min_size")?.max(0.0) as usize)
}

fn labels(case: &Case) -> Result<Array2<u32>, String> {
    case.ranked("labels", |value| value as u32)
}

fn flows(case: &Case) -> Result<Array3<f32>, String> {
    case.ranked("flows", |value| value as f32)
}

fn mask(case: &Case) -> Result<Array<bool, ndarray::Ix2>, String> {
    case.ranked("mask", |value| value != 0.0)
}
