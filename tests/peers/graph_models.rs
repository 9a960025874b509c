//! The stand-in models of the golden cases of tracking: closed forms in f64, rounded to f32.

use std::sync::Arc;

use ndarray::{Array3, Array5, ArrayD, ArrayView2, Axis, Ix3, Ix4, Ix5};
use redis_consumer::serving::{Input, Model, ModelId};
use serde_json::Value;

/// Named arrays, as a model takes and gives them.
pub(crate) type Tensors = Vec<(String, ArrayD<f32>)>;

/// Components of an embedding.
pub(crate) const FEATURES: usize = 8;

/// The encoder: eight numbers for a cell, from its features and its neighbors'.
pub(crate) fn encoder(id: &ModelId) -> Model {
    let inputs = vec![
        Input::float("encoder_app_input", &[-1, -1, -1, -1, 1]),
        Input::float("encoder_morph_input", &[-1, -1, 3]),
        Input::float("encoder_centroid_input", &[-1, -1, 2]),
        Input::float("encoder_adj_input", &[-1, -1, -1]),
    ];
    let outputs = vec![
        Input::float("relu_nef", &[-1, -1, 8]),
        Input::float("encoder_centroid_input", &[-1, -1, 2]),
    ];
    Model {
        id: id.clone(),
        inputs,
        outputs,
        run: Arc::new(encode),
    }
}

/// The parameters of cases that name none.
pub(crate) fn defaults() -> Value {
    serde_json::json!({
        "same_bias": 6.0, "same_dist": 0.5, "same_size": 6.0, "same_ecc": 0.5, "same_nb": 0.1,
        "dau_bias": 5.0, "dau_dist": 0.3, "dau_size": 12.0, "pred": 0.5,
    })
}

/// The inference model with the parameters of a case.
pub(crate) fn inference(id: &ModelId, parameters: &Value) -> Model {
    let inputs = vec![
        Input::float("current_embeddings", &[-1, -1, -1, 8]),
        Input::float("current_centroids", &[-1, -1, -1, 2]),
        Input::float("future_embeddings", &[-1, 1, -1, 8]),
        Input::float("future_centroids", &[-1, 1, -1, 2]),
    ];
    let outputs = vec![Input::float("classification", &[-1, 1, -1, -1, 3])];
    let parameters = parameters.clone();
    Model {
        id: id.clone(),
        inputs,
        outputs,
        run: Arc::new(move |tensors| infer(tensors, &parameters)),
    }
}

fn named<'t>(tensors: &'t [(String, ArrayD<f32>)], name: &str) -> Result<&'t ArrayD<f32>, String> {
    let found = tensors.iter().find(|(found, _)| found == name);
    found
        .map(|(_, values)| values)
        .ok_or_else(|| format!("no input `{name}`"))
}

pub(crate) fn encode(tensors: &[(String, ArrayD<f32>)]) -> Result<Tensors, String> {
    fn shaped<D: ndarray::Dimension>(
        values: &ArrayD<f32>,
    ) -> Result<ndarray::ArrayView<'_, f32, D>, String> {
        values
            .view()
            .into_dimensionality::<D>()
            .map_err(|error| error.to_string())
    }
    let appearances = shaped::<Ix5>(named(tensors, "encoder_app_input")?)?;
    let morphologies = shaped::<Ix3>(named(tensors, "encoder_morph_input")?)?;
    let centroids = shaped::<Ix3>(named(tensors, "encoder_centroid_input")?)?;
    let adjacency = shaped::<Ix3>(named(tensors, "encoder_adj_input")?)?;
    let (frames, cells, _) = morphologies.dim();
    let mut embeddings = Array3::zeros((frames, cells, FEATURES));
    for frame in 0..frames {
        for cell in 0..cells {
            let morphology = |which: usize| f64::from(morphologies[[frame, cell, which]]);
            let centroid = |axis: usize| f64::from(centroids[[frame, cell, axis]]);
            let picture = appearances
                .index_axis(Axis(0), frame)
                .index_axis_move(Axis(0), cell);
            let brightness =
                picture.iter().copied().map(f64::from).sum::<f64>() / picture.len() as f64;
            let neighbour = |other: usize| f64::from(adjacency[[frame, cell, other]]);
            let degree: f64 = (0..cells).map(neighbour).sum();
            let areas: f64 = (0..cells)
                .map(|other| neighbour(other) * f64::from(morphologies[[frame, other, 0]]))
                .sum();
            let features = [
                centroid(0) / 32.0,
                centroid(1) / 32.0,
                morphology(0) / 64.0,
                morphology(1) / 32.0,
                morphology(2),
                brightness / 64.0,
                degree,
                areas / 64.0,
            ];
            for (feature, value) in features.into_iter().enumerate() {
                embeddings[[frame, cell, feature]] = value as f32;
            }
        }
    }
    let centroids = centroids.to_owned().into_dyn();
    Ok(vec![
        ("encoder_centroid_input".to_owned(), centroids),
        ("relu_nef".to_owned(), embeddings.into_dyn()),
    ])
}

