//! Every array on the way of a movie, compared by name: those of the whole movie, and those of a frame, `f03_…`.

use cell_analysis::tracking::{EmptyFrames, EncoderInputs, Movie, Tracks, linear_sum_assignment};
use ndarray::{Array, Array1, Array3, ArrayD, ArrayView3, Axis, Dimension};
use redis_consumer::applications::Tracker;

use super::recorded::{Recorded, highest};
use super::{shaped, unique};
use crate::cases::Case;
use crate::outcome::{Outcome, refused};
use crate::peers::graph_models;

pub(super) fn trace(
    case: &Case,
    tracker: &Tracker,
    raw: ArrayD<f32>,
    labels: ArrayD<i32>,
) -> Outcome {
    let highest = highest(raw.iter());
    let movie =
        Movie::new(raw, labels, tracker.appearance, EmptyFrames::Refuse).map_err(refused)?;
    let counts: Vec<usize> = (0..movie.frame_count())
        .map(|frame| movie.cell_count(frame))
        .collect();
    let unique = unique(&movie.numbered().to_owned(), &counts);
    let recorded = Recorded::of(case, "");
    recorded.exact("y_clean", unique.view().insert_axis(Axis(3)).into_dyn())?;

    let inputs = movie.encoder_inputs(0..movie.frame_count(), tracker.max_distance);
    same_inputs(case, tracker, &inputs, highest)?;
    let tensors = [
        tensor("encoder_app_input", inputs.appearances.clone()),
        tensor("encoder_morph_input", inputs.morphologies.clone()),
        tensor("encoder_centroid_input", inputs.centroids.clone()),
        tensor("encoder_adj_input", inputs.adjacency.clone()),
    ];
    let embeddings = graph_models::encode(&tensors)?.swap_remove(1).1;
    for name in ["embedding", "embeddings"] {
        recorded.close(name, embeddings.view(), [1e-5, 1e-5])?;
    }
    let embeddings: Array3<f32> = shaped(embeddings)?;

    let mut tracks = Tracks::begin(movie.cell_count(0));
    for frame in 0..movie.frame_count() {
        let recorded = Recorded::of(case, &format!("f{frame:02}_"));
        let numbers = numbers(&unique, frame);
        recorded.exact("labels", numbers.view().into_dyn())?;
        same_features(&recorded, tracker, &inputs, (frame, highest))?;
        for name in ["embedding", "embeddings"] {
            let of_frame = embeddings.index_axis(Axis(0), frame).into_dyn();
            recorded.close(name, of_frame, [1e-5, 1e-5])?;
        }
        if frame > 0 {
            step(
                case,
                tracker,
                (&movie, embeddings.view()),
                &mut tracks,
                frame,
            )?;
        }
    }
    Recorded::of(case, "").exact(
        "y_tracked",
        movie
            .painted(&tracks)
            .insert_axis(Axis(3))
            .into_dyn()
            .view(),
    )
}

/// The labels of a frame's cells, in ascending order.
fn numbers(labels: &Array3<i32>, frame: usize) -> Array1<i32> {
    let labels = labels.index_axis(Axis(0), frame);
    let numbers: std::collections::BTreeSet<i32> = labels.iter().copied().collect();
    numbers.into_iter().filter(|&number| number != 0).collect()
}

/// What the encoder is given for the whole movie.
fn same_inputs(case: &Case, tracker: &Tracker, inputs: &EncoderInputs, highest: f32) -> Outcome {
    let recorded = Recorded::of(case, "encoder_");
    let pictures = inputs.appearances.view().into_dyn();
    recorded.appearances("app_input", pictures, tracker.appearance, highest)?;
    recorded.morphologies("morph_input", inputs.morphologies.view().into_dyn())?;
    recorded.exact("centroid_input", inputs.centroids.view().into_dyn())?;
    let adjacency = inputs.adjacency.view().into_dyn();
    recorded.close("adj_input", adjacency, [1e-6, 0.0])
}

