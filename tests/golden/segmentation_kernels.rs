//! Golden cases of the pixel kernels in `cell_analysis`.
//!
//! Border: chains with a model and the rules for job fields are other dispatchers' business.

use cell_analysis::legacy::{
    ClassWatershed, Era, LegacyDeepWatershed, mibi, normalize_whole, pixelwise,
};
use cell_analysis::segmentation::{
    Connectivity, DeepWatershed, ExcludeBorder, LocalMaxima, MaximaAlgorithm, MesmerPreprocess,
    PadMode, Tiling, Untiler, clahe_14bit, clip_histogram, dilation_square, disk,
    equalize_adapthist, erode_edges, fill_holes, gaussian_filter, h_maxima,
    histogram_normalization, label, mesmer_preprocess, normalize, peak_local_max,
    percentile_threshold, reconstruction, relabel_sequential, remove_small_objects, rescale_unit,
    resize_image, resize_labels, resized_shape, spline_window, to_14bit, watershed,
};
use ndarray::{Array, Array2, Array3, Array4, Axis, Ix2, Ix4};
use serde_json::{Value, json};

use crate::cases::{Case, Verdict};
use crate::tiles::{places, tiles};

/// What cases of the area may be skipped for: where the reference has no result.
pub(crate) const SKIPPED: &[&str] = &["pad_small"];

/// Runs a kernel's case; other operations are skipped.
pub(crate) fn run(case: &Case) -> Result<Verdict, String> {
    let operation: fn(&Case) -> Result<(), String> = match case.operation.as_str() {
        "rescale_unit" => |case| {
            case.agrees(
                "image",
                rescale_unit(plane(case, "image")?.view()).into_dyn().view(),
            )
        },
        "to_14bit" => |case| {
            case.agrees(
                "image",
                to_14bit(plane(case, "image")?.view()).into_dyn().view(),
            )
        },
        "clahe_14bit" => run_clahe,
        "clip_histogram" => run_clip_histogram,
        "equalize_adapthist" => run_equalize,
        "histogram_normalization" => run_histogram_normalization,
        "percentile_threshold" => run_percentile_threshold,
        "mesmer_preprocess" => run_mesmer_preprocess,
        "normalize" => {
            |case| case.agrees("image", normalize(image(case, "image")?).into_dyn().view())
        }
        "resize" => run_resize,
        "resize_shape" => run_resize_shape,
        "tile_image" => run_tile,
        "untile_image" => run_untile,
        "spline_window" => run_spline_window,
        "pad_small" => return run_pad_small(case),
        "gaussian_filter" => run_gaussian,
        "disk" => |case| case.agrees("footprint", disk(case.count("radius")?).into_dyn().view()),
        "dilation_square" => run_dilation,
        "reconstruction" => run_reconstruction,
        "h_maxima" => run_h_maxima,
        "peak_local_max" => run_peak_local_max,
        "label" => run_label,
        "relabel_sequential" => |case| {
            case.agrees(
                "labels",
                relabel_sequential(labels(case, "labels")?)
                    .into_dyn()
                    .view(),
            )
        },
        "watershed" => run_watershed,
        "erode_edges" => |case| run_region(case, "erosion_width", erode_edges),
        "remove_small_objects" => |case| run_region(case, "min_size", remove_small_objects),
        "fill_holes" => |case| run_region(case, "size", fill_holes),
        "deep_watershed" => run_deep_watershed,
        "mesmer_postprocess" => run_mesmer_postprocess,
        "legacy_normalize_whole" => run_normalize_whole,
        "legacy_pixelwise" | "legacy016_pixelwise" => run_pixelwise,
        "legacy_watershed" => |case| run_class_watershed(case, Era::SkImage021),
        "legacy016_watershed" => |case| run_class_watershed(case, Era::SkImage016),
        "legacy_mibi" | "legacy016_mibi" => run_mibi,
        "legacy016_deep_watershed" => run_legacy_deep_watershed,
        _ => return Ok(Verdict::Skipped),
    };
    operation(case).map(|()| Verdict::Passed)
}

