//! Golden cases of cell tracking: its steps one by one, whole movies with stand-in models over gRPC, and track files.

use std::ops::Range;

use bioimage::time_lapse::{FrameLimits, movie, single_frame, stacked_labels};
use bioimage::trk::write_trk;
use bioimage::{Limits, TrackFile, encode_tiff};
use cell_analysis::tracking::{
    BirthDeathCost, CropMode, CropOptions, Lineage, Movie, Tracks, adjacency, cost_matrix,
    frame_features, linear_sum_assignment, normalize_adjacency, number_cells,
};
use ndarray::{
    Array, Array1, Array2, Array3, ArrayD, ArrayView3, ArrayViewD, Axis, Dimension, Ix4,
};
use redis_consumer::applications::{TensorModel, Tracked, Tracker, TrackingModels};
use redis_consumer::consumers::output::ResultName;
use redis_consumer::serving::{
    Client, Input, Method, Model, ModelId, ModelServer, Seen, Signature,
};
use redis_consumer::storage::archive;
use serde_json::{Value, json};

use crate::cases::{Case, Verdict};
use crate::images::{Failure, Outcome, bytes, refused, same, same_bytes};
use crate::peers::graph_models;

/// What cases may be skipped for: where the reference takes or refuses what is not so here.
pub(crate) const SKIPPED: &[&str] = &["caliban_load", "image_features"];

/// Runs a case of the area; operations that are not built are skipped.
pub(crate) fn run(case: &Case, runtime: &tokio::runtime::Runtime) -> Result<Verdict, String> {
    let outcome = match case.operation.as_str() {
        "clean_up_annotations" => clean_up(case),
        // Several channels are refused: the kiosk sends one.
        "image_features" if case.input("X")?.values.shape().last() != Some(&1) => {
            return Ok(Verdict::Skipped);
        }
        "image_features" => features(case),
        "adjacency" => neighbours(case),
        "normalize_adj" => normalized(case),
        "cost_matrix" => costs(case),
        "linear_sum_assignment" => assignment(case),
        "model_batch_size" => batch_size(case),
        "wrapper_predict" => runtime.block_on(in_batches(case)),
        "track" => runtime.block_on(track(case)),
        "caliban_job" => runtime.block_on(job(case)),
        // The reference looks at the case of letters in a suffix, and refuses what its own queue has let pass.
        "caliban_load" if text(case, "original_name").ends_with("TIF") => {
            return Ok(Verdict::Skipped);
        }
        "caliban_load" => load(case),
        "trk_read" => read_file(case, true),
        "kiosk_load_track_file" => read_file(case, false),
        "trk_write" => write_file(case),
        "relabel_sequential_lineage" => relabel(case),
        "is_valid_lineage" => is_valid(case),
        "trk_to_isbi" => isbi(case),
        _ => return Ok(Verdict::Skipped),
    };
    match (outcome, case.fails) {
        (Ok(()), false) | (Err(Failure::Refused(_)), true) => Ok(Verdict::Passed),
        (Ok(()), true) => Err("should be refused".to_owned()),
        (Err(Failure::Refused(reason) | Failure::Differs(reason)), _) => Err(reason),
    }
}

