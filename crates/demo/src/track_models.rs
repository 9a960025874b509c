//! Stand-ins for the two trained tracking models: closed forms, not trained networks.
//!
//! A cell that lies close to where a track was last, about as large, is the same; one of about half the size not far from
//! it is a daughter.

use std::sync::Arc;

use ndarray::{Array4, ArrayD, ArrayView3, Axis, Ix4};

use redis_consumer::serving::{Input, Model, ModelId};

/// Components of an embedding: area in pixels, perimeter, eccentricity.
const FEATURES: i64 = 3;

/// What goes in and comes out as it is. The second output in the order of names is the embedding.
const PASSED_ON: [(&str, &str, i64); 2] = [
    ("encoder_centroid_input", "centroids", 2),
    ("encoder_morph_input", "embeddings", FEATURES),
];

/// How far the center of a cell may be from where it was, or a daughter's from her mother's, in radii of the cell: there the
/// odds are even.
const REACH: [f32; 2] = [1.0, 2.0];

/// How fast the odds fall beyond, per radius.
const FALL: f32 = 5.0;

/// Size of a daughter, by her mother's.
const DAUGHTER_SIZE: f32 = 0.55;

/// How much an area that does not fit counts, per unit of its logarithm.
const SIZE_WEIGHT: f32 = 5.0;

/// How much it counts for a daughter.
const DAUGHTER_SIZE_WEIGHT: f32 = 4.0;

/// What speaks for a cell that lies and looks just as it should.
const CERTAINTY: f32 = 3.0;

type Tensors = Vec<(String, ArrayD<f32>)>;

/// Describes cells: a stand-in for the neighborhood encoder.
pub(crate) fn encoder(id: ModelId) -> Model {
    let inputs = vec![
        Input::float("encoder_app_input", &[-1, -1, -1, -1, 1]),
        Input::float("encoder_morph_input", &[-1, -1, FEATURES]),
        Input::float("encoder_centroid_input", &[-1, -1, 2]),
        Input::float("encoder_adj_input", &[-1, -1, -1]),
    ];
    let outputs = PASSED_ON
        .map(|(_, name, features)| Input::float(name, &[-1, -1, features]))
        .to_vec();
    Model {
        id,
        inputs,
        outputs,
        run: Arc::new(encode),
    }
}

/// Compares tracks with cells: a stand-in for the inference model.
pub(crate) fn inference(id: ModelId) -> Model {
    let inputs = vec![
        Input::float("current_embeddings", &[-1, -1, -1, FEATURES]),
        Input::float("current_centroids", &[-1, -1, -1, 2]),
        Input::float("future_embeddings", &[-1, 1, -1, FEATURES]),
        Input::float("future_centroids", &[-1, 1, -1, 2]),
    ];
    let outputs = vec![Input::float("classification", &[-1, 1, -1, -1, 3])];
    Model {
        id,
        inputs,
        outputs,
        run: Arc::new(compare),
    }
}

fn encode(inputs: &[(String, ArrayD<f32>)]) -> Result<Tensors, String> {
    PASSED_ON
        .iter()
        .map(|(from, to, _)| Ok(((*to).to_owned(), named(inputs, from)?.clone())))
        .collect()
}

fn compare(inputs: &[(String, ArrayD<f32>)]) -> Result<Tensors, String> {
    let tracks = Observations::newest(inputs, ["current_centroids", "current_embeddings"])?;
    let cells = Observations::newest(inputs, ["future_centroids", "future_embeddings"])?;
    let (items, track_count, _) = tracks.centroids.dim();
    let mut answer = Array4::zeros((items, track_count, cells.centroids.dim().1, 3));
    for ((item, track, cell, class), value) in answer.indexed_iter_mut() {
        *value = probabilities(&tracks.seen(item, track), &cells.seen(item, cell))[class];
    }
    Ok(vec![(
        "classification".to_owned(),
        answer.insert_axis(Axis(1)).into_dyn(),
    )])
}

/// Where tracks or cells were seen last, and how large: `[item, track or cell, feature]`.
struct Observations<'t> {
    centroids: ArrayView3<'t, f32>,
    shapes: ArrayView3<'t, f32>,
}

