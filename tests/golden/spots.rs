//! Golden cases of spots: normalization, tiles, peaks, whole predictions with a stand-in model over gRPC, and results.

use std::sync::Arc;
use std::time::Duration;

use bioimage::{
    Container, ModelInput, detect_dimension_order, encode_tiff, npy, spot_batch, spot_csv,
    spot_overlay, validate_model_input,
};
use cell_analysis::segmentation::{PadMode, Tiling, Untiler};
use cell_analysis::spots::{
    Contrast, SpotHeads, SpotPeaks, labels_at, min_max_normalize, points_by_label,
};
use ndarray::{Array2, Array4, ArrayD, Axis, Ix4};
use redis_consumer::applications::spots::cells_of_spots;
use redis_consumer::applications::{Model, SpotDetection};
use redis_consumer::consumers::output::ResultName;
use redis_consumer::serving::{Client, Input, ModelId, ModelServer, ServingSettings, Signature};
use redis_consumer::settings::{Env, Loader};
use redis_consumer::shared_cache::SharedCache;
use redis_consumer::storage::archive;
use serde_json::{Value, json};

use crate::cases::{Case, Verdict};
use crate::outcome::{
    Failure, Outcome, close, exact, judged, refused, same, same_archive, same_bytes,
};
use crate::peers::spot_model;
use crate::tiles::{places, tiles};

/// What cases may be skipped for: searches that are not built, and where the reference is left to chance or fails.
pub(crate) const SKIPPED: &[&str] = &[
    "spot_zip",
    "spots_all",
    "spots_cc",
    "spots_max",
    "spots_restrictive",
];

/// Runs a case of the area; operations that are not built are skipped.
pub(crate) fn run(case: &Case, runtime: &tokio::runtime::Runtime) -> Result<Verdict, String> {
    let outcome = match case.operation.as_str() {
        "min_max_normalize" => normalize(case),
        // With equal scores and a distance above 1 the reference's order is chance.
        "spots_max" if case.tier > 2 => return Ok(Verdict::Skipped),
        "spots_max" => peaks(case),
        "tile_untile" => tile_and_untile(case),
        "spot_predict" => runtime.block_on(predict(case)),
        // The reference fails where a folder is missing; here it is made.
        "spot_zip" if case.fails => return Ok(Verdict::Skipped),
        "spot_zip" => spot_zip(case),
        "polaris_zip" | "polaris_coords_zip" => polaris_zip(case),
        "match_spots" => match_spots(case),
        "spot_prepare" => prepare(case),
        _ => return Ok(Verdict::Skipped),
    };
    judged(case, outcome)
}

fn normalize(case: &Case) -> Outcome {
    let normalized = min_max_normalize(image(case, "image")?, contrast(case)?);
    close(
        "image",
        normalized.into_dyn().view(),
        &case.expected("image")?.values,
        [5e-7, 0.0],
    )
}

fn contrast(case: &Case) -> Result<Contrast, Failure> {
    match case.params["clip"].as_bool() {
        Some(true) => Ok(Contrast::Clipped),
        Some(false) | None => Ok(Contrast::Full),
    }
}

fn peaks(case: &Case) -> Outcome {
    let (classification, offsets) = (
        image(case, "classification")?,
        image(case, "offset_regression")?,
    );
    let options = SpotPeaks {
        threshold: case.number("threshold")?,
        min_distance: case.count("min_distance")?,
    };
    let found: Vec<Vec<[f64; 2]>> = classification
        .outer_iter()
        .zip(offsets.outer_iter())
        .map(|(classes, offsets)| {
            options.find(&SpotHeads {
                scores: classes.index_axis(Axis(2), 1),
                row_offsets: offsets.index_axis(Axis(2), 0),
                column_offsets: offsets.index_axis(Axis(2), 1),
            })
        })
        .collect();
    same_points(case, &found)
}

