//! Golden cases of StarDist: preparation of images, suppression, polygons to labels, and all of it after the model.

use cell_analysis::stardist::{
    ChannelScaling, PercentileNormalization, StarDist, StarHeads, StarPolygons, pad_to_multiple,
    suppress_ranked,
};
use ndarray::{Array, Array2, Array3, Array4, ArrayView2, Axis, Dimension};
use serde_json::Value;

use crate::cases::{Case, Verdict};

/// Runs a case of the area.
pub(crate) fn run(case: &Case) -> Result<Verdict, String> {
    match case.operation.as_str() {
        "stardist_nms" => run_suppression(case)?,
        "stardist_nms_sorted" => run_ranked_suppression(case)?,
        "stardist_polygons_to_label" => run_labels(case)?,
        "stardist_instances" => run_instances(case)?,
        "csbdeep_normalize" => run_normalization(case)?,
        "stardist_pad" => run_padding(case)?,
        _ => return Ok(Verdict::Skipped),
    }
    Ok(Verdict::Passed)
}

fn run_suppression(case: &Case) -> Result<(), String> {
    let (probabilities, distances) = heads(case)?;
    let heads = StarHeads {
        probabilities: probabilities.view(),
        distances: distances.view(),
    };
    let kept = options(case)?.suppress(&heads).map_err(text)?;
    case.agrees("points", points(&kept).into_dyn().view())?;
    case.agrees("prob", Array::from(kept.scores).into_dyn().view())?;
    case.agrees("dist", kept.distances.into_dyn().view())
}

fn run_ranked_suppression(case: &Case) -> Result<(), String> {
    let points: Array2<f32> = single(case, "points")?;
    let distances: Array2<f32> = single(case, "dist")?;
    let points: Vec<[f32; 2]> = points.outer_iter().map(|at| [at[0], at[1]]).collect();
    let threshold = case.number("nms_thresh")?;
    let stays = suppress_ranked(&points, distances.view(), threshold).map_err(text)?;
    let stays: Vec<u8> = stays.into_iter().map(u8::from).collect();
    case.agrees("keep", Array::from(stays).into_dyn().view())
}

fn run_labels(case: &Case) -> Result<(), String> {
    let points: Array2<f64> = case.ranked("points", |value| value)?;
    let scores = if case.has_input("prob") {
        case.ranked("prob", |value| value as f32)?.to_vec()
    } else {
        vec![f32::INFINITY; points.nrows()]
    };
    let scale = numbers(case, "scale_dist")?;
    let polygons = StarPolygons {
        points: points.outer_iter().map(|at| [at[0], at[1]]).collect(),
        scores,
        distances: single(case, "dist")?,
        scale,
    };
    let threshold = case.params["thr"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let labels = polygons.labels(case.counts("shape")?, threshold as f32);
    case.agrees("labels", labels.into_dyn().view())
}

fn run_instances(case: &Case) -> Result<(), String> {
    let (probabilities, distances) = heads(case)?;
    let heads = StarHeads {
        probabilities: probabilities.view(),
        distances: distances.view(),
    };
    let instances = options(case)?.segment(&heads, case.counts("shape")?);
    let instances = instances.map_err(text)?;
    case.agrees("labels", instances.labels.into_dyn().view())?;
    case.agrees("points", points(&instances.polygons).into_dyn().view())?;
    case.agrees("coord", instances.polygons.vertices().into_dyn().view())
}

fn run_normalization(case: &Case) -> Result<(), String> {
    let image = case.input("image")?.map(|value| value as f32);
    let axes = image.ndim();
    let per_channel = case.params["axis"].as_array().map_or(axes, Vec::len) < axes;
    let options = PercentileNormalization {
        low: case.number("pmin")?,
        high: case.number("pmax")?,
        channels: if per_channel {
            ChannelScaling::Apart
        } else {
            ChannelScaling::Together
        },
        epsilon: case.number("eps")? as f32,
    };
    let shape = image.shape().to_vec();
    let with_channels = if axes == 2 {
        image.insert_axis(Axis(2))
    } else {
        image
    };
    let batch: Array4<f32> = with_channels
        .insert_axis(Axis(0))
        .into_dimensionality()
        .map_err(text)?;
    let normalized = options.normalize(batch).into_shape_with_order(shape);
    case.agrees("image", normalized.map_err(text)?.view())
}

fn run_padding(case: &Case) -> Result<(), String> {
    let image: Array3<f32> = single(case, "image")?;
    let multiple = case.count("divisible_by")?;
    let padded = pad_to_multiple(image.insert_axis(Axis(0)).view(), [multiple; 2]);
    case.agrees(
        "image",
        padded.index_axis_move(Axis(0), 0).into_dyn().view(),
    )
}

fn heads(case: &Case) -> Result<(Array2<f32>, Array3<f32>), String> {
    Ok((single(case, "prob")?, single(case, "dist")?))
}

fn single<D: Dimension>(case: &Case, name: &str) -> Result<Array<f32, D>, String> {
    case.ranked(name, |value| value as f32)
}

fn options(case: &Case) -> Result<StarDist, String> {
    Ok(StarDist {
        probability_threshold: case.number("prob_thresh")?,
        overlap_threshold: case.number("nms_thresh")?,
        grid: case.counts("grid")?,
        margin: margin(&case.params["b"])?,
    })
}

/// None, one number for all sides, or a pair for each axis.
fn margin(noted: &Value) -> Result<[[usize; 2]; 2], String> {
    let cells = |side: &Value| side.as_i64().map(|cells| cells.max(0) as usize);
    if noted.is_null() {
        return Ok([[0; 2]; 2]);
    }
    if let Some(cells) = cells(noted) {
        return Ok([[cells; 2]; 2]);
    }
    let side = |axis: usize, side: usize| {
        cells(&noted[axis][side]).ok_or_else(|| format!("`b` is {noted}"))
    };
    Ok([[side(0, 0)?, side(0, 1)?], [side(1, 0)?, side(1, 1)?]])
}

fn points(polygons: &StarPolygons) -> Array2<f64> {
    let rows: &[[f64; 2]] = &polygons.points;
    ArrayView2::from(rows).to_owned()
}

fn numbers<const N: usize>(case: &Case, name: &str) -> Result<[f64; N], String> {
    let numbers = case.params[name].as_array().into_iter().flatten();
    let numbers: Vec<f64> = numbers.filter_map(Value::as_f64).collect();
    let numbers = numbers.try_into();
    numbers.map_err(|_| format!("parameter `{name}` is no list of {N} numbers"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