fn clean_up(case: &Case) -> Outcome {
    let mut labels: Array3<i32> = shaped(
        case.input("y")?
            .map(|label| label as i32)
            .remove_axis(Axis(3)),
    )?;
    let mut counts = Vec::new();
    for frame in labels.outer_iter_mut() {
        counts.push(number_cells(frame).map_err(refused)?.len());
    }
    exact(
        "y",
        unique(&labels, &counts).into_dyn().view(),
        &case.expected("y")?.values.remove_axis(Axis(3)),
    )?;
    same(
        "max_cells",
        &json!(counts.iter().max()),
        &case.expected_json("max_cells")?,
    )
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

fn features(case: &Case) -> Outcome {
    let appearance = appearance(&case.params)?;
    let raw: Array2<f32> = shaped(
        case.input("X")?
            .map(|value| value as f32)
            .remove_axis(Axis(2)),
    )?;
    let mut labels: Array2<i32> = shaped(
        case.input("y")?
            .map(|label| label as i32)
            .remove_axis(Axis(2)),
    )?;
    let cells = number_cells(labels.view_mut()).map_err(refused)?;
    let features =
        frame_features(raw.view(), labels.view(), &cells, &appearance).map_err(refused)?;
    let numbers: Array1<i32> = cells.iter().map(|cell| cell.label).collect();
    exact(
        "labels",
        numbers.into_dyn().view(),
        &case.expected("labels")?.values,
    )?;
    exact(
        "centroids",
        features.centroids.into_dyn().view(),
        &case.expected("centroids")?.values,
    )?;
    let highest = raw
        .iter()
        .fold(0.0_f32, |highest, value| highest.max(value.abs()));
    same_morphologies(
        features.morphologies.into_dyn().view(),
        &case.expected("morphologies")?.values,
    )?;
    let pictures = features.appearances.insert_axis(Axis(3)).into_dyn();
    same_appearances(
        pictures.view(),
        &case.expected("appearances")?.values,
        appearance,
        highest,
    )
}

fn same_morphologies(got: ArrayViewD<'_, f32>, expected: &ArrayD<f64>) -> Outcome {
    let last = Axis(got.ndim() - 1);
    let column = |which| {
        (
            got.index_axis(last, which),
            expected.index_axis(last, which).to_owned(),
        )
    };
    let (area, expected_area) = column(0);
    exact("area", area, &expected_area)?;
    let (perimeter, expected_perimeter) = column(1);
    close("perimeter", perimeter, &expected_perimeter, [0.0, 1e-6])?;
    let (eccentricity, expected_eccentricity) = column(2);
    close(
        "eccentricity",
        eccentricity,
        &expected_eccentricity,
        [1e-6, 0.0],
    )
}

fn same_appearances(
    got: ArrayViewD<'_, f32>,
    expected: &ArrayD<f64>,
    appearance: CropOptions,
    highest: f32,
) -> Outcome {
    let absolute = if appearance.crop == CropMode::Resize {
        2e-5 * f64::from(highest)
    } else {
        2e-4
    };
    close("appearances", got, expected, [absolute, 0.0])
}

fn neighbours(case: &Case) -> Outcome {
    let centroids: Array3<f32> = shaped(case.input("centroids")?.map(|value| value as f32))?;
    let (frames, cells, _) = centroids.dim();
    let mut all = Array3::zeros((frames, cells, cells));
    for (mut frame, centroids) in all.outer_iter_mut().zip(centroids.outer_iter()) {
        frame.assign(&adjacency(centroids, case.number("distance_threshold")?));
    }
    exact("adj", all.view().into_dyn(), &case.expected("adj")?.values)?;
    all.outer_iter_mut().for_each(normalize_adjacency);
    Ok(case.agrees("norm", all.into_dyn().view())?)
}

fn normalized(case: &Case) -> Outcome {
    let all = case.input("adj")?.map(|value| value as f32);
    // Here a matrix has two axes; which others a batch has is the caller's business.
    let mut all: Array<f32, Ix4> = all.into_dimensionality().map_err(refused)?;
    all.outer_iter_mut()
        .for_each(|mut movie| movie.outer_iter_mut().for_each(normalize_adjacency));
    Ok(case.agrees("norm", all.into_dyn().view())?)
}

fn costs(case: &Case) -> Outcome {
    let probabilities: Array3<f32> = shaped(case.input("predictions")?.map(|value| value as f32))?;
    let capped: Vec<bool> = case
        .input("capped")?
        .values
        .iter()
        .map(|&flag| flag != 0.0)
        .collect();
    let borders = BirthDeathCost {
        birth: case.number("birth")? as f32,
        death: case.number("death")? as f32,
    };
    let cost = cost_matrix(probabilities.view(), &capped, borders);
    exact(
        "cost",
        cost.into_dyn().view(),
        &case.expected("cost")?.values,
    )
}

fn assignment(case: &Case) -> Outcome {
    let cost: Array2<f64> = match case.input_value("cost_formula") {
        Some(formula) => by_formula(formula)?,
        None => shaped(case.input("cost")?.values)?,
    };
    let pairs = linear_sum_assignment(cost.view()).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    for (name, axis) in [("row_ind", 0), ("col_ind", 1)] {
        let indices: Array1<u32> = pairs.iter().map(|pair| pair[axis] as u32).collect();
        exact(
            name,
            indices.into_dyn().view(),
            &case.expected(name)?.values,
        )?;
    }
    let total: f64 = pairs.iter().map(|&pair| cost[pair]).sum();
    Ok(case.agrees_json("total", &json!(total))?)
}

fn by_formula(formula: &Value) -> Result<Array2<f64>, String> {
    let count = formula["n"].as_u64().ok_or("the formula has no size")? as usize;
    let entry: fn(usize, usize) -> f64 = match formula["expr"].as_str().unwrap_or_default() {
        "((i*7919 + j*104729 + i*j*31 + (i xor j)*17) mod 100003) / 100003.0" => |i, j| {
            ((i * 7919 + j * 104_729 + i * j * 31 + (i ^ j) * 17) % 100_003) as f64 / 100_003.0
        },
        "(i*13 + j*7 + (i xor j)) mod 11" => |i, j| ((i * 13 + j * 7 + (i ^ j)) % 11) as f64,
        other => return Err(format!("unknown formula {other}")),
    };
    Ok(Array2::from_shape_fn((count, count), |(i, j)| entry(i, j)))
}

fn batch_size(case: &Case) -> Outcome {
    let shapes = case.params["input_shapes"]
        .as_array()
        .ok_or("the case has no shapes")?;
    let shape = |shape: &Value| {
        shape
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_i64)
            .collect::<Vec<_>>()
    };
    let inputs = shapes
        .iter()
        .enumerate()
        .map(|(index, sizes)| Input::float(&index.to_string(), &shape(sizes)));
    let signature = Signature::new(inputs.collect());
    let found = signature.batch_size(case.count("max_batch")?, case.count("min_model_size")?);
    let expected = case.expected_json("batch_size")?;
    // The reference arrives at 0 for models that are too large, and crashes; here one goes at a time.
    let found = if expected == 0 && found == 1 {
        0
    } else {
        found
    };
    same("batch_size", &json!(found), &expected)
}