/// The features of the cells of a frame, under the names of `image_features` and under those of the encoder's inputs.
fn same_features(
    recorded: &Recorded<'_>,
    tracker: &Tracker,
    inputs: &EncoderInputs,
    (frame, highest): (usize, f32),
) -> Outcome {
    for name in ["appearances", "encoder_app_input"] {
        let pictures = inputs.appearances.index_axis(Axis(0), frame).into_dyn();
        recorded.appearances(name, pictures, tracker.appearance, highest)?;
    }
    for name in ["morphologies", "encoder_morph_input"] {
        let shapes = inputs.morphologies.index_axis(Axis(0), frame).into_dyn();
        recorded.morphologies(name, shapes)?;
    }
    for name in ["centroids", "encoder_centroid_input"] {
        let centroids = inputs.centroids.index_axis(Axis(0), frame).into_dyn();
        recorded.exact(name, centroids)?;
    }
    for name in ["adj", "adjacency", "norm", "encoder_adj_input"] {
        let adjacency = inputs.adjacency.index_axis(Axis(0), frame).into_dyn();
        recorded.close(name, adjacency, [1e-6, 0.0])?;
    }
    Ok(())
}

fn step(
    case: &Case,
    tracker: &Tracker,
    (movie, embeddings): (&Movie, ArrayView3<'_, f32>),
    tracks: &mut Tracks,
    frame: usize,
) -> Outcome {
    let recorded = Recorded::of(case, &format!("f{frame:02}_"));
    let inputs = movie.inference_inputs(tracks, embeddings, frame, tracker.track_length);
    let tensors = [
        tensor("current_embeddings", inputs.current_embeddings),
        tensor("current_centroids", inputs.current_centroids),
        tensor("future_embeddings", inputs.future_embeddings),
        tensor("future_centroids", inputs.future_centroids),
    ];
    for (name, values) in &tensors {
        recorded.close(name, values.view(), [1e-4, 0.0])?;
    }
    let answer = graph_models::infer(&tensors, &case.params["fake_model"])?
        .swap_remove(0)
        .1;
    let shape = (tracks.len(), movie.cell_count(frame), 3);
    let probabilities = answer.into_shape_with_order(shape).map_err(refused)?;
    if let Some(expected) = recorded.expected("predictions")? {
        let answer = probabilities
            .to_shape(expected.raw_dim())
            .map_err(refused)?;
        recorded.close("predictions", answer.view(), [1e-5, 0.0])?;
    }

    let costs = tracks.costs(probabilities.view(), tracker.borders);
    recorded.close("cost", costs.view().into_dyn(), [1e-5, 0.0])?;
    let pairs = linear_sum_assignment(costs.view()).map_err(refused)?;
    let rows: Array1<u32> = pairs.iter().map(|[row, _]| *row as u32).collect();
    recorded.exact("row_ind", rows.view().into_dyn())?;
    let columns: Vec<usize> = pairs.into_iter().map(|[_, column]| column).collect();
    same_links(&recorded, &columns, tracks.len(), movie.cell_count(frame))?;
    tracks.advance(
        frame,
        &columns,
        probabilities.view(),
        tracker.division_threshold,
    );
    Ok(())
}

/// Which track or birth goes with which cell; which filler entry goes with which is of no consequence.
fn same_links(recorded: &Recorded<'_>, columns: &[usize], tracks: usize, cells: usize) -> Outcome {
    let Some(expected) = recorded.expected("col_ind")? else {
        return Ok(());
    };
    let expected: Vec<usize> = expected.iter().map(|&column| column as usize).collect();
    let real = |columns: &[usize]| -> Vec<(usize, usize)> {
        let rows = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| **column < cells);
        rows.map(|(row, &column)| (row.min(tracks), column))
            .collect()
    };
    if real(columns) == real(&expected) {
        Ok(())
    } else {
        Err(format!("a frame is linked {columns:?}, not {expected:?}").into())
    }
}

fn tensor<D: Dimension>(name: &str, values: Array<f32, D>) -> (String, ArrayD<f32>) {
    (name.to_owned(), values.into_dyn())
}
