//! The classical model in the form that a model server serves.

use std::sync::Arc;

use ndarray::{ArrayD, Ix4};

use super::nuclei_model::{NucleiHeads, nuclei_model};
use crate::serving::{Input, Model, ModelId};

/// Rows and columns of a tile, as the trained nuclear model has them.
const TILE: i64 = 256;

const IMAGE: &str = "image";

/// Consumers read the first output in the order of names as centres, and the last one as interiors.
const CENTRES: &str = "centres";
const INTERIOR: &str = "interior";

/// The model under a name and version of the operator's choice.
pub(super) fn model(id: ModelId) -> Model {
    let plane = |name: &str| Input::float(name, &[-1, TILE, TILE, 1]);
    Model { id, inputs: vec![plane(IMAGE)], outputs: vec![plane(CENTRES), plane(INTERIOR)], run: Arc::new(run) }
}

fn run(inputs: &[(String, ArrayD<f32>)]) -> Result<Vec<(String, ArrayD<f32>)>, String> {
    let [(_, tiles)] = inputs else { return Err(format!("{} inputs, wanted is one", inputs.len())) };
    let tiles = tiles.view().into_dimensionality::<Ix4>().map_err(|error| format!("tiles of four axes: {error}"))?;
    let NucleiHeads { maxima, interior } = nuclei_model(tiles);
    Ok(vec![(CENTRES.to_owned(), maxima.into_dyn()), (INTERIOR.to_owned(), interior.into_dyn())])
}