async fn in_batches(case: &Case) -> Outcome {
    let id = ModelId::new("Wrapper", 1);
    let inputs = vec![Input::float("b", &[-1, 3]), Input::float("a", &[-1, 2])];
    let outputs = ["zeta", "alpha"]
        .map(|name| Input::float(name, &[-1, 3]))
        .to_vec();
    let run = |tensors: &[(String, ArrayD<f32>)]| {
        let b = &tensors
            .iter()
            .find(|(name, _)| name == "b")
            .ok_or("no input `b`")?
            .1;
        Ok(vec![
            ("zeta".to_owned(), b * 2.0),
            ("alpha".to_owned(), b + 1.0),
        ])
    };
    let model = Model {
        id: id.clone(),
        inputs,
        outputs,
        run: std::sync::Arc::new(run),
    };
    let (server, client) = serve(vec![model]).await?;
    let (a, b) = (
        case.input("a")?.map(|value| value as f32),
        case.input("b")?.map(|value| value as f32),
    );
    let rows = a.shape()[0];
    let cut = move |range: Range<usize>| {
        let part =
            |values: &ArrayD<f32>| values.slice_axis(Axis(0), range.clone().into()).to_owned();
        vec![("a", part(&a)), ("b", part(&b))]
    };
    let model = TensorModel::new(&client, &id);
    let outputs = model
        .predict_in_batches(rows, case.count("batch_size")?, cut)
        .await
        .map_err(refused)?;
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    same("names", &json!(names), &case.expected_json("names")?)?;
    for (index, (_, values)) in outputs.iter().enumerate() {
        let name = format!("output_{index}");
        exact(&name, values.view(), &case.expected(&name)?.values)?;
    }
    let calls = predictions(&server, "Wrapper").into_iter().map(|seen| {
        let shapes = seen
            .inputs
            .into_iter()
            .map(|input| (input.name, json!(input.shape)));
        Value::Object(shapes.collect())
    });
    same("calls", &calls.collect(), &case.expected_json("calls")?)
}