impl<'t> Observations<'t> {
    /// From the inputs of these names.
    fn newest(
        inputs: &'t [(String, ArrayD<f32>)],
        [centroids, shapes]: [&str; 2],
    ) -> Result<Self, String> {
        Ok(Self {
            centroids: newest(inputs, centroids, 2)?,
            shapes: newest(inputs, shapes, FEATURES)?,
        })
    }

    fn seen(&self, item: usize, number: usize) -> Seen {
        Seen {
            centroid: [0, 1].map(|axis| self.centroids[[item, number, axis]]),
            area: self.shapes[[item, number, 0]].max(1.0),
        }
    }
}

/// The last of the observations in an input: `[item, track or cell, feature]`.
fn newest<'t>(
    inputs: &'t [(String, ArrayD<f32>)],
    name: &str,
    features: i64,
) -> Result<ArrayView3<'t, f32>, String> {
    let values = named(inputs, name)?.view().into_dimensionality::<Ix4>();
    let values = values.map_err(|error| format!("{name}: {error}"))?;
    let (_, observations, _, found) = values.dim();
    if observations == 0 || found as i64 != features {
        return Err(format!(
            "{name} has shape {:?}, the model takes observations of {features} features",
            values.shape()
        ));
    }
    Ok(values.index_axis_move(Axis(1), observations - 1))
}

/// A cell as the models know it.
struct Seen {
    centroid: [f32; 2],
    area: f32,
}

/// How probable it is that a cell is the track's own, another one, and its daughter.
fn probabilities(track: &Seen, cell: &Seen) -> [f32; 3] {
    let radius = (track.area / std::f32::consts::PI).sqrt();
    let [rows, columns] = [0, 1].map(|axis| cell.centroid[axis] - track.centroid[axis]);
    let distance = rows.hypot(columns) / radius;
    let size = cell.area / track.area;
    let near = |reach: f32| CERTAINTY.min(FALL * (reach - distance));
    let same = CERTAINTY + near(REACH[0]) - SIZE_WEIGHT * size.ln().abs();
    let daughter =
        CERTAINTY + near(REACH[1]) - DAUGHTER_SIZE_WEIGHT * (size / DAUGHTER_SIZE).ln().abs();
    let highest = same.max(daughter).max(0.0);
    let weights = [same, 0.0, daughter].map(|logit| (logit - highest).exp());
    weights.map(|weight| weight / weights.iter().sum::<f32>())
}

fn named<'t>(tensors: &'t [(String, ArrayD<f32>)], name: &str) -> Result<&'t ArrayD<f32>, String> {
    let found = tensors.iter().find(|(found, _)| found == name);
    found
        .map(|(_, values)| values)
        .ok_or_else(|| format!("the request has no input `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(row: f32, area: f32) -> [f32; 3] {
        let mother = Seen {
            centroid: [50.0, 50.0],
            area: 1600.0,
        };
        let answers = probabilities(
            &mother,
            &Seen {
                centroid: [row, 48.0],
                area,
            },
        );
        assert!(
            (answers.iter().sum::<f32>() - 1.0).abs() < 1e-6,
            "{answers:?}"
        );
        answers
    }

    #[test]
    fn place_and_size_decide() {
        let likeliest = |row, area| {
            (0..3).max_by(|a, b| answers(row, area)[*a].total_cmp(&answers(row, area)[*b]))
        };
        assert_eq!(likeliest(53.0, 1500.0), Some(0), "it has moved a little");
        assert_eq!(likeliest(110.0, 1600.0), Some(1), "it is far away");
        assert_eq!(
            likeliest(70.0, 700.0),
            Some(2),
            "it is beside and half as large"
        );
        assert_eq!(
            likeliest(120.0, 700.0),
            Some(1),
            "it is half as large and far away"
        );
        assert!(answers(70.0, 700.0)[2] > 0.9, "more than trackers ask for");
    }

    #[test]
    fn tensors_of_other_models_are_refused() {
        let names = [
            "current_centroids",
            "current_embeddings",
            "future_centroids",
            "future_embeddings",
        ];
        let inputs = names.map(|name| (name.to_owned(), ArrayD::zeros(vec![1, 1, 2, 2])));
        assert!(
            compare(&inputs)
                .expect_err("two features")
                .starts_with("current_embeddings has shape [1, 1, 2, 2]")
        );
        assert!(
            encode(&[])
                .expect_err("no inputs")
                .contains("encoder_centroid_input")
        );
    }
}