fn run_clahe(case: &Case) -> Result<(), String> {
    let grey: Array2<u16> = case.ranked("image", |value| value as u16)?;
    case.agrees(
        "image",
        clahe_14bit(grey.view(), case.counts("kernel_size")?)
            .into_dyn()
            .view(),
    )
}

fn run_clip_histogram(case: &Case) -> Result<(), String> {
    let mut histograms = labels(case, "hist")?;
    let limits = case.input("limit")?.map(|limit| limit as u32);
    for (mut row, &limit) in histograms.outer_iter_mut().zip(&limits) {
        let mut histogram: [u32; 256] = std::array::from_fn(|bin| row[bin]);
        clip_histogram(&mut histogram, limit);
        row.iter_mut()
            .zip(histogram)
            .for_each(|(to, count)| *to = count);
    }
    case.agrees("hist", histograms.into_dyn().view())
}

fn run_equalize(case: &Case) -> Result<(), String> {
    let image = equalize_adapthist(plane(case, "image")?.view(), kernel(case));
    case.agrees("image", image.into_dyn().view())
}

fn run_histogram_normalization(case: &Case) -> Result<(), String> {
    let image = histogram_normalization(image(case, "image")?, kernel(case));
    case.agrees("image", image.into_dyn().view())
}

fn run_percentile_threshold(case: &Case) -> Result<(), String> {
    let stored = case.input("image")?.dtype;
    let mut image = percentile_threshold(image(case, "image")?, case.number("percentile")?);
    if stored == "<u2" {
        image.mapv_inplace(f32::trunc);
    }
    case.agrees("image", image.into_dyn().view())
}

fn run_mesmer_preprocess(case: &Case) -> Result<(), String> {
    let options = MesmerPreprocess {
        threshold: case.params["threshold"] == true,
        percentile: case.number("percentile")?,
        normalize: case.params["normalize"] == true,
        kernel: kernel(case),
    };
    case.agrees(
        "image",
        mesmer_preprocess(image(case, "image")?, &options)
            .into_dyn()
            .view(),
    )
}

fn run_resize(case: &Case) -> Result<(), String> {
    let size = case.counts("shape")?;
    if case.params["labeled_image"] == true {
        let data: Array4<u32> = case.ranked("data", |value| value as u32)?;
        return case.agrees("data", resize_labels(data.view(), size).into_dyn().view());
    }
    let mut resized = resize_image(image(case, "data")?.view(), size);
    if case.input("data")?.dtype != "<f4" {
        resized.mapv_inplace(f32::trunc);
    }
    case.agrees("data", resized.into_dyn().view())
}

fn run_resize_shape(case: &Case) -> Result<(), String> {
    let mut rows = case.expected_json("rows")?;
    for row in rows.as_array_mut().into_iter().flatten() {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        let size = number("size") as usize;
        let image_mpp = number("scale") * number("model_mpp");
        let shape = resized_shape([size; 2], image_mpp, number("model_mpp"));
        row["resized"] = json!(shape.is_some());
        row["new_size"] = json!(shape.map_or(size, |[rows, _]| rows));
    }
    case.agrees_json("rows", &rows)
}

fn run_tile(case: &Case) -> Result<(), String> {
    let image = image(case, "image")?;
    let tiling = tiling(case, image.dim().into())?;
    case.agrees("tiles", tiles(&tiling, &image).into_dyn().view())?;
    case.agrees_json("tiles_info", &tiles_info(case, &tiling, &image))
}

fn run_untile(case: &Case) -> Result<(), String> {
    let tiles = image(case, "tiles")?;
    let tiling = tiling(case, case.counts("image_shape_before_padding")?)?;
    let mut untiler = Untiler::new(&tiling, tiles.dim().3);
    for (index, tile) in tiles.outer_iter().enumerate() {
        untiler.add(index, tile);
    }
    case.agrees("image", untiler.finish().into_dyn().view())
}