async fn track(case: &Case) -> Outcome {
    let raw = case.input("X")?.map(|value| value as f32);
    let labels = case.input("y")?.map(|label| label as i32);
    let (tracked, _) = tracked(case, raw.clone(), labels.clone()).await?;
    if case.fails {
        return Ok(());
    }
    let expected = case.expected("y_tracked")?.values;
    exact(
        "y_tracked",
        tracked.labels.insert_axis(Axis(3)).into_dyn().view(),
        &expected,
    )?;
    let lineage = bytes(&case.expected_path("lineage")?)?;
    same_bytes(tracked.lineage.to_json().as_bytes(), &lineage)?;
    if case.has_output("encoder_app_input") {
        trace(case, raw, labels)
    } else {
        Ok(())
    }
}

/// Compares every array on the way.
fn trace(case: &Case, raw: ArrayD<f32>, labels: ArrayD<i32>) -> Outcome {
    let tracker = tracker(case)?;
    let highest = raw
        .iter()
        .fold(0.0_f32, |highest, value| highest.max(value.abs()));
    let movie = Movie::new(raw, labels, tracker.appearance).map_err(refused)?;
    let counts: Vec<usize> = (0..movie.frame_count())
        .map(|frame| movie.cell_count(frame))
        .collect();
    let unique = unique(&movie.numbered().to_owned(), &counts);
    exact(
        "y_clean",
        unique.insert_axis(Axis(3)).into_dyn().view(),
        &case.expected("y_clean")?.values,
    )?;

    let inputs = movie.encoder_inputs(0..movie.frame_count(), tracker.max_distance);
    let expected = |name: &str| case.expected(name).map(|npy| npy.values);
    let pictures = inputs.appearances.view().into_dyn();
    same_appearances(
        pictures,
        &expected("encoder_app_input")?,
        tracker.appearance,
        highest,
    )?;
    same_morphologies(
        inputs.morphologies.view().into_dyn(),
        &expected("encoder_morph_input")?,
    )?;
    exact(
        "centroids",
        inputs.centroids.view().into_dyn(),
        &expected("encoder_centroid_input")?,
    )?;
    close(
        "adjacency",
        inputs.adjacency.view().into_dyn(),
        &expected("encoder_adj_input")?,
        [1e-6, 0.0],
    )?;
    let tensors = [
        (
            "encoder_app_input".to_owned(),
            inputs.appearances.into_dyn(),
        ),
        (
            "encoder_morph_input".to_owned(),
            inputs.morphologies.into_dyn(),
        ),
        (
            "encoder_centroid_input".to_owned(),
            inputs.centroids.into_dyn(),
        ),
        ("encoder_adj_input".to_owned(), inputs.adjacency.into_dyn()),
    ];
    let embeddings = graph_models::encode(&tensors)?.swap_remove(1).1;
    close(
        "embedding",
        embeddings.view(),
        &expected("embedding")?,
        [1e-5, 1e-5],
    )?;
    let embeddings: Array3<f32> = shaped(embeddings)?;

    let mut tracks = Tracks::begin(movie.cell_count(0));
    for frame in 1..movie.frame_count() {
        traced_step(case, (&movie, embeddings.view()), &mut tracks, frame)?;
    }
    let painted = movie.painted(&tracks).insert_axis(Axis(3)).into_dyn();
    exact("painted", painted.view(), &expected("y_tracked")?)
}

