//! The stand-in model of the golden cases of spots: a closed form in f64, rounded to f32.

use std::sync::Arc;

use ndarray::{Array4, ArrayD, Ix4};
use redis_consumer::serving::{Input, Model, ModelId};

/// A model that takes images of this shape, or says so.
pub(crate) fn model(id: &ModelId, shape: &[i64]) -> Model {
    let outputs = ["classification", "offset_regression"]
        .map(|name| Input::float(name, &[-1, shape[1], shape[2], 2]))
        .to_vec();
    Model {
        id: id.clone(),
        inputs: vec![Input::float("image", shape)],
        outputs,
        run: Arc::new(heads),
    }
}

fn heads(inputs: &[(String, ArrayD<f32>)]) -> Result<Vec<(String, ArrayD<f32>)>, String> {
    let image = inputs[0]
        .1
        .view()
        .into_dimensionality::<Ix4>()
        .map_err(|error| error.to_string())?;
    let (batch, rows, columns, _) = image.dim();
    let mut classification = Array4::zeros((batch, rows, columns, 2));
    let mut offsets = Array4::zeros((batch, rows, columns, 2));
    for ((item, row, column, _), _) in image.indexed_iter() {
        let mut sum = 0.0;
        for (y, down) in [1.0, 2.0, 1.0].into_iter().enumerate() {
            for (x, across) in [1.0, 2.0, 1.0].into_iter().enumerate() {
                let at = |index: usize, step: usize, size: usize| {
                    (index + step).saturating_sub(1).min(size - 1)
                };
                sum += down
                    * across
                    * f64::from(image[[item, at(row, y, rows), at(column, x, columns), 0]]);
            }
        }
        let mean = sum / 16.0;
        let score = 1.0 / (1.0 + (-16.0 * (mean - 0.4)).exp());
        classification[[item, row, column, 0]] = (1.0 - score) as f32;
        classification[[item, row, column, 1]] = score as f32;
        offsets[[item, row, column, 0]] = (0.4 * (30.0 * mean).sin()) as f32;
        offsets[[item, row, column, 1]] = (0.4 * (30.0 * mean).cos()) as f32;
    }
    let outputs = [
        ("offset_regression", offsets),
        ("classification", classification),
    ];
    Ok(outputs
        .map(|(name, values)| (name.to_owned(), values.into_dyn()))
        .to_vec())
}