fn run_spline_window(case: &Case) -> Result<(), String> {
    let overlaps = [case.count("overlap_left")?, case.count("overlap_right")?];
    let window = spline_window(case.count("window_size")?, overlaps);
    case.agrees("window", Array::from(window).into_dyn().view())
}

/// An image that is smaller on one axis and larger on the other is tiled here; the reference
/// pads it on both and has no result for a model of fixed size.
fn run_pad_small(case: &Case) -> Result<Verdict, String> {
    let image = image(case, "image")?;
    let (_, rows, columns, _) = image.dim();
    let tile: [usize; 2] = case.counts("tile")?;
    if rows > tile[0] || columns > tile[1] {
        return Ok(Verdict::Skipped);
    }
    let tiling = Tiling::new(image.dim().into(), tile, PadMode::Constant);
    case.agrees("tiles", tiles(&tiling, &image).into_dyn().view())?;
    let [x_pad, y_pad] = tiling.padding();
    case.agrees_json(
        "info",
        &json!({"padding": true, "x_pad": x_pad, "y_pad": y_pad}),
    )?;
    Ok(Verdict::Passed)
}

fn run_gaussian(case: &Case) -> Result<(), String> {
    let smooth = gaussian_filter(plane(case, "image")?.view(), case.number("sigma")?);
    case.agrees("image", smooth.into_dyn().view())
}

fn run_dilation(case: &Case) -> Result<(), String> {
    let grown = dilation_square(plane(case, "image")?.view(), case.count("pixel_expansion")?);
    case.agrees("image", grown.into_dyn().view())
}

fn run_reconstruction(case: &Case) -> Result<(), String> {
    let (seed, mask) = (plane(case, "seed")?, plane(case, "mask")?);
    let image = reconstruction(seed.view(), mask.view(), case.count("radius")?);
    case.agrees("image", image.into_dyn().view())
}

fn run_h_maxima(case: &Case) -> Result<(), String> {
    let (h, radius) = (case.number("h")?, case.count("radius")?);
    let maxima = h_maxima(plane(case, "image")?.view(), h, radius);
    case.agrees("mask", maxima.mapv(u8::from).into_dyn().view())
}

fn run_peak_local_max(case: &Case) -> Result<(), String> {
    let min_distance = case.count("min_distance")?;
    let options = LocalMaxima {
        min_distance,
        threshold: case.number("threshold_abs")?,
        border: 0,
    };
    let peaks = peak_local_max(plane(case, "image")?.view(), &options);
    let coordinates: Vec<[u32; 2]> = peaks
        .into_iter()
        .map(|peak| peak.map(|n| n as u32))
        .collect();
    case.agrees("coords", Array2::from(coordinates).into_dyn().view())
}

fn run_label(case: &Case) -> Result<(), String> {
    let connectivity = match case.count("connectivity")? {
        1 => Connectivity::Four,
        _ => Connectivity::Eight,
    };
    let components = label(labels(case, "image")?.view(), connectivity);
    case.agrees("labels", components.into_dyn().view())
}

fn run_watershed(case: &Case) -> Result<(), String> {
    let (heights, markers) = (plane(case, "image")?, labels(case, "markers")?);
    let mask: Array2<bool> = case.ranked("mask", |value| value != 0.0)?;
    let basins = watershed(heights.view(), markers.view(), mask.view());
    case.agrees("labels", basins.into_dyn().view())
}

fn run_region(
    case: &Case,
    parameter: &str,
    change: fn(&mut Array2<u32>, usize),
) -> Result<(), String> {
    let mut labels = labels(case, "labels")?;
    change(&mut labels, case.count(parameter)?);
    case.agrees("labels", labels.into_dyn().view())
}

fn run_deep_watershed(case: &Case) -> Result<(), String> {
    let (maxima, interior) = (image(case, "maxima")?, image(case, "interior")?);
    let labels = segment(
        &parameters(DeepWatershed::default(), &case.params),
        &maxima,
        (&interior, 0),
    )?;
    case.agrees("labels", labels.into_dyn().view())
}