fn traced_step(
    case: &Case,
    (movie, embeddings): (&Movie, ArrayView3<'_, f32>),
    tracks: &mut Tracks,
    frame: usize,
) -> Outcome {
    let tracker = tracker(case)?;
    let expected = |name: &str| {
        case.expected(&format!("f{frame:02}_{name}"))
            .map(|npy| npy.values)
    };
    let inputs = movie.inference_inputs(tracks, embeddings, frame, tracker.track_length);
    let tensors = [
        (
            "current_embeddings".to_owned(),
            inputs.current_embeddings.into_dyn(),
        ),
        (
            "current_centroids".to_owned(),
            inputs.current_centroids.into_dyn(),
        ),
        (
            "future_embeddings".to_owned(),
            inputs.future_embeddings.into_dyn(),
        ),
        (
            "future_centroids".to_owned(),
            inputs.future_centroids.into_dyn(),
        ),
    ];
    for (name, values) in &tensors {
        close(name, values.view(), &expected(name)?, [1e-4, 0.0])?;
    }
    let answer = graph_models::infer(&tensors, &case.params["fake_model"])?
        .swap_remove(0)
        .1;
    let expected_answer = expected("predictions")?;
    let answer = answer
        .into_shape_with_order(expected_answer.raw_dim())
        .map_err(refused)?;
    close("predictions", answer.view(), &expected_answer, [1e-5, 0.0])?;
    let shape = (tracks.len(), movie.cell_count(frame), 3);
    let probabilities = answer.into_shape_with_order(shape).map_err(refused)?;

    let costs = tracks.costs(probabilities.view(), tracker.borders);
    close(
        "cost",
        costs.view().into_dyn(),
        &expected("cost")?,
        [1e-5, 0.0],
    )?;
    let pairs = linear_sum_assignment(costs.view()).map_err(refused)?;
    let columns: Vec<usize> = pairs.into_iter().map(|[_, column]| column).collect();
    let expected_columns: Vec<usize> = expected("col_ind")?
        .iter()
        .map(|&column| column as usize)
        .collect();
    let (before, cells) = (tracks.len(), movie.cell_count(frame));
    // Which filler entry goes with which is of no consequence.
    let real = |columns: &[usize]| -> Vec<(usize, usize)> {
        let rows = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| **column < cells);
        rows.map(|(row, &column)| (row.min(before), column))
            .collect()
    };
    if real(&columns) != real(&expected_columns) {
        return Err(
            format!("frame {frame} is linked {columns:?}, not {expected_columns:?}").into(),
        );
    }
    tracks.advance(
        frame,
        &columns,
        probabilities.view(),
        tracker.division_threshold,
    );
    Ok(())
}

async fn job(case: &Case) -> Outcome {
    let file =
        TrackFile::read(&bytes(&case.input_path("file")?)?, &Limits::default()).map_err(refused)?;
    let (tracked, seen) = tracked(case, file.raw, file.labels).await?;
    let names = ResultName::new(&text(case, "original_name"));
    let picture = tracked.labels.mapv(|label| label as f32);
    let entries = vec![
        (names.feature(0), encode_tiff(picture.view().into_dyn())),
        (
            "lineage.json".to_owned(),
            tracked.lineage.to_json().into_bytes(),
        ),
    ];
    same_bytes(&entries[0].1, &bytes(&case.expected_path("tif")?)?)?;
    same_bytes(&entries[1].1, &bytes(&case.expected_path("lineage")?)?)?;
    same_archive(case, &archive::write_zip(entries).map_err(refused)?)?;

    let shape_of = |seen: &Seen| {
        let pictures = seen
            .inputs
            .iter()
            .find(|input| input.name == "encoder_app_input");
        pictures.map(|input| json!(input.shape))
    };
    let encoder_calls: Vec<Value> = seen.iter().filter_map(shape_of).collect();
    same(
        "encoder_calls",
        &json!(encoder_calls),
        &case.params["encoder_calls"],
    )?;
    same(
        "inference_calls",
        &json!(seen.len() - encoder_calls.len()),
        &case.params["inference_calls"],
    )
}

/// Names and compression of the entries of an archive.
pub(crate) fn same_archive(case: &Case, archive: &[u8]) -> Outcome {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).map_err(refused)?;
    let (mut names, mut methods) = (Vec::new(), Vec::new());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(refused)?;
        names.push(entry.name().map_err(refused)?.into_owned());
        methods.push(if entry.compression() == zip::CompressionMethod::Deflated {
            8
        } else {
            0
        });
    }
    same("names", &json!(names), &case.expected_json("names")?)?;
    if case.has_output("methods") {
        same("methods", &json!(methods), &case.expected_json("methods")?)?;
    }
    Ok(())
}