async fn predict(case: &Case) -> Outcome {
    let id = ModelId::new("SpotDetection", 3);
    let shape = case.params["model_shape"]
        .as_array()
        .map_or(vec![-1, 128, 128, 1], |shape| {
            shape.iter().filter_map(Value::as_i64).collect()
        });
    let open = spot_model::model(&id, &[-1, -1, -1, 1]);
    let server = ModelServer::start(0, vec![open])
        .await
        .map_err(|error| error.to_string())?;
    let (host, port) = (
        server.address().ip().to_string(),
        server.address().port().to_string(),
    );
    let env: Env = [("TF_HOST", host), ("TF_PORT", port)].into_iter().collect();
    // The reference's stand-in takes images of any size, whatever its metadata say.
    let metadata = Metadata(Signature::new(vec![Input::float("image", &shape)]).to_json());
    let client = Client::new(
        ServingSettings::load(&mut Loader::new(&env)),
        Some(Arc::new(metadata)),
    );
    let model = Model::load(&client, &id).await.map_err(refused)?;
    let defaults = SpotPeaks::default();
    let peaks = SpotPeaks {
        threshold: case.params["threshold"]
            .as_f64()
            .unwrap_or(defaults.threshold),
        min_distance: case.params["min_distance"]
            .as_u64()
            .map_or(defaults.min_distance, |distance| distance as usize),
    };
    let detection = SpotDetection {
        peaks,
        contrast: contrast(case)?,
    };
    let found = detection
        .detect(&model, image(case, "image")?)
        .await
        .map_err(refused)?;
    if case.fails {
        Ok(())
    } else {
        same_points(case, &found)
    }
}

/// Says the same of every model.
struct Metadata(String);

#[async_trait::async_trait]
impl SharedCache for Metadata {
    async fn get(&self, _: &str) -> Option<String> {
        Some(self.0.clone())
    }

    async fn put(&self, _: &str, _: &str, _: Duration) {}
}

/// The same points in every image; points of equal scores may come in another order.
fn same_points(case: &Case, found: &[Vec<[f64; 2]>]) -> Outcome {
    if found.is_empty() || case.has_output(&format!("points_{}", found.len())) {
        return Err("an image is missing".into());
    }
    for (item, found) in found.iter().enumerate() {
        let expected = case.expected(&format!("points_{item}"))?.values;
        let mut missing: Vec<[f64; 2]> = expected
            .outer_iter()
            .map(|point| [point[0], point[1]])
            .collect();
        if found.len() != missing.len() {
            return Err(format!(
                "image {item} has {} points, not {}",
                found.len(),
                missing.len()
            )
            .into());
        }
        for point in found {
            let near =
                |other: &[f64; 2]| (0..2).all(|axis| (point[axis] - other[axis]).abs() <= 1e-4);
            let place = missing.iter().position(near);
            missing.remove(place.ok_or_else(|| format!("image {item} has no point {point:?}"))?);
        }
    }
    Ok(())
}

fn tile_and_untile(case: &Case) -> Outcome {
    let image = image(case, "image")?;
    let shape: [usize; 2] = case.counts("model_shape")?;
    let tiling = Tiling::with_stride_ratio(
        image.dim().into(),
        shape,
        PadMode::Reflect,
        case.number("stride_ratio")?,
    );
    let channels = image.dim().3;
    let mut tiles = tiles(&tiling, &image);
    exact(
        "tiles",
        tiles.view().into_dyn(),
        &case.expected("tiles")?.values,
    )?;
    same("info", &places(&tiling), &case.params["info"])?;
    let last = (shape[1] - 1).max(1) as f64;
    for ((_, _, column, _), value) in tiles.indexed_iter_mut() {
        *value = (f64::from(*value) * (0.5 + column as f64 / last)) as f32;
    }
    let mut untiler = Untiler::new(&tiling, channels);
    for (index, tile) in tiles.outer_iter().enumerate() {
        untiler.add(index, tile);
    }
    close(
        "untiled",
        untiler.finish().into_dyn().view(),
        &case.expected("untiled")?.values,
        [1e-6, 0.0],
    )
}

fn spot_zip(case: &Case) -> Outcome {
    let names = ResultName::new(case.text("original_name"));
    let mut entries = Vec::new();
    for (item, points) in all_points(case)?.into_iter().enumerate() {
        let picture = spot_overlay(Array2::zeros((64, 64)).view(), &points);
        entries.push((
            names.batch(item, "tif"),
            encode_tiff(picture.view().into_dyn()),
        ));
        let file = npy::write(&Array2::from(points).view().into_dyn());
        same_bytes(&file, &case.expected_bytes(&format!("npy_{item}"))?)?;
        entries.push((names.batch(item, "npy"), file));
    }
    same_archive(case, &archive::write_zip(entries).map_err(refused)?)
}