fn run_mesmer_postprocess(case: &Case) -> Result<(), String> {
    let heads = ["head0", "head1", "head2", "head3"].map(|name| image(case, name));
    let [
        whole_maxima,
        whole_interior,
        nuclear_maxima,
        nuclear_interior,
    ] = heads;
    let whole = parameters(DeepWatershed::default(), &case.params["whole_cell_kwargs"]);
    let whole = segment(&whole, &whole_maxima?, (&whole_interior?, 1))?;
    let nuclear = parameters(DeepWatershed::default(), &case.params["nuclear_kwargs"]);
    let nuclear = segment(&nuclear, &nuclear_maxima?, (&nuclear_interior?, 1))?;
    let both = ndarray::concatenate(Axis(3), &[whole.view(), nuclear.view()]);
    let both = both.map_err(|error| error.to_string())?;
    case.agrees("labels_whole_cell", whole.into_dyn().view())?;
    case.agrees("labels_nuclear", nuclear.into_dyn().view())?;
    case.agrees("labels_both", both.into_dyn().view())
}

fn run_normalize_whole(case: &Case) -> Result<(), String> {
    let image: Array3<f32> = case.ranked("image", |value| value as f32)?;
    case.agrees("image", normalize_whole(image).into_dyn().view())
}

fn run_pixelwise(case: &Case) -> Result<(), String> {
    let prediction = image(case, "prediction")?;
    let channel = match case.params.get("channel") {
        Some(_) => case.count("channel")?,
        None => prediction.dim().3 - 2,
    };
    let (threshold, min_size) = (case.number("threshold")?, case.count("min_size")?);
    let segment = |item: ndarray::ArrayView3<'_, f32>| {
        pixelwise(item.index_axis(Axis(2), channel), threshold, min_size).insert_axis(Axis(2))
    };
    let items: Vec<Array3<u32>> = prediction.outer_iter().map(segment).collect();
    if case.params.get("channel").is_some() {
        return case.agrees("labels", items[0].view().into_dyn());
    }
    case.agrees("labels", stacked(&items)?.into_dyn().view())
}

fn run_class_watershed(case: &Case, era: Era) -> Result<(), String> {
    let scores = image(case, "image")?;
    let options = ClassWatershed {
        min_distance: case.count("min_distance")?,
        threshold: case.number("threshold_abs")?,
        min_size: case.count("min_size")?,
        era,
    };
    let labels = options.segment(scores.index_axis(Axis(0), 0));
    one_plane_agrees(case, labels)
}

/// The labels of one plane agree with those of a batch of one image with one channel.
fn one_plane_agrees(case: &Case, labels: Array2<u32>) -> Result<(), String> {
    let labels = labels.insert_axis(Axis(0)).insert_axis(Axis(3));
    case.agrees("labels", labels.into_dyn().view())
}

fn run_mibi(case: &Case) -> Result<(), String> {
    let labels = mibi(image(case, "prediction")?.index_axis(Axis(0), 0));
    one_plane_agrees(case, labels)
}

fn run_legacy_deep_watershed(case: &Case) -> Result<(), String> {
    let (maxima, interior) = (image(case, "maxima")?, image(case, "interior")?);
    let options = LegacyDeepWatershed {
        min_distance: case.count("min_distance")?,
        detection_threshold: case.number("detection_threshold")?,
        distance_threshold: case.number("distance_threshold")?,
        exclude_border: case.params["exclude_border"] == true,
        small_objects_threshold: case.count("small_objects_threshold")?,
    };
    let labels = options.segment(
        maxima.index_axis(Axis(3), 0),
        interior.index_axis(Axis(3), 0),
    );
    case.agrees(
        "labels",
        labels.map_err(|error| error.to_string())?.into_dyn().view(),
    )
}

fn plane(case: &Case, name: &str) -> Result<Array<f32, Ix2>, String> {
    case.ranked(name, |value| value as f32)
}

fn image(case: &Case, name: &str) -> Result<Array<f32, Ix4>, String> {
    case.ranked(name, |value| value as f32)
}