fn load(case: &Case) -> Outcome {
    const LIMITS: FrameLimits = FrameLimits {
        batch: 64,
        movie: 60,
    };
    let path = case.input_path("file")?;
    let image =
        bioimage::decode(&bytes(&path)?, "movie.tif", &Limits::default()).map_err(refused)?;
    let movie = movie(image, &LIMITS).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    let (_, rows, columns) = movie.dim();
    let frames = case.input("labels")?.map(|label| label as f32);
    let frames = frames
        .outer_iter()
        .map(|frame| frame.to_owned().into_dyn())
        .collect::<Vec<_>>();
    let labels = stacked_labels(frames, [rows, columns]).map_err(refused)?;
    exact(
        "y",
        labels.insert_axis(Axis(3)).into_dyn().view(),
        &case.expected("y")?.values,
    )?;
    let first = single_frame(movie.index_axis(Axis(0), 0));
    same_bytes(
        &encode_tiff(first.view()),
        &bytes(&case.expected_path("child_tif_0")?)?,
    )?;
    same(
        "children",
        &json!(movie.len_of(Axis(0))),
        &case.params["children"],
    )?;
    exact(
        "X",
        movie.insert_axis(Axis(3)).into_dyn().view(),
        &case.expected("X")?.values,
    )
}

fn read_file(case: &Case, with_lineages: bool) -> Outcome {
    let file =
        TrackFile::read(&bytes(&case.input_path("file")?)?, &Limits::default()).map_err(refused)?;
    if with_lineages {
        let lineages = file.lineages().map_err(refused)?;
        if case.fails {
            return Ok(());
        }
        same(
            "lineages",
            &json!(lineages),
            &case.expected_json("lineages")?,
        )?;
    }
    // Pixels are f32 from here on, whatever the file stores.
    let raw = case.expected("X")?.map(|value| f64::from(value as f32));
    exact("X", file.raw.view(), &raw)?;
    exact("y", file.labels.view(), &case.expected("y")?.values)
}

fn write_file(case: &Case) -> Outcome {
    let lineage = String::from_utf8(bytes(&case.input_path("lineage")?)?).map_err(refused)?;
    let text = Lineage::from_json(&lineage)
        .map_err(refused)?
        .to_indented_json();
    same_bytes(
        text.as_bytes(),
        &bytes(&case.expected_path("lineage_text")?)?,
    )?;
    let raw = case.input("raw")?.map(|value| value as u8);
    let tracked = case.input("tracked")?.map(|label| label as i32);
    let found = members(&write_trk(&text, &raw.view(), &tracked.view()).map_err(refused)?)?;
    let expected = members(&bytes(&case.expected_path("file")?)?)?;
    if found == expected {
        Ok(())
    } else {
        Err("the members differ".to_owned().into())
    }
}

fn members(file: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut members = Vec::new();
    for entry in archive.entries().map_err(refused)? {
        let mut entry = entry.map_err(refused)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).map_err(refused)?;
        members.push((name, content));
    }
    Ok(members)
}

fn relabel(case: &Case) -> Outcome {
    let (labels, lineage) = lineage(case)?
        .relabeled(movie_labels(case)?)
        .map_err(refused)?;
    let expected = case.expected("y")?.values.remove_axis(Axis(3));
    exact("y", labels.into_dyn().view(), &expected)?;
    let expected = case.expected_json("lineage")?;
    let mut found: Value = serde_json::from_str(&lineage.to_json()).map_err(refused)?;
    for entry in found
        .as_object_mut()
        .into_iter()
        .flat_map(|entries| entries.values_mut())
    {
        for key in ["capped", "frame_div"] {
            entry.as_object_mut().map(|fields| fields.remove(key));
        }
    }
    same("lineage", &found, &expected)
}

fn is_valid(case: &Case) -> Outcome {
    let valid = lineage(case)?.is_valid(movie_labels(case)?.view());
    same("valid", &json!(valid), &case.expected_json("valid")?)
}

fn isbi(case: &Case) -> Outcome {
    same(
        "rows",
        &json!(lineage(case)?.isbi_rows()),
        &case.expected_json("rows")?,
    )
}