fn polaris_zip(case: &Case) -> Outcome {
    let names = ResultName::new(case.text("original_name"));
    let labels = case
        .has_input("labels")
        .then(|| image(case, "labels"))
        .transpose()?;
    let (mut entries, mut pictures) = (Vec::new(), 0);
    for (item, points) in all_points(case)?.into_iter().enumerate() {
        let mut cells = Vec::new();
        if let Some(labels) = &labels {
            let labels = labels.index_axis(Axis(0), item);
            for (channel, plane) in labels.axis_iter(Axis(2)).enumerate() {
                let file = encode_tiff(plane.into_dyn());
                if !case.fails {
                    same_bytes(&file, &case.expected_bytes(&format!("tif_{pictures}"))?)?;
                }
                entries.push((names.batch_feature(item, channel), file));
                pictures += 1;
            }
            cells = cells_of_spots(&points, labels).map_err(refused)?;
        }
        let table = spot_csv(&points, &cells).into_bytes();
        same_bytes(&table, &case.expected_bytes(&format!("csv_{item}"))?)?;
        entries.push((names.batch(item, "csv"), table));
    }
    same_archive(case, &archive::write_zip(entries).map_err(refused)?)
}

fn match_spots(case: &Case) -> Outcome {
    let labels = case.input("labels")?.map(|label| label as i32);
    let labels = labels.index_axis(Axis(0), 0);
    let labels = labels
        .index_axis(Axis(2), 0)
        .into_dimensionality::<ndarray::Ix2>()
        .map_err(refused)?;
    let points = points(&case.input("points")?.values);
    let under: ndarray::Array1<i32> = labels_at(&points, labels).map_err(refused)?.into();
    exact(
        "vec",
        under.into_dyn().view(),
        &case.expected("vec")?.values,
    )?;
    let text = String::from_utf8(case.expected_bytes("by_cell")?).map_err(refused)?;
    let expected: Value = serde_json::from_str(&text).map_err(refused)?;
    let groups = points_by_label(&points, labels).map_err(refused)?;
    let places = groups
        .iter()
        .map(|(label, _)| text.find(&format!("\"{label}\": ")));
    if !places.collect::<Vec<_>>().is_sorted() {
        return Err("the labels come in another order".to_owned().into());
    }
    let labels: std::collections::BTreeSet<String> =
        groups.iter().map(|(label, _)| label.to_string()).collect();
    if !expected
        .as_object()
        .is_some_and(|cells| cells.keys().eq(&labels))
    {
        return Err(format!("the labels are {labels:?}").into());
    }
    for (label, points) in groups {
        // The JSON reader is off by a bit now and then.
        let number = |place: usize, axis: usize| {
            expected[label.to_string()][place][axis]
                .as_f64()
                .unwrap_or(f64::NAN)
        };
        let count = expected[label.to_string()].as_array().map_or(0, Vec::len);
        let wanted =
            Array2::from_shape_fn((count, 2), |(place, axis)| number(place, axis)).into_dyn();
        close(
            &label.to_string(),
            Array2::from(points).into_dyn().view(),
            &wanted,
            [0.0, 1e-15],
        )?;
    }
    Ok(())
}

fn prepare(case: &Case) -> Outcome {
    let batch = spot_batch(
        case.input("image")?.map(|value| value as f32),
        &Container::Tiff,
    )
    .map_err(refused)?
    .into_dyn();
    let order = detect_dimension_order(batch.shape(), 4);
    let channels = case.text("channels");
    let channels: Vec<usize> = channels
        .split(',')
        .filter_map(|channel| channel.parse().ok())
        .collect();
    let shape = case.params["model_shape"]
        .as_array()
        .map_or(vec![-1, 128, 128, 1], |shape| {
            shape.iter().filter_map(Value::as_i64).collect()
        });
    let model = ModelInput {
        shape: &shape,
        channels: if channels.is_empty() {
            None
        } else {
            Some(&channels)
        },
        max_width: 2048,
        max_height: 2048,
    };
    let image = validate_model_input(batch, &model).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    same("dim_order", &json!(order), &case.params["dim_order"])?;
    exact("image", image.view(), &case.expected("image")?.values)
}

fn image(case: &Case, name: &str) -> Result<Array4<f32>, Failure> {
    let image = case.input(name)?.map(|value| value as f32);
    // The types here ask for four axes.
    image.into_dimensionality::<Ix4>().map_err(refused)
}

fn all_points(case: &Case) -> Result<Vec<Vec<[f64; 2]>>, Failure> {
    let names = (0..)
        .map(|item| format!("points_{item}"))
        .take_while(|name| case.has_input(name));
    names
        .map(|name| Ok(points(&case.input(&name)?.values)))
        .collect()
}

fn points(list: &ArrayD<f64>) -> Vec<[f64; 2]> {
    list.outer_iter()
        .map(|point| [point[0], point[1]])
        .collect()
}