pub(crate) fn infer(
    tensors: &[(String, ArrayD<f32>)],
    parameters: &Value,
) -> Result<Tensors, String> {
    let planes = |name: &str| {
        let values = named(tensors, name)?
            .view()
            .into_dimensionality::<Ix4>()
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(values.index_axis_move(Axis(0), 0))
    };
    let (embeddings, centroids) = (planes("current_embeddings")?, planes("current_centroids")?);
    let (future, places) = (planes("future_embeddings")?, planes("future_centroids")?);
    let (future, places) = (future.index_axis(Axis(0), 0), places.index_axis(Axis(0), 0));
    let (length, tracks, _) = embeddings.dim();
    let mut answer = Array5::zeros((1, 1, tracks, future.nrows(), 3));
    for track in 0..tracks {
        let (embeddings, centroids) = (
            embeddings.index_axis(Axis(1), track),
            centroids.index_axis(Axis(1), track),
        );
        for cell in 0..future.nrows() {
            let place = [0, 1].map(|axis| f64::from(places[[cell, axis]]));
            let features: Vec<f64> = future.row(cell).iter().copied().map(f64::from).collect();
            let logits = logits(
                (embeddings, centroids),
                (&features, place),
                length,
                parameters,
            )?;
            let highest = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let weights = logits.map(|logit| (logit - highest).exp());
            let sum: f64 = weights.iter().sum();
            for (class, weight) in weights.into_iter().enumerate() {
                answer[[0, 0, track, cell, class]] = (weight / sum) as f32;
            }
        }
    }
    Ok(vec![("classification".to_owned(), answer.into_dyn())])
}

/// Same, different, daughter.
fn logits(
    (embeddings, centroids): (ArrayView2<'_, f32>, ArrayView2<'_, f32>),
    (features, place): (&[f64], [f64; 2]),
    length: usize,
    parameters: &Value,
) -> Result<[f64; 3], String> {
    let p = |name: &str| {
        parameters[name]
            .as_f64()
            .ok_or_else(|| format!("the model has no parameter `{name}`"))
    };
    let (last, previous) = (length - 1, length.saturating_sub(2));
    let past = |step: usize, feature: usize| f64::from(embeddings[[step, feature]]);
    let prediction = p("pred")?;
    let offsets = [0, 1].map(|axis| {
        let (last, previous) = (
            f64::from(centroids[[last, axis]]),
            f64::from(centroids[[previous, axis]]),
        );
        place[axis] - (last + prediction * (last - previous))
    });
    let distance = (offsets[0].powi(2) + offsets[1].powi(2)).sqrt();
    let mean_size = (0..length).map(|step| past(step, 2)).sum::<f64>() / length as f64;
    let size = (features[2] / mean_size.max(1e-6)).max(1e-6);
    let eccentricity = (features[4] - past(last, 4)).abs();
    let degree = (features[6] - past(last, 6)).abs();
    let same = p("same_bias")?
        - p("same_dist")? * distance
        - p("same_size")? * size.ln().abs()
        - p("same_ecc")? * eccentricity
        - p("same_nb")? * degree;
    let daughter = p("dau_bias")? - p("dau_dist")? * distance - p("dau_size")? * (size - 0.5).abs();
    Ok([same, 0.0, daughter])
}