fn lineage(case: &Case) -> Result<Lineage, Failure> {
    let text = String::from_utf8(bytes(&case.input_path("lineage")?)?).map_err(refused)?;
    Lineage::from_json(&text).map_err(refused)
}

fn movie_labels(case: &Case) -> Result<Array3<i32>, Failure> {
    shaped(
        case.input("y")?
            .map(|label| label as i32)
            .remove_axis(Axis(3)),
    )
}

/// The tracked movie, and what the models were asked.
async fn tracked(
    case: &Case,
    raw: ArrayD<f32>,
    labels: ArrayD<i32>,
) -> Result<(Tracked, Vec<Seen>), Failure> {
    let (encoder, inference) = (ModelId::new("Encoder", 1), ModelId::new("Inference", 1));
    let parameters = &case.params["fake_model"];
    let models = vec![
        graph_models::encoder(&encoder),
        graph_models::inference(&inference, parameters),
    ];
    let (server, client) = serve(models).await?;
    let models = TrackingModels {
        encoder: TensorModel::new(&client, &encoder),
        inference: TensorModel::new(&client, &inference),
    };
    let tracked = tracker(case)?.track(&models, raw, labels).await;
    let tracked = tracked.map_err(|error| Failure::Refused(format!("{error:#}")))?;
    let mut seen = predictions(&server, "Encoder");
    seen.extend(predictions(&server, "Inference"));
    Ok((tracked, seen))
}

fn predictions(server: &ModelServer, model: &str) -> Vec<Seen> {
    let seen = server.faults().seen().into_iter();
    seen.filter(|seen| seen.method == Method::Predict && seen.model == model)
        .collect()
}

async fn serve(models: Vec<Model>) -> Result<(ModelServer, Client), Failure> {
    let server = ModelServer::start(0, models)
        .await
        .map_err(|error| error.to_string())?;
    let client = server.client();
    Ok((server, client))
}

fn tracker(case: &Case) -> Result<Tracker, Failure> {
    let options = &case.params["tracker"];
    let number = |name: &str| {
        options[name]
            .as_f64()
            .ok_or_else(|| format!("the tracker has no `{name}`"))
    };
    Ok(Tracker {
        appearance: appearance(options)?,
        max_distance: number("distance_threshold")?,
        track_length: number("track_length")? as usize,
        borders: BirthDeathCost {
            birth: number("birth")? as f32,
            death: number("death")? as f32,
        },
        division_threshold: number("division")?,
    })
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

fn text(case: &Case, param: &str) -> String {
    case.params[param].as_str().unwrap_or_default().to_owned()
}

fn shaped<T, D: Dimension>(array: ArrayD<T>) -> Result<Array<T, D>, Failure> {
    array
        .into_dimensionality()
        .map_err(|error| Failure::Differs(error.to_string()))
}

/// Equal values and shapes.
pub(crate) fn exact<T: Copy + Into<f64>>(
    what: &str,
    got: ArrayViewD<'_, T>,
    expected: &ArrayD<f64>,
) -> Outcome {
    close(what, got, expected, [0.0, 0.0])
}

/// Equal shapes, and values as close as `[absolute, relative]` says.
pub(crate) fn close<T: Copy + Into<f64>>(
    what: &str,
    got: ArrayViewD<'_, T>,
    expected: &ArrayD<f64>,
    [absolute, relative]: [f64; 2],
) -> Outcome {
    if got.shape() != expected.shape() {
        return Err(format!(
            "{what} has shape {:?}, not {:?}",
            got.shape(),
            expected.shape()
        )
        .into());
    }
    let agree = |got: f64, expected: f64| {
        let same = got == expected || (got.is_nan() && expected.is_nan());
        same || (got - expected).abs() <= absolute + relative * expected.abs()
    };
    let wrong: Vec<(f64, f64)> = got
        .iter()
        .zip(expected)
        .map(|(&got, &expected)| (got.into(), expected))
        .filter(|&(a, b)| !agree(a, b))
        .collect();
    match wrong.first() {
        None => Ok(()),
        Some((got, expected)) => Err(format!(
            "{what} differs in {} values, the first is {got}, not {expected}",
            wrong.len()
        )
        .into()),
    }
}
