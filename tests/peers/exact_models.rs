//! The stand-in models of the golden cases (`boxq`): closed forms in exact integers, so that any two machines agree.

use std::sync::Arc;

use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView2, Axis, Ix4, stack};
use redis_consumer::serving::{Input, Model, ModelId};

/// A stand-in for a model that takes tiles of this size: `nuclear`, `nuclear3`, `cytoplasm`, `mesmer`, `scale`
/// or `label`; `blobs` finds what is brighter than noise; `two-heads` is as wrong for Mesmer as a nuclear model with two
/// channels.
pub(crate) fn model(kind: &str, id: &str, tile: [usize; 2]) -> Model {
    let kind = kind.to_owned();
    let id: ModelId = id.parse().expect("the test names a model");
    let side = |n: usize| i64::try_from(n).expect("tiles are small");
    let channels = if ["mesmer", "two-heads"].contains(&kind.as_str()) {
        2
    } else {
        1
    };
    let input = Input::float("image", &[-1, side(tile[0]), side(tile[1]), channels]);
    let outputs = (0..heads(&kind, &Array3::zeros((2, 2, 2))).len())
        .map(|i| Input::float(&output_name(i), &[-1]))
        .collect();
    let run = move |inputs: &[(String, ArrayD<f32>)]| {
        let batch: Array4<f32> = inputs[0]
            .1
            .clone()
            .into_dimensionality::<Ix4>()
            .map_err(|error| error.to_string())?;
        let tiles: Vec<_> = batch
            .outer_iter()
            .map(|tile| heads(&kind, &tile.to_owned()))
            .collect();
        let joined = |i: usize| {
            let views: Vec<_> = tiles.iter().map(|tile| tile[i].view()).collect();
            stack(Axis(0), &views).map_err(|error| error.to_string())
        };
        (0..tiles[0].len())
            .map(|i| Ok((output_name(i), joined(i)?)))
            .collect()
    };
    Model {
        id,
        inputs: vec![input],
        outputs,
        run: Arc::new(run),
    }
}

fn output_name(index: usize) -> String {
    format!("prediction_{index}")
}

fn heads(kind: &str, tile: &Array3<f32>) -> Vec<ArrayD<f32>> {
    let channel = |c: usize| tile.index_axis(Axis(2), c).to_owned();
    let quantised = |c: usize| channel(c).mapv(quantise);
    let planes = |list: &[Array2<f32>]| {
        let views: Vec<_> = list.iter().map(|plane| plane.view()).collect();
        stack(Axis(2), &views)
            .expect("planes of one size")
            .into_dyn()
    };
    match kind {
        "nuclear" | "cytoplasm" | "two-heads" => {
            let (maxima, interior) = pair(&quantised(0), 150, 300);
            vec![planes(&[maxima]), planes(&[interior])]
        }
        "blobs" => {
            // Normalized noise is a half on average: what matters is above.
            let smooth = box_sum(quantised(0).view(), 2);
            let (maxima, interior) = (box_sum(smooth.view(), 2), smooth);
            const D: i64 = 25 * 255;
            let maxima = maxima.mapv(|sum| head(sum, 500 * 25 * D / 1000, 25 * D));
            vec![
                planes(&[maxima]),
                planes(&[interior.mapv(|sum| head(sum, 600 * D / 1000, D))]),
            ]
        }
        "nuclear3" => {
            let (maxima, interior) = pair(&quantised(0), 150, 300);
            let rest = interior.mapv(|value| 1.0 - value);
            let constant = Array2::from_elem(maxima.dim(), 0.5);
            vec![
                planes(&[maxima]),
                planes(&[constant]),
                planes(&[interior, rest]),
            ]
        }
        "mesmer" => {
            let (first, second) = (quantised(0), quantised(1));
            let (whole, whole_interior) = pair(&((&first + &second) / 2), 100, 220);
            let (nuclear, nuclear_interior) = pair(&first, 150, 300);
            let zero = Array2::zeros(whole.dim());
            let classes = |interior: Array2<f32>| {
                let rest = interior.mapv(|value| 1.0 - value);
                planes(&[zero.clone(), interior, rest])
            };
            vec![
                planes(&[whole]),
                classes(whole_interior),
                planes(&[nuclear]),
                classes(nuclear_interior),
            ]
        }
        "scale" | "label" => vec![judge(kind, &channel(0))],
        other => panic!("there is no stand-in called `{other}`"),
    }
}

fn judge(kind: &str, tile: &Array2<f32>) -> ArrayD<f32> {
    let sum: i64 = tile.iter().map(|&value| quantise(value / 4096.0)).sum();
    let pixels = i64::try_from(tile.len()).expect("tiles are small");
    if kind == "scale" {
        return ndarray::arr1(&[head(2 * sum, 0, 255 * pixels)]).into_dyn();
    }
    let a = head(sum, 0, 255 * pixels);
    ndarray::arr1(&[a, 0.4, 1.0 - a]).into_dyn()
}

fn quantise(value: f32) -> i64 {
    // Truncation after the floor is exact.
    (f64::from(value) * 255.0 + 0.5).floor().clamp(0.0, 255.0) as i64
}

fn pair(q: &Array2<i64>, maxima_offset: i64, interior_offset: i64) -> (Array2<f32>, Array2<f32>) {
    const D: i64 = 49 * 49 * 255;
    let maxima =
        box_sum(box_sum(q.view(), 3).view(), 3).mapv(|sum| head(sum, maxima_offset * D / 1000, D));
    let interior = box_sum(q.view(), 1).mapv(|sum| head(sum, interior_offset * 2295 / 1000, 2295));
    (maxima, interior)
}

fn head(number: i64, offset: i64, divisor: i64) -> f32 {
    ((number - offset).max(0) as f64 / divisor as f64) as f32
}

/// Sums over squares of `2 radius + 1` pixels, zero outside.
fn box_sum(plane: ArrayView2<'_, i64>, radius: usize) -> Array2<i64> {
    let mut sums = plane.to_owned();
    for axis in [Axis(0), Axis(1)] {
        for mut lane in sums.lanes_mut(axis) {
            let values = lane.to_vec();
            for (i, sum) in lane.iter_mut().enumerate() {
                *sum = values[i.saturating_sub(radius)..(i + radius + 1).min(values.len())]
                    .iter()
                    .sum();
            }
        }
    }
    sums
}