fn labels(case: &Case, name: &str) -> Result<Array<u32, Ix2>, String> {
    case.ranked(name, |value| value as u32)
}

fn kernel(case: &Case) -> Option<usize> {
    case.count("kernel_size").ok()
}

fn tiling(case: &Case, shape: [usize; 4]) -> Result<Tiling, String> {
    let pad = match case.params["pad_mode"].as_str() {
        Some("reflect") => PadMode::Reflect,
        Some("constant") => PadMode::Constant,
        other => return Err(format!("unknown pad mode {other:?}")),
    };
    let tile = case.counts("model_input_shape")?;
    Ok(Tiling::with_stride_ratio(
        shape,
        tile,
        pad,
        case.number("stride_ratio")?,
    ))
}

fn tiles_info(case: &Case, tiling: &Tiling, image: &Array4<f32>) -> Value {
    let mut info = places(tiling);
    let [rows, columns] = tiling.tile_shape();
    let [padded_rows, padded_columns] = tiling.padded_shape();
    let (batches, _, _, channels) = image.dim();
    info["tile_size_x"] = json!(rows);
    info["tile_size_y"] = json!(columns);
    info["stride_ratio"] = case.params["stride_ratio"].clone();
    info["image_shape"] = json!([batches, padded_rows, padded_columns, channels]);
    info
}

fn segment(
    options: &DeepWatershed,
    maxima: &Array4<f32>,
    (interior, channel): (&Array4<f32>, usize),
) -> Result<Array4<u32>, String> {
    let (maxima, interior) = (
        maxima.index_axis(Axis(3), 0),
        interior.index_axis(Axis(3), channel),
    );
    let labels = options
        .segment(maxima.to_owned(), interior.to_owned())
        .map_err(|error| error.to_string())?;
    Ok(labels.insert_axis(Axis(3)))
}

/// These options with the parameters that are given, under today's or yesterday's names; the latter override.
pub(crate) fn parameters(mut options: DeepWatershed, kwargs: &Value) -> DeepWatershed {
    let number = |names: &[&str]| names.iter().rev().find_map(|name| kwargs[*name].as_f64());
    let count = |names: &[&str]| number(names).map(|number| number as usize);
    options.radius = count(&["radius", "min_distance"]).unwrap_or(options.radius);
    let threshold = number(&["maxima_threshold", "detection_threshold"]);
    options.maxima_threshold = threshold.unwrap_or(options.maxima_threshold);
    let threshold = number(&["interior_threshold", "distance_threshold"]);
    options.interior_threshold = threshold.unwrap_or(options.interior_threshold);
    options.maxima_smooth = number(&["maxima_smooth"]).unwrap_or(options.maxima_smooth);
    options.interior_smooth = number(&["interior_smooth"]).unwrap_or(options.interior_smooth);
    options.small_objects_threshold =
        count(&["small_objects_threshold"]).unwrap_or(options.small_objects_threshold);
    options.fill_holes_threshold =
        count(&["fill_holes_threshold"]).unwrap_or(options.fill_holes_threshold);
    options.label_erosion = count(&["label_erosion"]).unwrap_or(options.label_erosion);
    options.pixel_expansion = count(&["pixel_expansion"]).or(options.pixel_expansion);
    if kwargs["maxima_algorithm"] == "peak_local_max" {
        options.maxima_algorithm = MaximaAlgorithm::PeakLocalMax;
    }
    options.exclude_border = match &kwargs["exclude_border"] {
        Value::Bool(true) => ExcludeBorder::Radius,
        Value::Number(_) => ExcludeBorder::Pixels(count(&["exclude_border"]).unwrap_or(0)),
        _ => options.exclude_border,
    };
    options
}

fn stacked(items: &[Array3<u32>]) -> Result<Array4<u32>, String> {
    let views: Vec<_> = items.iter().map(|item| item.view()).collect();
    ndarray::stack(Axis(0), &views).map_err(|error| error.to_string())
}
